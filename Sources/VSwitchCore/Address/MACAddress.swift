// A MAC address as a value: text form, bits, well-known ranges (IEEE 802).

/// A 48-bit MAC address in host order; the upper 16 bits are 0.
public struct MACAddress: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// The address in the low 48 bits, first octet highest.
  public let bits: UInt64

  /// Takes the low 48 bits.
  @inlinable public init(bits: UInt64) { self.bits = bits & 0xffff_ffff_ffff }

  /// Reads `aa:bb:cc:dd:ee:ff` (also with `-`); nil for anything else.
  public init?(_ text: String) {
    let parts = text.split(omittingEmptySubsequences: false) { $0 == ":" || $0 == "-" }
    guard parts.count == 6 else { return nil }
    var bits: UInt64 = 0
    for part in parts {
      guard (1...2).contains(part.utf8.count), part.utf8.first != UInt8(ascii: "+"), let octet = UInt8(part, radix: 16)
      else { return nil }
      bits = bits << 8 | UInt64(octet)
    }
    self.bits = bits
  }

  /// The six octets in the order of transmission.
  public var octets: [UInt8] { (0..<6).map { UInt8(truncatingIfNeeded: bits >> (40 - 8 * UInt64($0))) } }

  /// Group bit set (IEEE 802 §8.2): multicast or broadcast.
  @inlinable public var isMulticast: Bool { bits & 0x0100_0000_0000 != 0 }

  /// 01:80:C2:00:00:00 to 0F, which a bridge must not forward (IEEE 802.1Q §8.6.3).
  @inlinable public var isReservedMulticast: Bool { bits & 0xffff_ffff_fff0 == 0x0180_c200_0000 }

  /// ff:ff:ff:ff:ff:ff
  public static let broadcast = MACAddress(bits: 0xffff_ffff_ffff)

  public static func < (a: Self, b: Self) -> Bool { a.bits < b.bits }

  public var description: String {
    octets.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
  }
}
