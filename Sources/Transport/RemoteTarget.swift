// What a row of Manager or Controller asks for: its column `target` (ovs-vswitchd.conf.db(5)) in parts. Pure.
// Two choices are for safety: plain TCP without an address is for this host alone, and sockets in the file system are
// below one directory.

/// Where to wait for clients, or whom to connect to.
package enum RemoteTarget: Equatable, Sendable {
  /// `ptcp:[PORT][:IP]`, `pssl:[PORT][:IP]`, `punix:FILE`.
  case listen(Endpoint)
  /// `tcp:HOST[:PORT]`, `ssl:HOST[:PORT]`, `unix:FILE`.
  case connect(Endpoint)

  /// - Parameter directory: where sockets may be.
  /// - Throws: `TransportError`, cause and remedy in one line.
  package init(
    _ text: String, sockets directory: ConfinedDirectory, defaultPort: Int = Endpoint.databasePort
  ) throws(TransportError) {
    guard let colon = text.firstIndex(of: ":") else { throw Self.unknown(text) }
    let rest = String(text[text.index(after: colon)...])
    switch text[..<colon] {
    case "ptcp":
      let (port, host) = try Self.address(rest, of: text, defaultPort, "127.0.0.1")
      self = .listen(.tcp(host: host, port: port))
    case "pssl":
      let (port, host) = try Self.address(rest, of: text, defaultPort, "0.0.0.0")
      self = .listen(.ssl(host: host, port: port))
    case "punix": self = .listen(.unix(path: try Self.path(rest, directory)))
    case "unix": self = .connect(.unix(path: try Self.path(rest, directory)))
    case "tcp", "ssl":
      guard let endpoint = Endpoint(text, defaultPort: defaultPort) else { throw Self.unknown(text) }
      self = .connect(endpoint)
    default: throw Self.unknown(text)
    }
  }

  package var endpoint: Endpoint {
    switch self {
    case .listen(let endpoint), .connect(let endpoint): endpoint
    }
  }

  /// `PORT:IP` with both parts optional, an IPv6 address in brackets; port 0 lets the kernel choose.
  private static func address(
    _ text: String, of target: String, _ defaultPort: Int, _ host: String
  ) throws(TransportError) -> (port: Int, host: String) {
    var host = host
    var digits = Substring(text)
    if let colon = text.firstIndex(of: ":") {
      digits = text[..<colon]
      host = String(text[text.index(after: colon)...])
      if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
    }
    let isNumber = digits.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
    guard let port = digits.isEmpty ? defaultPort : Int(digits), isNumber, port <= 65535, !host.isEmpty else {
      throw unknown(target)
    }
    return (port, host)
  }

  private static func path(_ text: String, _ directory: ConfinedDirectory) throws(TransportError) -> String {
    let components = try directory.components(of: text)
    guard components.count == 1 else {
      throw TransportError("\(text.debugDescription) is not in \(directory.path): name a socket in that directory")
    }
    return directory.path + "/" + components[0]
  }

  private static func unknown(_ text: String) -> TransportError {
    TransportError(
      "\(text.debugDescription) is no target: give ptcp:PORT:IP, pssl:PORT:IP, punix:FILE, tcp:HOST:PORT, "
        + "ssl:HOST:PORT or unix:FILE")
  }
}
