// Addresses and their masks: IPv4 (dotted, with prefix length or mask), IPv6 (RFC 4291 §2.2, printed by RFC 5952),
// MAC (with colons).

package enum AddressText {
  /// An IPv4 address (in the low 32 bits) or an IPv6 address; nil if the text is neither.
  package static func address(_ text: String) -> (value: UInt128, isIPv6: Bool)? {
    let slice = TextSlice(text)
    if let value = ipv4(slice) { return (UInt128(value), false) }
    return ipv6(slice).map { ($0, true) }
  }

  // MARK: IPv4

  static func ipv4(_ slice: TextSlice) -> UInt32? {
    var value: UInt32 = 0
    var octets = 0
    var start = slice.lower
    for i in slice.lower...slice.upper where i == slice.upper || slice.bytes[i] == UInt8(ascii: ".") {
      let part = slice.from(start, to: i)
      guard (1...3).contains(part.count), octets < 4 else { return nil }
      var octet: UInt32 = 0
      for j in part.lower..<part.upper {
        guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(part.bytes[j]) else { return nil }
        octet = octet * 10 + UInt32(part.bytes[j] - UInt8(ascii: "0"))
      }
      guard octet < 256 else { return nil }
      value = value << 8 | octet
      octets += 1
      start = i + 1
    }
    return octets == 4 ? value : nil
  }

  package static func text(ipv4 value: UInt32) -> String {
    "\(value >> 24).\(value >> 16 & 0xff).\(value >> 8 & 0xff).\(value & 0xff)"
  }

  // MARK: IPv6

  static func ipv6(_ slice: TextSlice) -> UInt128? {
    var groups: [UInt16] = []
    var gap: Int?
    var i = slice.lower
    guard slice.count >= 2 else { return nil }
    if slice.hasPrefix("::") {
      gap = 0
      i += 2
    } else if slice.first == UInt8(ascii: ":") {
      return nil
    }
    while i < slice.upper {
      let end = slice.from(i, to: slice.upper).firstIndex(of: UInt8(ascii: ":")) ?? slice.upper
      let part = slice.from(i, to: end)
      if end == slice.upper, part.firstIndex(of: UInt8(ascii: ".")) != nil {
        guard let address = ipv4(part) else { return nil }
        groups += [UInt16(truncatingIfNeeded: address >> 16), UInt16(truncatingIfNeeded: address)]
        i = end
        break
      }
      guard (1...4).contains(part.count) else { return nil }
      var group: UInt16 = 0
      for j in part.lower..<part.upper {
        guard let digit = TextSlice.hexDigit(part.bytes[j]) else { return nil }
        group = group << 4 | UInt16(digit)
      }
      groups.append(group)
      guard groups.count <= 8 else { return nil }
      i = end
      if i == slice.upper { break }
      i += 1
      if i == slice.upper { return nil }
      if slice.bytes[i] == UInt8(ascii: ":") {
        guard gap == nil else { return nil }
        gap = groups.count
        i += 1
      }
    }
    if let gap {
      guard groups.count <= 7 else { return nil }
      groups.insert(contentsOf: repeatElement(0, count: 8 - groups.count), at: gap)
    }
    guard groups.count == 8 else { return nil }
    return groups.reduce(0) { $0 << 16 | UInt128($1) }
  }

  package static func text(ipv6 value: UInt128) -> String {
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

  // MARK: MAC

  static func mac(_ slice: TextSlice) -> UInt64? {
    var value: UInt64 = 0
    var octets = 0
    var start = slice.lower
    for i in slice.lower...slice.upper where i == slice.upper || slice.bytes[i] == UInt8(ascii: ":") {
      let part = slice.from(start, to: i)
      guard (1...2).contains(part.count), octets < 6 else { return nil }
      for j in part.lower..<part.upper {
        guard let digit = TextSlice.hexDigit(part.bytes[j]) else { return nil }
        value = (j == part.lower ? value << 8 : (value & ~0xff) | (value & 0xff) << 4) | UInt64(digit)
      }
      octets += 1
      start = i + 1
    }
    return octets == 6 ? value : nil
  }

  // MARK: masks

  /// The number of leading ones, if the mask has no others.
  static func prefixLength(_ mask: UInt128, bitCount: Int) -> Int? {
    let ones = (mask << UInt128(128 - bitCount))
    let count = (~ones).leadingZeroBitCount
    return count >= bitCount ? bitCount : (ones << UInt128(count) == 0 ? count : nil)
  }

  static func mask(prefixLength: Int, bitCount: Int) -> UInt128 {
    let full: UInt128 = bitCount == 128 ? .max : (1 << UInt128(bitCount)) - 1
    return prefixLength <= 0 ? 0 : full & ~(full >> UInt128(min(prefixLength, bitCount)))
  }
}
