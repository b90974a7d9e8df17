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
  case getConfig = 24
  case setConfig = 25
  case getInflightDescriptor = 31
  case setInflightDescriptor = 32
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
    // Offset, size and flags, then so many bytes of the device's configuration; compared with the size where it is used.
    case .getConfig, .setConfig: 12...(12 + NetworkDeviceConfig.byteCountLimit)
    // C's structure of it is padded.
    case .getInflightDescriptor, .setInflightDescriptor: 20...24
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
    case .setLogBase, .setLogDescriptor, .setBackendRequestDescriptor, .addMemoryRegion, .setInflightDescriptor: 1...1
    case .setVringKick, .setVringCall, .setVringError: 0...1
    // Older front-ends send the region's descriptor along.
    case .removeMemoryRegion: 0...1
    default: 0...0
    }
  }

  /// It is answered with more than whether it was done.
  var hasOwnReply: Bool {
    switch self {
    case .getFeatures, .getProtocolFeatures, .getQueueCount, .getMemorySlotLimit, .getVringBase, .getStatus, .getConfig,
      .getInflightDescriptor, .setLogBase:
      true
    default: false
    }
  }

  /// The feature that has to be negotiated first.
  var needs: VhostUserProtocolFeatures {
    switch self {
    case .getQueueCount: .multiqueue
    case .sendRARP: .rarp
    case .setMTU: .mtu
    case .setBackendRequestDescriptor: .backendRequests
    case .getConfig, .setConfig: .config
    case .getInflightDescriptor, .setInflightDescriptor: .inflight
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
  static let payloadLimit = 12 + NetworkDeviceConfig.byteCountLimit
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

/// What a request is answered with.
struct VhostUserReply {
  /// Empty: nothing is answered.
  var bytes: [UInt8] = []
  /// Sent along with them.
  var descriptor: OwnedDescriptor?

  init() {}

  init(to request: VhostUserRequest, _ payload: [UInt8], descriptor: OwnedDescriptor? = nil) {
    bytes = VhostUserHeader.reply(to: request, payload)
    self.descriptor = descriptor
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
