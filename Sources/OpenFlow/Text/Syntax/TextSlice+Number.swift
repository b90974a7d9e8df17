// Numbers as C's strtoull(…, 0) reads them: decimal, 0x… hexadecimal, 0… octal; and hexadecimal bytes.

extension TextSlice {
  /// The whole slice as a number; nil if it is none or has more than 128 bits.
  func integer() -> UInt128? {
    var i = lower
    var radix: UInt128 = 10
    if count > 1, bytes[lower] == UInt8(ascii: "0") {
      radix = 8
      i += 1
      if bytes[i] == UInt8(ascii: "x") || bytes[i] == UInt8(ascii: "X") {
        radix = 16
        i += 1
      }
    }
    guard i < upper else { return nil }
    var value: UInt128 = 0
    while i < upper {
      guard let digit = TextSlice.hexDigit(bytes[i]), UInt128(digit) < radix else { return nil }
      let (product, overflow) = value.multipliedReportingOverflow(by: radix)
      let (sum, carry) = product.addingReportingOverflow(UInt128(digit))
      if overflow || carry { return nil }
      value = sum
      i += 1
    }
    return value
  }

  static func hexDigit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
  }

  /// The whole slice as a number up to `T.max`.
  /// - Parameter name: what the number is, for the error.
  func number<T: FixedWidthInteger & UnsignedInteger>(
    _ name: String, _: T.Type = T.self, in range: ClosedRange<T> = T.min...T.max
  ) throws(FlowTextError) -> T {
    guard let value = integer(), value <= UInt128(range.upperBound), value >= UInt128(range.lowerBound) else {
      throw error(
        isEmpty ? "\(name) has no value" : "\(quoted) is no \(name)",
        remedy: "give a number from \(range.lowerBound) to \(range.upperBound)")
    }
    return T(truncatingIfNeeded: value)
  }

  /// Pairs of hexadecimal digits, with or without dots between them.
  func hexBytes(_ name: String) throws(FlowTextError) -> [UInt8] {
    var result: [UInt8] = []
    var i = lower
    while i < upper {
      if bytes[i] == UInt8(ascii: "."), !result.isEmpty {
        i += 1
        if i == upper { break }
      }
      guard i + 1 < upper, let high = TextSlice.hexDigit(bytes[i]), let low = TextSlice.hexDigit(bytes[i + 1]) else {
        throw FlowTextError(
          at: i, "\(name) is not in whole bytes of two hexadecimal digits", remedy: "write for example 01.02.ff")
      }
      result.append(high << 4 | low)
      i += 2
    }
    return result
  }
}
