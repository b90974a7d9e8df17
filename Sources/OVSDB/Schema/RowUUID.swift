// The name of a row: a UUID (RFC 4122), random (version 4) unless a client chose it. A pure value; randomness is
// passed in, so that tests and replays are deterministic.

/// A row's UUID.
package struct RowUUID: Hashable, Sendable {
  /// The first eight bytes of the text form, the first byte highest.
  package var high: UInt64
  /// The last eight bytes.
  package var low: UInt64

  package init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  /// A fresh random UUID of version 4.
  package init(generator: inout some RandomNumberGenerator) {
    high = generator.next() & 0xFFFF_FFFF_FFFF_0FFF | 0x4000
    low = generator.next() & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000
  }

  /// The UUID that a text of 36 characters (8-4-4-4-12 hexadecimal digits) spells; nil for any other text.
  package init?(_ text: some StringProtocol) {
    var words: (UInt64, UInt64) = (0, 0)
    var index = 0
    for byte in text.utf8 {
      switch index {
      case 8, 13, 18, 23:
        guard byte == UInt8(ascii: "-") else { return nil }
      default:
        let digit: UInt64
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = UInt64(byte - UInt8(ascii: "0"))
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = UInt64(byte - UInt8(ascii: "a") + 10)
        case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = UInt64(byte - UInt8(ascii: "A") + 10)
        default: return nil
        }
        if index < 18 { words.0 = words.0 << 4 | digit } else { words.1 = words.1 << 4 | digit }
      }
      index += 1
      if index > 36 { return nil }
    }
    guard index == 36 else { return nil }
    (high, low) = words
  }

  /// All bits zero: names no row.
  package static let zero = RowUUID(high: 0, low: 0)
}

extension RowUUID: Comparable, CustomStringConvertible {
  package static func < (a: RowUUID, b: RowUUID) -> Bool { (a.high, a.low) < (b.high, b.low) }

  private static let digits = Array("0123456789abcdef".utf8)

  /// 8-4-4-4-12 hexadecimal digits in lower case.
  package var description: String {
    var text: [UInt8] = []
    text.reserveCapacity(36)
    for index in 0..<32 {
      if index == 8 || index == 12 || index == 16 || index == 20 { text.append(UInt8(ascii: "-")) }
      let word = index < 16 ? high : low
      text.append(Self.digits[Int(truncatingIfNeeded: word >> UInt64(60 - 4 * (index & 15)) & 15)])
    }
    return String(decoding: text, as: UTF8.self)
  }
}
