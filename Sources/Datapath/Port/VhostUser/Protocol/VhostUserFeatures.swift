// Feature bits of the ring, the network device and the protocol, and what this back-end offers. Pure.
// Standard: virtio 1.2 §5.1.3, §6; QEMU docs/interop/vhost-user.rst, "Protocol features".

/// Virtio feature bits.
struct VirtioFeatures: OptionSet, Hashable, Sendable {
  let rawValue: UInt64
  init(rawValue: UInt64) { self.rawValue = rawValue }
  private static func bit(_ number: UInt64) -> Self { Self(rawValue: 1 << number) }

  static let checksum = bit(0)
  static let guestChecksum = bit(1)
  static let mtu = bit(3)
  static let guestTSO4 = bit(7)
  static let guestTSO6 = bit(8)
  static let guestECN = bit(9)
  static let guestUFO = bit(10)
  static let hostTSO4 = bit(11)
  static let hostTSO6 = bit(12)
  static let hostECN = bit(13)
  static let hostUFO = bit(14)
  static let mergeableBuffers = bit(15)
  static let status = bit(16)
  static let guestAnnounce = bit(21)
  static let multiqueue = bit(22)
  static let logAll = bit(26)
  static let anyLayout = bit(27)
  static let indirectDescriptors = bit(28)
  static let eventIndex = bit(29)
  static let protocolFeatures = bit(30)
  static let version1 = bit(32)
  static let accessPlatform = bit(33)
  static let packedRing = bit(34)
  static let inOrder = bit(35)
  static let guestUSO4 = bit(54)
  static let guestUSO6 = bit(55)
  static let hostUSO = bit(56)

  /// What GET_FEATURES answers. HASH_REPORT is not among it: which hash of which headers a guest wants it says on its
  /// control queue, which stays with the front-end, and the protocol has no message that could tell the back-end.
  static let offered: Self = [
    .checksum, .guestChecksum, .mtu, .guestTSO4, .guestTSO6, .guestECN, .guestUFO, .hostTSO4, .hostTSO6, .hostECN,
    .hostUFO, .mergeableBuffers, .status, .guestAnnounce, .multiqueue, .logAll, .anyLayout, .indirectDescriptors,
    .eventIndex, .protocolFeatures, .version1, .accessPlatform, .packedRing, .inOrder, .guestUSO4, .guestUSO6, .hostUSO,
  ]

  /// Bytes of the header in front of each frame: `num_buffers` is there with VERSION_1 or mergeable buffers.
  var headerByteCount: Int { contains(.version1) || contains(.mergeableBuffers) ? 12 : 10 }

  /// What may be sent to the guest as it is.
  var receiverCapabilities: OffloadCapabilities {
    guard contains(.guestChecksum) else { return [] }
    var result: OffloadCapabilities = .checksum
    if contains(.guestTSO4) { result.insert(.tso4) }
    if contains(.guestTSO6) { result.insert(.tso6) }
    if contains(.guestECN) { result.insert(.tsoECN) }
    if contains(.guestUFO) { result.insert(.ufo) }
    if contains(.guestUSO4) { result.insert(.uso4) }
    if contains(.guestUSO6) { result.insert(.uso6) }
    return result
  }
}

/// Vhost-user protocol feature bits.
struct VhostUserProtocolFeatures: OptionSet, Hashable, Sendable {
  let rawValue: UInt64
  private static func bit(_ number: UInt64) -> Self { Self(rawValue: 1 << number) }

  static let multiqueue = bit(0)
  static let sharedMemoryLog = bit(1)
  static let rarp = bit(2)
  static let replyAcknowledge = bit(3)
  static let mtu = bit(4)
  static let backendRequests = bit(5)
  static let config = bit(9)
  static let inflight = bit(12)
  static let resetDevice = bit(13)
  static let configureMemorySlots = bit(15)
  static let status = bit(16)

  /// What GET_PROTOCOL_FEATURES answers.
  static let offered: Self = [
    .multiqueue, .sharedMemoryLog, .rarp, .replyAcknowledge, .mtu, .backendRequests, .config, .inflight,
    .resetDevice, .configureMemorySlots, .status,
  ]
}
