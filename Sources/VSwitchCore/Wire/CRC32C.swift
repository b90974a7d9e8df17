// The Castagnoli CRC that SCTP uses (RFC 9260 appendix A), a byte at a time: only packets whose ports a rule changes need it.

package enum CRC32C {
  private static let table: InlineArray<256, UInt32> = {
    var table = InlineArray<256, UInt32>(repeating: 0)
    for index in 0..<256 {
      var value = UInt32(truncatingIfNeeded: index)
      for _ in 0..<8 { value = value & 1 != 0 ? value &>> 1 ^ 0x82f6_3b78 : value &>> 1 }
      table[index] = value
    }
    return table
  }()

  package static func value(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
    var value = UInt32.max
    for index in 0..<bytes.count {
      let byte = unsafe bytes[index]
      value = table[Int((value ^ UInt32(byte)) & 0xff)] ^ value &>> 8
    }
    return ~value
  }
}
