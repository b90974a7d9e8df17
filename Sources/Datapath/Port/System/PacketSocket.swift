// Packet sockets that are open and belong to no link yet. The kernel has each wait for a grace period, 12 to 20 ms, when it
// gets its ring; sockets that are opened at the same time wait for the same one.
//
// Thread: control code; threads of its own while several are opened. Owner: whoever takes a socket, until it is closed.

import COFlow
import Glibc
import Synchronization
import VSwitchCore

/// A packet socket and its ring. `@unchecked`: the ring's memory is the socket's alone, and one owner has both.
@safe struct PacketSocket: @unchecked Sendable {
  /// A negative errno if it could not be opened.
  let descriptor: Int32
  private let ring: coflow_packet_ring

  init() {
    var ring = unsafe coflow_packet_ring()
    descriptor = unsafe coflow_packet_open(&ring)
    unsafe self.ring = unsafe ring
  }

  /// What frames are read from. Closed by its reader, or by `close`.
  var frames: PacketRing { unsafe PacketRing(ring) }

  func close() {
    guard descriptor >= 0 else { return }
    var frames = frames
    frames.close()
    _ = Glibc.close(descriptor)
  }
}

/// Opens the packet sockets of a pass over ports: the first port that needs one has as many opened as may be needed.
struct PacketSocketSupply: ~Copyable {
  private var sockets: [PacketSocket] = []
  private var expected: Int
  /// So many are opened at the same time.
  private static let most = 32

  /// - Parameter expected: how many ports may ask.
  init(expected: Int) { self.expected = expected }

  deinit { for socket in sockets { socket.close() } }

  mutating func take() -> PacketSocket {
    if sockets.isEmpty { sockets = Self.open(min(max(expected, 1), Self.most)) }
    expected -= 1
    return sockets.popLast() ?? PacketSocket()
  }

  private static func open(_ count: Int) -> [PacketSocket] {
    guard count > 1 else { return [PacketSocket()] }
    let opened = Opened()
    let threads = (0..<count).map { _ in
      startThread(name: "sockets") { [opened] in
        let socket = PacketSocket()
        opened.sockets.withLock { $0.append(socket) }
      }
    }
    for (thread, failure) in threads where failure == 0 { pthread_join(thread, nil) }
    return opened.sockets.withLock { $0 }
  }

  private final class Opened: Sendable {
    let sockets = Mutex<[PacketSocket]>([])
  }
}
