// Where a server listens or a client connects, in Open vSwitch's notation.

/// A `unix:PATH`, `tcp:HOST:PORT` or `ssl:HOST:PORT`.
package enum Endpoint: Sendable, Equatable, CustomStringConvertible {
  case unix(path: String)
  case tcp(host: String, port: Int)
  case ssl(host: String, port: Int)

  /// OVSDB's (RFC 7047 §8).
  package static let databasePort = 6640
  /// OpenFlow's (OpenFlow 1.5 §6.3.2).
  package static let openFlowPort = 6653

  /// Parses `unix:PATH`, `tcp:HOST:PORT` or `tcp:HOST`, and `ssl` like `tcp`; an IPv6 host stands in brackets. Nil for
  /// anything else.
  package init?(_ text: String, defaultPort: Int = databasePort) {
    if text.hasPrefix("unix:"), text.utf8.count > 5 {
      self = .unix(path: String(text.dropFirst(5)))
    } else if text.hasPrefix("tcp:") || text.hasPrefix("ssl:") {
      var host = String(text.dropFirst(4))
      var port = defaultPort
      if host.hasPrefix("["), let close = host.firstIndex(of: "]") {
        let rest = host[host.index(after: close)...]
        if rest.hasPrefix(":") {
          guard let number = Int(rest.dropFirst()) else { return nil }
          port = number
        } else if !rest.isEmpty {
          return nil
        }
        host = String(host[host.index(after: host.startIndex)..<close])
      } else if let colon = host.lastIndex(of: ":") {
        guard let number = Int(host[host.index(after: colon)...]) else { return nil }
        port = number
        host = String(host[..<colon])
      }
      guard (1...65535).contains(port), !host.isEmpty else { return nil }
      self = text.hasPrefix("ssl:") ? .ssl(host: host, port: port) : .tcp(host: host, port: port)
    } else {
      return nil
    }
  }

  package var description: String {
    switch self {
    case .unix(let path): "unix:\(path)"
    case .tcp(let host, let port): "tcp:" + Self.text(host, port)
    case .ssl(let host, let port): "ssl:" + Self.text(host, port)
    }
  }

  private static func text(_ host: String, _ port: Int) -> String {
    host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
  }

  /// Whether the connection is encrypted.
  package var isTLS: Bool { if case .ssl = self { true } else { false } }
}
