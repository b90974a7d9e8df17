// Messages of DHCP for IPv4 (RFC 2131 §2, options RFC 2132, long ones RFC 3396). Pure values; any thread. Invariant: any bytes
// are read within their bounds or refused; nothing that is written is longer than the client takes.

/// Kinds of messages (RFC 2132 §9.6).
package enum DHCPMessageType: UInt8, Sendable {
  case discover = 1
  case offer, request, decline, ack, nak, release, inform
}

/// Numbers of the options that the switch knows (RFC 2132 unless said).
package enum DHCPOption {
  package static let subnetMask: UInt8 = 1
  package static let router: UInt8 = 3
  package static let domainNameServer: UInt8 = 6
  package static let hostName: UInt8 = 12
  package static let domainName: UInt8 = 15
  package static let interfaceMTU: UInt8 = 26
  package static let broadcastAddress: UInt8 = 28
  package static let requestedAddress: UInt8 = 50
  package static let leaseTime: UInt8 = 51
  package static let overload: UInt8 = 52
  package static let messageType: UInt8 = 53
  package static let serverIdentifier: UInt8 = 54
  package static let parameterRequestList: UInt8 = 55
  package static let message: UInt8 = 56
  package static let maximumMessageSize: UInt8 = 57
  package static let renewalTime: UInt8 = 58
  package static let rebindingTime: UInt8 = 59
  package static let clientIdentifier: UInt8 = 61
  package static let serverName: UInt8 = 66
  package static let bootFileName: UInt8 = 67
  /// RFC 4702.
  package static let clientFQDN: UInt8 = 81
  /// RFC 3046; given back as it came (RFC 3046 §2.2).
  package static let relayAgentInformation: UInt8 = 82
  /// RFC 3397.
  package static let domainSearch: UInt8 = 119
}

/// A message of a client or of a server.
package struct DHCPMessage: Equatable, Sendable {
  /// The server's, else a client's.
  package var isReply: Bool
  package var transactionID: UInt32
  package var seconds: UInt16 = 0
  /// The client can't take unicast yet.
  package var wantsBroadcast = false
  /// The client's (`ciaddr`), set only where it has one already.
  package var clientAddress: UInt32 = 0
  /// What the client gets (`yiaddr`).
  package var yourAddress: UInt32 = 0
  /// The server to boot from (`siaddr`).
  package var nextServer: UInt32 = 0
  /// Of the relay that the message came through (`giaddr`); 0: none.
  package var relay: UInt32 = 0
  package var hardwareAddress: MACAddress
  /// Relays that it came through.
  package var hops: UInt8 = 0
  package var bootFile = ""
  /// By number; parts of one option are joined (RFC 3396).
  package var options: [UInt8: [UInt8]] = [:]

  package init(isReply: Bool, transactionID: UInt32, hardwareAddress: MACAddress) {
    self.isReply = isReply
    self.transactionID = transactionID
    self.hardwareAddress = hardwareAddress
  }

  private static let cookie: [UInt8] = [99, 130, 83, 99]
  private static let headerCount = 236

  // MARK: reading

  /// Reads a UDP payload; nil if it is no DHCP message of an Ethernet station.
  package init?(_ bytes: [UInt8]) {
    var reader = ByteReader(bytes)
    guard bytes.count >= Self.headerCount + 4, Array(bytes[Self.headerCount..<(Self.headerCount + 4)]) == Self.cookie,
      let operation = reader.uint8(), let hardwareType = reader.uint8(), let hardwareCount = reader.uint8(),
      let hops = reader.uint8(), let transactionID = reader.uint32(), let seconds = reader.uint16(),
      let flags = reader.uint16(), let clientAddress = reader.uint32(), let yourAddress = reader.uint32(),
      let nextServer = reader.uint32(), let relay = reader.uint32(), let mac = reader.mac(),
      operation == 1 || operation == 2, hardwareType == 1, hardwareCount == 6
    else { return nil }
    self.init(isReply: operation == 2, transactionID: transactionID, hardwareAddress: mac)
    self.hops = hops
    self.seconds = seconds
    self.wantsBroadcast = flags & 0x8000 != 0
    self.clientAddress = clientAddress
    self.yourAddress = yourAddress
    self.nextServer = nextServer
    self.relay = relay
    Self.read(bytes[(Self.headerCount + 4)...], into: &options)
    // Fields that are no strings but more options, file first (RFC 2131 §4.1).
    let overload = options[DHCPOption.overload]?.first ?? 0
    if overload & 1 != 0 {
      Self.read(bytes[108..<236], into: &options)
    } else {
      bootFile = String(decoding: bytes[108..<236].prefix { $0 != 0 }, as: UTF8.self)
    }
    if overload & 2 != 0 { Self.read(bytes[44..<108], into: &options) }
  }

  /// Reads options up to the end mark or the end; one that goes past it and what follows are left out.
  private static func read(_ bytes: ArraySlice<UInt8>, into options: inout [UInt8: [UInt8]]) {
    var i = bytes.startIndex
    while i < bytes.endIndex {
      let number = bytes[i]
      if number == 255 { return }
      i += 1
      if number == 0 { continue }
      guard i < bytes.endIndex else { return }
      let end = i + 1 + Int(bytes[i])
      guard end <= bytes.endIndex else { return }
      options[number, default: []] += bytes[(i + 1)..<end]
      i = end
    }
  }

  package var type: DHCPMessageType? {
    guard let bytes = options[DHCPOption.messageType], bytes.count == 1 else { return nil }
    return DHCPMessageType(rawValue: bytes[0])
  }

  /// An option of four bytes; nil if it is not there or has another length.
  package func uint32(_ option: UInt8) -> UInt32? {
    guard let bytes = options[option], bytes.count == 4 else { return nil }
    return bytes.reduce(0) { $0 << 8 | UInt32($1) }
  }

  /// An option of two bytes.
  package func uint16(_ option: UInt8) -> UInt16? {
    guard let bytes = options[option], bytes.count == 2 else { return nil }
    return UInt16(bytes[0]) << 8 | UInt16(bytes[1])
  }

  /// What the client calls itself: the first label of its FQDN or its host name, in lower case; nil without one that is a
  /// host name (RFC 1123 §2.1).
  package var hostName: String? {
    var text = options[DHCPOption.hostName]
    if let fqdn = options[DHCPOption.clientFQDN], fqdn.count > 3 {
      if fqdn[0] & 4 != 0 {
        // In DNS wire form (RFC 4702 §2.1).
        let count = Int(fqdn[3])
        if count > 0, fqdn.count >= 4 + count { text = Array(fqdn[4..<(4 + count)]) }
      } else {
        text = Array(fqdn[3...])
      }
    }
    guard let text else { return nil }
    return Self.hostName(String(decoding: text.prefix { $0 != 0 && $0 != UInt8(ascii: ".") }, as: UTF8.self))
  }

  /// A label that may name a host, in lower case: letters, digits and hyphens, not at its ends, at most 63; nil for others.
  package static func hostName(_ text: String) -> String? {
    let bytes = Array(text.utf8)
    guard (1...63).contains(bytes.count), bytes.first != UInt8(ascii: "-"), bytes.last != UInt8(ascii: "-") else {
      return nil
    }
    for byte in bytes {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"):
        continue
      default: return nil
      }
    }
    return text.lowercased()
  }

  // MARK: writing

  /// The UDP payload. Options are in the order of `first`, then by number.
  /// - Parameters:
  ///   - first: what matters most; what does not fit is left out, from the end.
  ///   - limit: bytes that the payload may have, at least 300.
  package func encoded(first: [UInt8] = [], limit: Int = 548) -> [UInt8] {
    var bytes: [UInt8] = [isReply ? 2 : 1, 1, 6, hops] + transactionID.networkOrder + seconds.networkOrder
    bytes += (wantsBroadcast ? 0x8000 : 0 as UInt16).networkOrder + clientAddress.networkOrder
    bytes += yourAddress.networkOrder + nextServer.networkOrder + relay.networkOrder + hardwareAddress.octets
    bytes += [UInt8](repeating: 0, count: 10 + 64)
    let file = Array(bootFile.utf8.prefix(127))
    bytes += file + [UInt8](repeating: 0, count: 128 - file.count) + Self.cookie
    var order: [UInt8] = []
    var seen: Set<UInt8> = []
    // The type first: some clients look for it there.
    for number in [DHCPOption.messageType] + first + options.keys.sorted() where seen.insert(number).inserted {
      order.append(number)
    }
    for number in order {
      guard let content = options[number], !content.isEmpty else { continue }
      let parts = stride(from: 0, to: content.count, by: 255).map { content[$0..<min($0 + 255, content.count)] }
      // One byte more for the end mark.
      guard bytes.count + content.count + 2 * parts.count + 1 <= limit else { continue }
      for part in parts { bytes += [number, UInt8(part.count)] + part }
    }
    bytes.append(255)
    // BOOTP's size, below which old relays and clients take nothing (RFC 1542 §2.1).
    if bytes.count < 300 { bytes += [UInt8](repeating: 0, count: 300 - bytes.count) }
    return bytes
  }
}
