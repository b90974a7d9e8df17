// The network device's configuration space as the back-end has it, for front-ends that ask (GET_CONFIG). The address is the
// front-end's to say: VIRTIO_NET_F_MAC is not offered here, so those bytes are 0. Pure.
// Standard: virtio 1.2 §5.1.4; QEMU docs/interop/vhost-user.rst, VHOST_USER_GET_CONFIG.

/// `struct virtio_net_config`.
struct NetworkDeviceConfig: Equatable, Sendable {
  /// The protocol's limit; what lies behind the fields is 0.
  static let byteCountLimit = 256
  private static let linkUp: UInt16 = 1
  private static let speedUnknown = UInt32.max
  private static let duplexUnknown = UInt8.max

  var queuePairLimit: UInt16
  /// Bytes of the largest packet without its Ethernet header.
  var mtu: UInt16

  /// All `byteCountLimit` bytes.
  var encoded: [UInt8] {
    var result = [UInt8](repeating: 0, count: 6)
    for value in [NetworkDeviceConfig.linkUp, queuePairLimit, mtu] { result += bytes(value) }
    result += bytes(NetworkDeviceConfig.speedUnknown) + [NetworkDeviceConfig.duplexUnknown]
    return result + [UInt8](repeating: 0, count: NetworkDeviceConfig.byteCountLimit - result.count)
  }

  /// GET_CONFIG's answer, of the size of the question; empty, which says that it failed, if that is not inside.
  func answer(_ message: VhostUserMessage) -> [UInt8] {
    let (offset, byteCount, _) = message.config
    guard let range = NetworkDeviceConfig.range(offset, byteCount), message.payload.count == 12 + range.count else {
      return []
    }
    return Array(message.payload.prefix(12) + encoded[range])
  }

  /// SET_CONFIG: a guest can write nothing, a front-end that brings a guest from another host may say what was so there.
  static func checkWrite(_ message: VhostUserMessage) throws(VhostUserFault) {
    let (offset, byteCount, flags) = message.config
    guard let range = range(offset, byteCount), message.payload.count == 12 + range.count else {
      throw .messageSizeWrong
    }
    guard flags & 1 == 1 else { throw .configReadOnly }
  }

  private static func range(_ offset: UInt32, _ byteCount: UInt32) -> Range<Int>? {
    let end = UInt64(offset) + UInt64(byteCount)
    return end <= UInt64(byteCountLimit) ? Int(offset)..<Int(end) : nil
  }
}
