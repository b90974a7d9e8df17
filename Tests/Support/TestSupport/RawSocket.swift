// Arbitrary frames on a link in a network namespace, VLAN tags included, without the 8021q module: an AF_PACKET socket
// opened by a thread of its own, for a network namespace belongs to a thread. The kernel takes the outer tag of a
// received frame out of the bytes; it is put back from PACKET_AUXDATA. Thread: one at a time. packet(7).

import CTestSupport
import Foundation
import Glibc
import Synchronization

/// Reads and writes whole frames on one link.
package final class RawSocket {
  private let descriptor: Int32

  // linux/if_packet.h, which Glibc's module leaves out.
  private static let solPacket: Int32 = 263
  private static let auxiliaryData: Int32 = 8
  private static let ignoreOutgoing: Int32 = 23
  private static let vlanValid: UInt32 = 1 << 4
  private static let vlanTPIDValid: UInt32 = 1 << 6

  /// - Parameters:
  ///   - namespace: name under /run/netns; nil for the test's own.
  ///   - interface: the link; it has to exist.
  package init(namespace: String?, interface: String) throws {
    descriptor =
      try namespace.map { try inNetworkNamespace($0) { Self.open(interface: interface) } }
      ?? Self.open(interface: interface)
    if descriptor < 0 {
      throw TestFailure("no raw socket on \(interface) in \(namespace ?? "this namespace"): errno \(-descriptor)")
    }
  }

  deinit { close(descriptor) }

  /// - Returns: the socket, or the negated errno.
  private static func open(interface: String) -> Int32 {
    let allProtocols = UInt16(0x0003).bigEndian
    let made = socket(AF_PACKET, Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue), Int32(allProtocols))
    guard made >= 0 else { return -errno }
    let index = unsafe if_nametoindex(interface)
    // struct sockaddr_ll
    var address = [UInt8](repeating: 0, count: 20)
    unsafe address.withUnsafeMutableBytes { bytes in
      unsafe bytes.storeBytes(of: UInt16(AF_PACKET), toByteOffset: 0, as: UInt16.self)
      unsafe bytes.storeBytes(of: allProtocols, toByteOffset: 2, as: UInt16.self)
      unsafe bytes.storeBytes(of: Int32(bitPattern: index), toByteOffset: 4, as: Int32.self)
    }
    var one: Int32 = 1
    unsafe setsockopt(made, solPacket, auxiliaryData, &one, 4)
    unsafe setsockopt(made, solPacket, ignoreOutgoing, &one, 4)
    var space: Int32 = 8 << 20
    unsafe setsockopt(made, SOL_SOCKET, SO_RCVBUFFORCE, &space, 4)
    let code = unsafe address.withUnsafeBytes { bytes in
      guard let base = bytes.baseAddress else { return Int32(-1) }
      return unsafe bind(made, base.assumingMemoryBound(to: sockaddr.self), socklen_t(bytes.count))
    }
    guard index != 0, code == 0 else {
      let cause = index == 0 ? ENODEV : errno
      close(made)
      return -cause
    }
    return made
  }

  /// Writes a frame; the kernel refuses one that is longer than the link's MTU allows.
  package func send(_ frame: [UInt8]) throws {
    let sent = unsafe frame.withUnsafeBytes { unsafe Glibc.send(descriptor, $0.baseAddress, $0.count, 0) }
    guard sent == frame.count else { throw TestFailure("cannot send \(frame.count) bytes: errno \(errno)") }
  }

  /// The next frame that arrived, with its tags; nil if none comes in time.
  package func receive(_ deadline: Duration = .seconds(1)) -> [UInt8]? {
    let end = ContinuousClock.now + deadline
    while true {
      let left = end - ContinuousClock.now
      var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      let milliseconds = left.components.seconds * 1000 + left.components.attoseconds / 1_000_000_000_000_000
      guard unsafe Glibc.poll(&poll, 1, Int32(clamping: max(milliseconds, 0))) > 0 else { return nil }
      if let frame = receiveNow() { return frame }
    }
  }

  /// Every frame of the next `duration` that passes the filter.
  package func receiveAll(_ duration: Duration, where isWanted: ([UInt8]) -> Bool = { _ in true }) -> [[UInt8]] {
    let end = ContinuousClock.now + duration
    var frames: [[UInt8]] = []
    while ContinuousClock.now < end, let frame = receive(end - ContinuousClock.now) {
      if isWanted(frame) { frames.append(frame) }
    }
    return frames
  }

  /// The first frame that passes the filter.
  package func receive(_ deadline: Duration, where isWanted: ([UInt8]) -> Bool) -> [UInt8]? {
    let end = ContinuousClock.now + deadline
    while ContinuousClock.now < end, let frame = receive(end - ContinuousClock.now) {
      if isWanted(frame) { return frame }
    }
    return nil
  }

  private func receiveNow() -> [UInt8]? {
    var buffer = [UInt8](repeating: 0, count: 1 << 17)
    var control = [UInt8](repeating: 0, count: 256)
    var controlCount = 0
    let count = unsafe buffer.withUnsafeMutableBytes { bytes in
      unsafe control.withUnsafeMutableBytes { controlBytes in
        var vector = unsafe iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
        return unsafe withUnsafeMutablePointer(to: &vector) { vectorPointer in
          var message = unsafe msghdr()
          unsafe message.msg_iov = unsafe vectorPointer
          unsafe message.msg_iovlen = 1
          unsafe message.msg_control = controlBytes.baseAddress
          unsafe message.msg_controllen = controlBytes.count
          let count = unsafe recvmsg(descriptor, &message, Int32(MSG_DONTWAIT))
          controlCount = unsafe Int(message.msg_controllen)
          return count
        }
      }
    }
    guard count > 0 else { return nil }
    var frame = Array(buffer.prefix(count))
    // cmsghdr: length 8 bytes, level 4, type 4; then tpacket_auxdata: status, len, snaplen 4 bytes each; mac, net,
    // vlan_tci, vlan_tpid 2 bytes each.
    guard controlCount >= 36, count >= 12 else { return frame }
    let (status, control16, etherType) = unsafe control.withUnsafeBytes { bytes in
      unsafe (
        bytes.load(fromByteOffset: 16, as: UInt32.self), bytes.load(fromByteOffset: 32, as: UInt16.self),
        bytes.load(fromByteOffset: 34, as: UInt16.self)
      )
    }
    if status & Self.vlanValid != 0 {
      let type = status & Self.vlanTPIDValid != 0 ? etherType : 0x8100
      frame.insert(
        contentsOf: [UInt8(type >> 8), UInt8(type & 0xff), UInt8(control16 >> 8), UInt8(control16 & 0xff)], at: 12)
    }
    return frame
  }
}
