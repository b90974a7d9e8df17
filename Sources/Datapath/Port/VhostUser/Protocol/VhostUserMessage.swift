// The messages of the vhost-user protocol: which there are, how long each is, how many descriptors come with it, and the
// bytes of requests, replies and of what the back-end sends on its own channel. Pure; any bytes end as a message or a fault.
// Standard: QEMU docs/interop/vhost-user.rst. All numbers are in the host's order, as both ends share a host.

/// Requests that a net device's front-end sends.
enum VhostUserRequest: UInt32, CaseIterable, Sendable {
  case getFeatures = 1
  case setFeatures = 2
  case setOwner = 3
  case resetOwner = 4
  case setMemoryTable = 5
  case setLogBase = 6
  case setLogDescriptor = 7
  case setVringSize = 8
  case setVringAddress = 9
  case setVringBase = 10
  case getVringBase = 11
  case setVringKick = 12
  case setVringCall = 13
  case setVringError = 14
  case getProtocolFeatures = 15
  case setProtocolFeatures = 16
  case getQueueCount = 17
  case setVringEnable = 18
  case sendRARP = 19
  case setMTU = 20
  case setBackendRequestDescriptor = 21
  case iotlb = 22
  case resetDevice = 34
  case getMemorySlotLimit = 36
  case addMemoryRegion = 37
  case removeMemoryRegion = 38
  case setStatus = 39
  case getStatus = 40

  /// Payload sizes that are right.
  var byteCounts: ClosedRange<Int> {
    switch self {
    case .getFeatures, .setOwner, .resetOwner, .getProtocolFeatures, .getQueueCount, .setBackendRequestDescriptor,
      .resetDevice, .getMemorySlotLimit, .getStatus:
      0...0
    // A count and padding, then at most 8 regions; the count is compared with the size by the decoder.
    case .setMemoryTable: 8...(8 + 8 * 32)
    case .setLogBase: 16...16
    // The specification gives it none; some front-ends send a number that says nothing.
    case .setLogDescriptor: 0...8
    case .setVringAddress, .addMemoryRegion, .removeMemoryRegion: 40...40
    case .iotlb: 32...32
    case .setFeatures, .setVringSize, .setVringBase, .getVringBase, .setVringKick, .setVringCall, .setVringError,
      .setProtocolFeatures, .setVringEnable, .sendRARP, .setMTU, .setStatus:
      8...8
    }
  }

  /// Numbers of descriptors that are right.
  var descriptorCounts: ClosedRange<Int> {
    switch self {
    // As many as regions; compared by the decoder.
    case .setMemoryTable: 0...8
    case .setLogBase, .setLogDescriptor, .setBackendRequestDescriptor, .addMemoryRegion: 1...1
    case .setVringKick, .setVringCall, .setVringError: 0...1
    // Older front-ends send the region's descriptor along.
    case .removeMemoryRegion: 0...1
    default: 0...0
    }
  }

  /// The feature that has to be negotiated first.
  var needs: VhostUserProtocolFeatures {
    switch self {
    case .getQueueCount: .multiqueue
    case .sendRARP: .rarp
    case .setMTU: .mtu
    case .setBackendRequestDescriptor: .backendRequests
    case .resetDevice: .resetDevice
    case .getMemorySlotLimit, .addMemoryRegion, .removeMemoryRegion: .configureMemorySlots
    case .setStatus, .getStatus: .status
    default: []
    }
  }
}

/// The 12 bytes before each payload.
struct VhostUserHeader: Equatable, Sendable {
  static let byteCount = 12
  /// The longest payload of any message.
  static let payloadLimit = 8 + 8 * 32
  private static let versionMask: UInt32 = 3
  private static let reply: UInt32 = 4
  private static let needReply: UInt32 = 8

  var request: VhostUserRequest
  /// The front-end waits for an answer even if the request has none of its own.
  var wantsReply: Bool
  var payloadByteCount: Int

  /// - Parameter bytes: 12 bytes.
  init(_ bytes: ArraySlice<UInt8>) throws(VhostUserFault) {
    let flags = bytes.number(UInt32.self, at: 4)
    let size = bytes.number(UInt32.self, at: 8)
    guard flags & VhostUserHeader.versionMask == 1 else { throw .messageVersionWrong }
    guard flags & VhostUserHeader.reply == 0 else { throw .messageIsReply }
    guard size <= VhostUserHeader.payloadLimit else { throw .messageTooLong }
    guard let request = VhostUserRequest(rawValue: bytes.number(UInt32.self, at: 0)) else { throw .messageUnknown }
    guard request.byteCounts.contains(Int(size)) else { throw .messageSizeWrong }
    self.request = request
    wantsReply = flags & VhostUserHeader.needReply != 0
    payloadByteCount = Int(size)
  }

  /// A reply's bytes.
  static func reply(to request: VhostUserRequest, _ payload: [UInt8]) -> [UInt8] {
    bytes(request.rawValue) + bytes(UInt32(5)) + bytes(UInt32(payload.count)) + payload
  }
}

/// A request that was received whole.
struct VhostUserMessage: Sendable {
  var request: VhostUserRequest
  var wantsReply: Bool
  /// Of a size that is right for the request.
  var payload: ArraySlice<UInt8>
  /// As many as the request may have.
  var descriptors: [OwnedDescriptor]

  init(_ header: VhostUserHeader, payload: ArraySlice<UInt8>, descriptors: [OwnedDescriptor]) throws(VhostUserFault) {
    guard header.request.descriptorCounts.contains(descriptors.count) else { throw .messageDescriptorCountWrong }
    request = header.request
    wantsReply = header.wantsReply
    self.payload = payload
    self.descriptors = descriptors
  }

  /// The payload as one number.
  var number: UInt64 { payload.number(UInt64.self, at: 0) }
  /// The payload as a queue's index and a number.
  var queueNumber: (index: UInt32, value: UInt32) {
    (payload.number(UInt32.self, at: 0), payload.number(UInt32.self, at: 4))
  }

  /// SET_MEM_TABLE's regions.
  func memoryTable() throws(VhostUserFault) -> [GuestRegionDescription] {
    let count = Int(payload.number(UInt32.self, at: 0))
    guard count <= 8, payload.count == 8 + 32 * count else { throw .messageSizeWrong }
    guard descriptors.count == count else { throw .messageDescriptorCountWrong }
    return (0..<count).map { region(at: 8 + 32 * $0) }
  }

  /// The region of ADD_MEM_REG and REM_MEM_REG.
  var memoryRegion: GuestRegionDescription { region(at: 8) }

  private func region(at offset: Int) -> GuestRegionDescription {
    GuestRegionDescription(
      guestAddress: payload.number(UInt64.self, at: offset), byteCount: payload.number(UInt64.self, at: offset + 8),
      userAddress: payload.number(UInt64.self, at: offset + 16),
      fileOffset: payload.number(UInt64.self, at: offset + 24))
  }

  /// SET_VRING_ADDR.
  var vringAddresses: (index: UInt32, addresses: VringAddresses) {
    (
      payload.number(UInt32.self, at: 0),
      VringAddresses(
        flags: payload.number(UInt32.self, at: 4), descriptors: payload.number(UInt64.self, at: 8),
        deviceArea: payload.number(UInt64.self, at: 16), driverArea: payload.number(UInt64.self, at: 24),
        log: payload.number(UInt64.self, at: 32))
    )
  }

  /// SET_LOG_BASE.
  var logBase: (byteCount: UInt64, offset: UInt64) { (number, payload.number(UInt64.self, at: 8)) }

  /// IOTLB_MSG.
  var iotlb: IOTLBMessage? {
    guard let kind = IOTLBMessage.Kind(rawValue: payload.number(UInt8.self, at: 25)) else { return nil }
    return IOTLBMessage(
      address: number, byteCount: payload.number(UInt64.self, at: 8),
      userAddress: payload.number(UInt64.self, at: 16), permission: payload.number(UInt8.self, at: 24), kind: kind)
  }
}

/// Where a ring's parts are, in the front-end's addresses.
struct VringAddresses: Equatable, Sendable {
  static let logged: UInt32 = 1

  var flags: UInt32
  var descriptors: UInt64
  var deviceArea: UInt64
  var driverArea: UInt64
  /// Guest address of the used ring, for the log of changed pages.
  var log: UInt64
}

/// A question or answer about I/O virtual addresses.
struct IOTLBMessage: Equatable, Sendable {
  enum Kind: UInt8, Sendable {
    case miss = 1
    case update = 2
    case invalidate = 3
    case accessFailure = 4
  }
  var address: UInt64
  var byteCount: UInt64
  var userAddress: UInt64
  /// 1 read, 2 write.
  var permission: UInt8
  var kind: Kind

  /// The message by which the back-end asks on its own channel (BACKEND_IOTLB_MSG).
  static func question(_ miss: IOTLB.Miss) -> [UInt8] {
    var payload = bytes(miss.address) + bytes(UInt64(0)) + bytes(UInt64(0))
    payload += [miss.writes ? 2 : 1, Kind.miss.rawValue, 0, 0, 0, 0, 0, 0]
    return bytes(UInt32(1)) + bytes(UInt32(1)) + bytes(UInt32(payload.count)) + payload
  }
}

/// A number's bytes in the host's order.
func bytes<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
  (0..<T.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> T(8 * $0)) }
}

extension ArraySlice<UInt8> {
  /// A number in little-endian order, which is the host's; missing bytes count as 0.
  func number<T: FixedWidthInteger>(_: T.Type, at offset: Int) -> T {
    var value: T = 0
    for position in 0..<T.bitWidth / 8 where offset + position < count {
      value |= T(truncatingIfNeeded: self[startIndex + offset + position]) << T(8 * position)
    }
    return value
  }
}
