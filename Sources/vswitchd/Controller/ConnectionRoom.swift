// How many connections one listener has at once. When it is full, a new one takes the place of the oldest that has not
// greeted, else of the one that has been silent longest: sockets that do nothing keep nobody out. Any thread.

import NIOCore
import OpenFlow
import Synchronization

/// The connections of one listener.
final class ConnectionRoom: Sendable {
  private struct State {
    var connections: [Int: OpenFlowConnection] = [:]
    var next = 0
    var isClosed = false
  }

  private let limit: Int
  private let state = Mutex(State())

  init(limit: Int = 64) { self.limit = limit }

  var count: Int { state.withLock { $0.connections.count } }

  /// Takes a connection in until it ends.
  /// - Returns: false if the listener is closed.
  func admit(_ connection: OpenFlowConnection) -> Bool {
    let (number, victim) = state.withLock { state -> (Int?, OpenFlowConnection?) in
      if state.isClosed { return (nil, nil) }
      var victim: OpenFlowConnection?
      if state.connections.count >= limit {
        let silent = state.connections.filter { $0.value.version == nil }.min { $0.key < $1.key }
        let chosen = silent ?? state.connections.min { $0.value.lastHeard < $1.value.lastHeard }
        victim = chosen.flatMap { state.connections.removeValue(forKey: $0.key) }
      }
      state.next += 1
      state.connections[state.next] = connection
      return (state.next, victim)
    }
    victim?.close()
    guard let number else { return false }
    connection.channel.closeFuture.whenComplete { [self] _ in
      state.withLock { $0.connections[number] = nil }
    }
    return true
  }

  /// Ends every connection; none is taken in any more.
  func close() {
    let connections = state.withLock { state in
      state.isClosed = true
      return Array(state.connections.values)
    }
    for connection in connections { connection.close() }
  }
}
