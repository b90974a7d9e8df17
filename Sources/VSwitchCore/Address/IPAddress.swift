// IPv4 and IPv6 addresses and prefixes as values: text form (dotted; RFC 4291 §2.2, printed by RFC 5952), bits, well-known
// ranges.

/// An IPv4 or IPv6 address, host order.
public struct IPAddress: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// IPv4 in the low 32 bits.
  public let bits: UInt128
  public let isIPv6: Bool

  public init(ipv4: UInt32) {
    bits = UInt128(ipv4)
    isIPv6 = false
  }

  public init(ipv6: UInt128) {
    bits = ipv6
    isIPv6 = true
  }

  /// - Parameter bits: of an IPv4 address only the low 32 count.
  public init(bits: UInt128, isIPv6: Bool) {
    self.bits = isIPv6 ? bits : bits & 0xffff_ffff
    self.isIPv6 = isIPv6
  }

  /// The address in fe80::/64 that a station makes itself of its MAC address (RFC 4291 appendix A).
  public init(linkLocalOf address: MACAddress) {
    let bits = UInt128(address.bits)
    self.init(ipv6: UInt128(0xfe80) << 112 | ((bits >> 24) ^ 0x02_0000) << 40 | 0xfffe << 24 | bits & 0xff_ffff)
  }

  /// Reads `10.0.0.1` or `fd00::1`; nil for anything else.
  public init?(_ text: some StringProtocol) {
    let bytes = Array(text.utf8)
    if let address = IPAddress.ipv4(bytes[...]) {
      self.init(ipv4: address)
    } else if let address = IPAddress.ipv6(bytes[...]) {
      self.init(ipv6: address)
    } else {
      return nil
    }
  }

  /// 32 or 128.
  public var bitCount: Int { isIPv6 ? 128 : 32 }

  /// The low 32 bits.
  public var ipv4: UInt32 { UInt32(truncatingIfNeeded: bits) }

  /// In the order of transmission: 4 or 16.
  public var octets: [UInt8] {
    let count = bitCount / 8
    return (0..<count).map { UInt8(truncatingIfNeeded: bits >> UInt128(8 * (count - 1 - $0))) }
  }

  /// 224.0.0.0/4, ff00::/8.
  public var isMulticast: Bool { isIPv6 ? bits >> 120 == 0xff : ipv4 >> 28 == 0xe }
  /// 169.254.0.0/16, fe80::/10.
  public var isLinkLocal: Bool { isIPv6 ? bits >> 118 == 0xfe80 >> 6 : ipv4 >> 16 == 0xa9fe }
  /// 127.0.0.0/8, ::1.
  public var isLoopback: Bool { isIPv6 ? bits == 1 : ipv4 >> 24 == 127 }
  /// 0.0.0.0, ::.
  public var isUnspecified: Bool { bits == 0 }

  /// The group in which a station with this IPv6 address is asked for (RFC 4291 §2.7.1).
  public var solicitedNodeGroup: IPAddress {
    IPAddress(ipv6: 0xff02_0000_0000_0000_0000_0001_ff00_0000 | bits & 0xff_ffff)
  }

  /// The Ethernet address of a multicast group (RFC 1112 §6.4, RFC 2464 §7).
  public var multicastMAC: MACAddress {
    isIPv6
      ? MACAddress(bits: 0x3333_0000_0000 | UInt64(truncatingIfNeeded: bits & 0xffff_ffff))
      : MACAddress(bits: 0x0100_5e00_0000 | UInt64(ipv4 & 0x7f_ffff))
  }

  public static func < (a: Self, b: Self) -> Bool {
    a.isIPv6 == b.isIPv6 ? a.bits < b.bits : !a.isIPv6
  }

  public var description: String { isIPv6 ? IPAddress.text(ipv6: bits) : IPAddress.text(ipv4: ipv4) }
}

// MARK: text

extension IPAddress {
  /// Reads four decimal numbers with dots.
  public static func ipv4(_ text: ArraySlice<UInt8>) -> UInt32? {
    var value: UInt32 = 0
    var octets = 0
    for part in text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false) {
      guard (1...3).contains(part.count), octets < 4 else { return nil }
      var octet: UInt32 = 0
      for byte in part {
        guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
        octet = octet * 10 + UInt32(byte - UInt8(ascii: "0"))
      }
      guard octet < 256 else { return nil }
      value = value << 8 | octet
      octets += 1
    }
    return octets == 4 ? value : nil
  }

  /// Reads groups of hexadecimal digits with colons, the last two also in IPv4's form.
  public static func ipv6(_ text: ArraySlice<UInt8>) -> UInt128? {
    let colon = UInt8(ascii: ":")
    var groups: [UInt16] = []
    var gap: Int?
    var rest = text
    guard rest.count >= 2 else { return nil }
    if rest.starts(with: [colon, colon]) {
      gap = 0
      rest = rest.dropFirst(2)
    } else if rest.first == colon {
      return nil
    }
    while !rest.isEmpty {
      let end = rest.firstIndex(of: colon) ?? rest.endIndex
      let part = rest[..<end]
      if end == rest.endIndex, part.contains(UInt8(ascii: ".")) {
        guard let address = ipv4(part) else { return nil }
        groups += [UInt16(truncatingIfNeeded: address >> 16), UInt16(truncatingIfNeeded: address)]
        break
      }
      guard (1...4).contains(part.count) else { return nil }
      var group: UInt16 = 0
      for byte in part {
        guard let digit = hexadecimalDigit(byte) else { return nil }
        group = group << 4 | UInt16(digit)
      }
      groups.append(group)
      guard groups.count <= 8 else { return nil }
      if end == rest.endIndex { break }
      rest = rest[(end + 1)...]
      if rest.isEmpty { return nil }
      if rest.first == colon {
        guard gap == nil else { return nil }
        gap = groups.count
        rest = rest.dropFirst()
      }
    }
    if let gap {
      guard groups.count <= 7 else { return nil }
      groups.insert(contentsOf: repeatElement(0, count: 8 - groups.count), at: gap)
    }
    guard groups.count == 8 else { return nil }
    return groups.reduce(0) { $0 << 16 | UInt128($1) }
  }

  private static func hexadecimalDigit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
  }

  public static func text(ipv4 value: UInt32) -> String {
    "\(value >> 24).\(value >> 16 & 0xff).\(value >> 8 & 0xff).\(value & 0xff)"
  }

  public static func text(ipv6 value: UInt128) -> String {
    // As inet_ntop: the low 32 bits of ::ffff:a.b.c.d and ::a.b.c.d in dotted form.
    let low = UInt32(truncatingIfNeeded: value)
    if value >> 32 == 0xffff { return "::ffff:" + text(ipv4: low) }
    if value >> 32 == 0, low >> 16 != 0 { return "::" + text(ipv4: low) }
    let groups = (0..<8).map { UInt16(truncatingIfNeeded: value >> UInt128(112 - 16 * $0)) }
    var best = 0..<0
    var i = 0
    while i < 8 {
      var j = i
      while j < 8, groups[j] == 0 { j += 1 }
      if j - i > best.count, j - i > 1 { best = i..<j }
      i = max(j, i + 1)
    }
    func join(_ part: ArraySlice<UInt16>) -> String { part.map { String($0, radix: 16) }.joined(separator: ":") }
    if best.isEmpty { return join(groups[...]) }
    return join(groups[..<best.lowerBound]) + "::" + join(groups[best.upperBound...])
  }
}

/// A network: an address whose bits behind the prefix are 0.
public struct IPPrefix: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// Its first address.
  public let address: IPAddress
  /// Bits that count: 0 to 32 or 128.
  public let bitCount: Int

  /// Takes the network that an address is in; a length past the address is its whole.
  public init(_ address: IPAddress, bitCount: Int) {
    let count = min(max(bitCount, 0), address.bitCount)
    self.bitCount = count
    self.address = IPAddress(
      bits: address.bits & IPPrefix.mask(count, of: address.bitCount), isIPv6: address.isIPv6)
  }

  /// Reads `10.0.0.0/8`, `fd00::/64`, an address alone for itself, and `default` for 0.0.0.0/0. Bits behind the prefix have
  /// to be 0, as with iproute2.
  public init?(_ text: some StringProtocol) {
    if text == "default" {
      self.init(IPAddress(ipv4: 0), bitCount: 0)
      return
    }
    guard let (address, bitCount) = IPPrefix.parse(text) else { return nil }
    self.init(address, bitCount: bitCount)
    guard self.address == address else { return nil }
  }

  /// Reads an address with or without a prefix length.
  static func parse(_ text: some StringProtocol) -> (address: IPAddress, bitCount: Int)? {
    let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
    guard let address = parts.first.flatMap({ IPAddress($0) }) else { return nil }
    guard parts.count == 2 else { return (address, address.bitCount) }
    let digits = parts[1]
    guard digits.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }), digits.utf8.count <= 3,
      let length = Int(digits), length <= address.bitCount
    else { return nil }
    return (address, length)
  }

  /// The leading bits of an address of so many bits.
  private static func mask(_ length: Int, of bitCount: Int) -> UInt128 {
    let full: UInt128 = bitCount == 128 ? .max : (1 << UInt128(bitCount)) - 1
    return length <= 0 ? 0 : full & ~(length >= bitCount ? 0 : full >> UInt128(length))
  }

  public var isIPv6: Bool { address.isIPv6 }
  /// Ones where bits count.
  public var mask: UInt128 { IPPrefix.mask(bitCount, of: address.bitCount) }
  /// Its highest address: of an IPv4 network the one for broadcasts.
  public var last: IPAddress {
    let full = IPPrefix.mask(address.bitCount, of: address.bitCount)
    return IPAddress(bits: address.bits | full & ~mask, isIPv6: isIPv6)
  }

  public func contains(_ other: IPAddress) -> Bool {
    other.isIPv6 == isIPv6 && other.bits & mask == address.bits
  }

  public func overlaps(_ other: IPPrefix) -> Bool { contains(other.address) || other.contains(address) }

  public static func < (a: Self, b: Self) -> Bool { (a.address, a.bitCount) < (b.address, b.bitCount) }

  public var description: String { "\(address)/\(bitCount)" }
}

/// An address of a port and the network that it is in: `10.0.10.1/24`.
public struct InterfaceAddress: Hashable, Comparable, Sendable, CustomStringConvertible {
  public let address: IPAddress
  public let bitCount: Int

  public init(_ address: IPAddress, bitCount: Int) {
    self.address = address
    self.bitCount = min(max(bitCount, 0), address.bitCount)
  }

  /// Reads `10.0.10.1/24`; an address alone is a network of its own.
  public init?(_ text: some StringProtocol) {
    guard let (address, bitCount) = IPPrefix.parse(text) else { return nil }
    self.init(address, bitCount: bitCount)
  }

  public var network: IPPrefix { IPPrefix(address, bitCount: bitCount) }

  /// The address to which all of its network listen; nil where there is none (IPv6; RFC 3021).
  public var broadcast: IPAddress? { address.isIPv6 || bitCount > 30 ? nil : network.last }

  public static func < (a: Self, b: Self) -> Bool { (a.address, a.bitCount) < (b.address, b.bitCount) }

  public var description: String { "\(address)/\(bitCount)" }
}
