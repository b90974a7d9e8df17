// Addresses and their masks: IPv4 (dotted, with prefix length or mask), IPv6 (RFC 4291 §2.2, printed by RFC 5952),
// MAC (with colons).

import VSwitchCore

package enum AddressText {
  /// An IPv4 address (in the low 32 bits) or an IPv6 address; nil if the text is neither.
  package static func address(_ text: String) -> (value: UInt128, isIPv6: Bool)? {
    let slice = TextSlice(text)
    if let value = ipv4(slice) { return (UInt128(value), false) }
    return ipv6(slice).map { ($0, true) }
  }

  // MARK: IPv4

  static func ipv4(_ slice: TextSlice) -> UInt32? { IPAddress.ipv4(slice.bytes[slice.lower..<slice.upper]) }

  package static func text(ipv4 value: UInt32) -> String { IPAddress.text(ipv4: value) }

  // MARK: IPv6

  static func ipv6(_ slice: TextSlice) -> UInt128? { IPAddress.ipv6(slice.bytes[slice.lower..<slice.upper]) }

  package static func text(ipv6 value: UInt128) -> String { IPAddress.text(ipv6: value) }

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
