// JSON-RPC 1.0 as OVSDB and Open vSwitch's control sockets speak it (RFC 7047 §4): values shared by both ends.

/// A request or notification from a peer.
package struct JSONRPCRequest: Sendable {
  package let method: String
  package let params: JSONValue
  /// Null for a notification, which gets no answer.
  package let id: JSONValue
}

/// What a handler does with a request.
package enum JSONRPCReply: Sendable {
  case result(JSONValue)
  /// The error member of the response: an object in OVSDB, a string on a control socket.
  case error(JSONValue)
  /// The handler answers later, or has answered, through `JSONRPCSession.respond`.
  case deferred
}

/// Why a call failed.
package enum JSONRPCError: Error, Sendable, CustomStringConvertible {
  /// The peer answered with an error.
  case remote(JSONValue)
  /// No connection could be made, or it ended; cause and remedy in one line.
  case connection(String)

  package var description: String {
    switch self {
    case .remote(let error): error.string ?? error["details"]?.string ?? error.serialized()
    case .connection(let text): text
    }
  }
}

/// What one listener grants its clients.
package struct JSONRPCLimits: Sendable {
  package var json = JSONLimits.control
  /// Bytes waiting for a client that does not read; at more it is cut off.
  package var pendingOutputByteLimit = 8 << 20
  /// Bytes of messages that are not whole yet, of all clients together.
  package var unfinishedInputByteLimit = 64 << 20
  package var connectionLimit = 64
  /// A client that has sent no whole request by then is closed; nil: never.
  package var handshakeSeconds: Int? = 10
  /// A client heard nothing from for that long gets an `echo`, and is closed after as long again; nil: never.
  package var probeMilliseconds: Int? = nil

  package init() {}
}
