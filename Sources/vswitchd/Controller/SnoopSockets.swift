// The copies that `ovs-ofctl snoop` asks for on `<run dir>/<bridge>.snoop`: every message of the sessions with the bridge's
// controllers, in both directions, each in its own version. Any thread. One that does not read loses messages.

import OpenFlow
import Synchronization

/// Who listens in on a bridge.
final class SnoopHub: OpenFlowMirror {
  private struct State {
    var listeners: [Int: OpenFlowConnection] = [:]
    var next = 0
  }

  private let state = Mutex(State())

  var isWanted: Bool { state.withLock { !$0.listeners.isEmpty } }

  func copy(_ messages: [[UInt8]]) {
    let listeners = state.withLock { $0.listeners }
    for listener in listeners.values where !listener.isCongested { listener.send(messages) }
  }

  /// Serves one who listens in, until the connection ends.
  func serve(_ connection: OpenFlowConnection, _ versions: VersionSet) async {
    let number = state.withLock { state in
      state.next += 1
      return state.next
    }
    await connection.serve(
      versions, SnoopSession { [self] connection in state.withLock { $0.listeners[number] = connection } })
    state.withLock { $0.listeners[number] = nil }
  }
}

/// Answers nothing but signs of life: who listens in has nothing to say.
private struct SnoopSession: OpenFlowHandler {
  let begin: @Sendable (OpenFlowConnection) -> Void

  func connected(_ connection: OpenFlowConnection, version: OpenFlowVersion) { begin(connection) }

  func handle(_ received: ReceivedMessage, from connection: OpenFlowConnection) {
    if case .echoRequest(let data) = received.message.body {
      connection.send(Message(received.message.version, xid: received.message.xid, .echoReply(data)))
    }
  }

  func refused(_ error: OpenFlowError) {}
}
