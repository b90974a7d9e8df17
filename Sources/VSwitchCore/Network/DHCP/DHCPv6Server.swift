// Stateless DHCP for IPv6 (RFC 8415 §18.3.6 with options of RFC 3646): hosts have addresses by SLAAC and ask for name servers.
// Pure; any thread. Invariant: any bytes are read within their bounds or refused. Nothing is remembered of clients.

/// What hosts are told, and by whom.
package struct DHCPv6Settings: Equatable, Sendable {
  /// Of the router's port; names the server, too (DUID-LL, RFC 8415 §11.4).
  package var serverMAC: MACAddress
  package var dnsServers: [IPAddress]
  package var search: [String]

  package init(serverMAC: MACAddress, dnsServers: [IPAddress], search: [String]) {
    self.serverMAC = serverMAC
    self.dnsServers = dnsServers
    self.search = search
  }
}

package enum DHCPv6Server {
  private static let reply: UInt8 = 7
  private static let informationRequest: UInt8 = 11
  private enum Option {
    static let clientIdentifier: UInt16 = 1
    static let serverIdentifier: UInt16 = 2
    /// Addresses for a client: IA_NA, IA_TA, IA_PD.
    static let associations: Set<UInt16> = [3, 4, 25]
    static let requested: UInt16 = 6
    static let dnsServers: UInt16 = 23
    static let domainList: UInt16 = 24
    static let refreshTime: UInt16 = 32
  }

  /// The answer to a datagram to port 547; nil if none is owed.
  /// - Parameter source: the server's link-local address.
  package static func answer(_ datagram: UDPDatagram, _ settings: DHCPv6Settings, source: IPAddress) -> UDPDatagram? {
    // From the link itself only (RFC 8415 §18.2.6): a relay's would be of another type.
    guard datagram.source.isIPv6, datagram.source.isLinkLocal, let options = read(datagram.payload) else { return nil }
    let identifier: [UInt8] = [0, 3, 0, 1] + settings.serverMAC.octets
    // Not for another server, nor about addresses (§16.12).
    guard options[Option.serverIdentifier].map({ $0 == identifier }) ?? true,
      Option.associations.isDisjoint(with: options.keys)
    else { return nil }
    var payload = [reply] + datagram.payload[1..<4]
    append(Option.serverIdentifier, identifier, to: &payload)
    if let client = options[Option.clientIdentifier] {
      guard client.count <= 130 else { return nil }
      append(Option.clientIdentifier, client, to: &payload)
    }
    let requested = options[Option.requested].map { bytes in
      stride(from: 0, to: bytes.count - 1, by: 2).map { UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1]) }
    }
    func isWanted(_ option: UInt16) -> Bool { requested?.contains(option) ?? true }
    if isWanted(Option.dnsServers) { append(Option.dnsServers, settings.dnsServers.flatMap(\.octets), to: &payload) }
    if isWanted(Option.domainList), let names = DNSName.encode(settings.search) {
      append(Option.domainList, names, to: &payload)
    }
    // An hour: the name servers of a network seldom change.
    if isWanted(Option.refreshTime) { append(Option.refreshTime, UInt32(3600).networkOrder, to: &payload) }
    var answer = datagram.reply(payload)
    answer.sourceMAC = settings.serverMAC
    answer.source = source
    answer.destinationPort = 546
    return answer
  }

  /// The options of an information request by number; the first of a kind counts. Nil for other messages and for lengths that
  /// do not fit.
  private static func read(_ bytes: [UInt8]) -> [UInt16: [UInt8]]? {
    var reader = ByteReader(bytes)
    guard reader.uint8() == informationRequest, reader.take(3) != nil else { return nil }
    var options: [UInt16: [UInt8]] = [:]
    while reader.remaining > 0 {
      guard let number = reader.uint16(), let count = reader.uint16(), let content = reader.take(Int(count)) else {
        return nil
      }
      if options[number] == nil { options[number] = content }
    }
    return options
  }

  private static func append(_ number: UInt16, _ content: [UInt8], to payload: inout [UInt8]) {
    guard !content.isEmpty, content.count <= 0xffff else { return }
    payload += number.networkOrder + UInt16(content.count).networkOrder + content
  }
}
