// One client of a server: its connection, what it may still do, and the loop that answers its requests in order.

import NIOCore
import Synchronization

/// One client's connection, as a request handler sees it.
package final class JSONRPCSession: Sendable {
  /// Unique in this process.
  package let number: Int
  let connection: JSONRPCConnection
  private let pinned = Mutex(false)

  init(number: Int, connection: JSONRPCConnection) {
    self.number = number
    self.connection = connection
  }

  /// Sends a notification; in the order of the calls.
  package func notify(_ method: String, _ params: JSONValue) {
    connection.send(["id": nil, "method": .string(method), "params": params])
  }

  /// Answers a request for which the handler returned `.deferred`. A notification gets no answer.
  package func respond(to request: JSONRPCRequest, with reply: JSONRPCReply) {
    if request.id.isNull { return }
    switch reply {
    case .result(let result): connection.send(["id": request.id, "result": result, "error": nil])
    case .error(let error): connection.send(["id": request.id, "result": nil, "error": error])
    case .deferred: break
    }
  }

  /// Cuts the connection.
  package func close() { connection.close() }

  /// Keeps the session when the listener is full and looks for an idle one to close: it waits for updates.
  package var isPinned: Bool {
    get { pinned.withLock { $0 } }
    set { pinned.withLock { $0 = newValue } }
  }

  /// Answers requests until the connection ends.
  func serve(_ handler: JSONRPCServer.Handler) async {
    for await batch in connection.batches {
      for message in batch.messages { await answer(message, handler) }
      if let error = batch.error {
        let details = "\(error.description) at byte \(error.byteOffset); the connection is closed"
        connection.send([
          "id": nil, "result": nil, "error": OVSDBError("syntax error", details).json,
        ])
        connection.closeAfterFlush()
        continue
      }
      connection.readMore()
    }
  }

  private func answer(_ message: JSONValue, _ handler: JSONRPCServer.Handler) async {
    guard let method = message["method"]?.string, let params = message["params"] else {
      // The answer to a probe. Anything else that is no request is worth an error, but not the connection.
      if message["result"] != nil || message["error"] != nil { return }
      connection.send([
        "id": message["id"] ?? nil, "result": nil,
        "error": OVSDBError("syntax error", "a request needs \"method\" and \"params\"").json,
      ])
      return
    }
    let request = JSONRPCRequest(method: method, params: params, id: message["id"] ?? .null)
    if method == "echo" {
      respond(to: request, with: .result(params))
    } else {
      respond(to: request, with: await handler(request, self))
    }
  }
}
