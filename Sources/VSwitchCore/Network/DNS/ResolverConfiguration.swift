// The host's resolver configuration, resolv.conf(5). Pure; any thread.

/// What of it matters here.
package struct ResolverConfiguration: Equatable, Sendable {
  /// At most three, as the C library asks.
  package var servers: [IPAddress] = []

  /// Lines that say nothing of servers, or nothing readable, are left out.
  package init(_ text: String) {
    for line in text.split(whereSeparator: \.isNewline) {
      let words = line.split(whereSeparator: \.isWhitespace)
      guard words.count >= 2, words[0] == "nameserver" else { continue }
      // A link-local address has its link behind it, which a socket here could not use.
      guard let address = IPAddress(words[1]), !address.isMulticast, servers.count < 3 else { continue }
      servers.append(address)
    }
  }
}
