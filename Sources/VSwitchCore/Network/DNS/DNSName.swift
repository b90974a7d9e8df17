// Domain names on the wire (RFC 1035 §3.1, compression §4.1.4; RFC 9267 on how it goes wrong). Pure values; any thread.
// Invariants: a pointer only goes back, so every walk ends; a name has at most 255 bytes.

/// A domain name: labels as bytes, from the host's up; the root has none. Equal regardless of the case of ASCII letters.
package struct DNSName: Hashable, Sendable, CustomStringConvertible {
  package let labels: [[UInt8]]

  /// Nil if a label is empty or longer than 63 bytes, or the name longer than 255.
  package init?(labels: [[UInt8]]) {
    guard labels.allSatisfy({ (1...63).contains($0.count) }), labels.reduce(1, { $0 + $1.count + 1 }) <= 255 else {
      return nil
    }
    self.labels = labels
  }

  /// Reads names without escapes: `web.lab`, also with a dot at the end.
  package init?(_ text: some StringProtocol) {
    var parts = text.split(separator: ".", omittingEmptySubsequences: false)
    if parts.last == "" { parts.removeLast() }
    self.init(labels: parts.map { Array($0.utf8) })
  }

  /// Reads a name of a message.
  /// - Parameter offset: of the name; behind it afterwards.
  package init?(_ message: [UInt8], at offset: inout Int) {
    var labels: [[UInt8]] = []
    var total = 1
    var i = offset
    var end: Int?
    // What a pointer may go to: before the part that it is in.
    var lowest = offset
    while true {
      guard i >= 0, i < message.count else { return nil }
      let count = Int(message[i])
      switch count >> 6 {
      case 0:
        if count == 0 {
          offset = end ?? i + 1
          self.labels = labels
          return
        }
        total += count + 1
        guard total <= 255, i + 1 + count <= message.count else { return nil }
        labels.append(Array(message[(i + 1)..<(i + 1 + count)]))
        i += 1 + count
      case 3:
        guard i + 1 < message.count else { return nil }
        let target = (count & 0x3f) << 8 | Int(message[i + 1])
        guard target < lowest else { return nil }
        if end == nil { end = i + 2 }
        lowest = target
        i = target
      default: return nil
      }
    }
  }

  /// On the wire, not compressed.
  package var encoded: [UInt8] { labels.flatMap { [UInt8($0.count)] + $0 } + [0] }

  /// Names one after the other, not compressed (RFC 3397 §2, RFC 8106 §5.2); those that are no names are left out. Nil if none is.
  package static func encode(_ names: [String]) -> [UInt8]? {
    let bytes = names.compactMap { DNSName($0) }.filter { !$0.labels.isEmpty }.flatMap(\.encoded)
    return bytes.isEmpty ? nil : bytes
  }

  /// Whether it is a name or below it.
  package func isWithin(_ other: DNSName) -> Bool {
    labels.count >= other.labels.count && DNSName.equal(labels.suffix(other.labels.count), other.labels[...])
  }

  package static func == (a: Self, b: Self) -> Bool {
    a.labels.count == b.labels.count && equal(a.labels[...], b.labels[...])
  }

  package func hash(into hasher: inout Hasher) {
    for label in labels { hasher.combine(label.map(DNSName.folded)) }
  }

  private static func equal(_ a: ArraySlice<[UInt8]>, _ b: ArraySlice<[UInt8]>) -> Bool {
    zip(a, b).allSatisfy { $0.count == $1.count && zip($0, $1).allSatisfy { folded($0) == folded($1) } }
  }

  private static func folded(_ byte: UInt8) -> UInt8 {
    (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte | 0x20 : byte
  }

  /// Whether the case of letters is the same, too.
  package func isIdentical(to other: DNSName) -> Bool { labels == other.labels }

  /// With dots; bytes that are no printable ASCII as `\DDD` (RFC 4343 §2.1).
  package var description: String {
    if labels.isEmpty { return "." }
    return labels.map { label in
      label.map { byte in
        if byte == UInt8(ascii: ".") || byte == UInt8(ascii: "\\") { return "\\" + String(UnicodeScalar(byte)) }
        if (33...126).contains(byte) { return String(UnicodeScalar(byte)) }
        let digits = String(byte)
        return "\\" + String(repeating: "0", count: 3 - digits.count) + digits
      }.joined()
    }.joined(separator: ".")
  }

  /// The name under which the names of an address are asked for (RFC 1035 §3.5, RFC 3596 §2.5).
  package static func reverse(of address: IPAddress) -> DNSName? {
    address.isIPv6
      ? DNSName(
        labels: address.octets.reversed().flatMap { [hexadecimal($0 & 0xf), hexadecimal($0 >> 4)] }
          + [Array("ip6".utf8), Array("arpa".utf8)])
      : DNSName(
        labels: address.octets.reversed().map { Array(String($0).utf8) } + [Array("in-addr".utf8), Array("arpa".utf8)])
  }

  private static func hexadecimal(_ digit: UInt8) -> [UInt8] { Array(String(digit, radix: 16).utf8) }

  /// The address that such a name asks for; nil for others, and for parts of them.
  package var reverseAddress: IPAddress? {
    if labels.count == 6, isWithin(Self.inAddrARPA) {
      return IPAddress(labels[..<4].reversed().map { String(decoding: $0, as: UTF8.self) }.joined(separator: "."))
    }
    guard labels.count == 34, isWithin(Self.ip6ARPA) else { return nil }
    var bits: UInt128 = 0
    for label in labels[..<32].reversed() {
      guard label.count == 1, label[0] != UInt8(ascii: "+"), label[0] != UInt8(ascii: "-"),
        let digit = UInt8(String(decoding: label, as: UTF8.self), radix: 16)
      else { return nil }
      bits = bits << 4 | UInt128(digit)
    }
    return IPAddress(ipv6: bits)
  }

  private static let inAddrARPA = DNSName(known: "in-addr", "arpa")
  private static let ip6ARPA = DNSName(known: "ip6", "arpa")

  private init(known labels: String...) { self.labels = labels.map { Array($0.utf8) } }
}
