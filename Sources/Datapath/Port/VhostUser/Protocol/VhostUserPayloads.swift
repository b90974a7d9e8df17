// What the payloads of the vhost-user protocol's messages hold, in front-end's and back-end's direction. Pure; sizes were compared
// with the request before (VhostUserMessage.swift), counts inside are compared here.
// Standard: QEMU docs/interop/vhost-user.rst, "Payload".

extension VhostUserMessage {
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

  /// GET_INFLIGHT_FD and SET_INFLIGHT_FD.
  var inflight: InflightDescription {
    InflightDescription(
      byteCount: number, fileOffset: payload.number(UInt64.self, at: 8),
      queueCount: payload.number(UInt16.self, at: 16), queueSize: payload.number(UInt16.self, at: 18))
  }

  /// GET_CONFIG and SET_CONFIG.
  var config: (offset: UInt32, byteCount: UInt32, flags: UInt32) {
    (
      payload.number(UInt32.self, at: 0), payload.number(UInt32.self, at: 4), payload.number(UInt32.self, at: 8)
    )
  }
}

/// The memory in which buffers in flight are noted.
struct InflightDescription: Equatable, Sendable {
  var byteCount: UInt64
  var fileOffset: UInt64
  var queueCount: UInt16
  /// Of the largest queue.
  var queueSize: UInt16

  var encoded: [UInt8] { bytes(byteCount) + bytes(fileOffset) + bytes(queueCount) + bytes(queueSize) + [0, 0, 0, 0] }
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
    return BackendRequest.iotlb.message(payload)
  }
}

/// What the back-end sends on its own channel. None of them asks for a reply.
enum BackendRequest: UInt32, Sendable {
  case iotlb = 1
  case configChange = 2

  func message(_ payload: [UInt8] = []) -> [UInt8] {
    bytes(rawValue) + bytes(UInt32(1)) + bytes(UInt32(payload.count)) + payload
  }
}
