import Testing
import VSwitchCore

/// RFC 1071 as it is written: bytes in pairs, the odd last one padded with 0.
private func naiveSum(_ bytes: some Collection<UInt8>) -> UInt16 {
  var sum = 0
  for (i, byte) in bytes.enumerated() { sum += i % 2 == 0 ? Int(byte) << 8 : Int(byte) }
  while sum > 0xffff { sum = (sum & 0xffff) + sum >> 16 }
  return UInt16(sum)
}

/// SplitMix64: small, seeded, the same everywhere.
private struct Generator: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}

@Suite struct ChecksumTests {
  @Test func exampleOfTheStandard() {
    // RFC 1071 §3.
    let bytes: [UInt8] = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]
    var checksum = InternetChecksum()
    unsafe bytes.withUnsafeBytes { unsafe checksum.add($0) }
    #expect(checksum.sum == 0xddf2)
    #expect(checksum.value == ~0xddf2)
  }

  @Test(arguments: [1, 2, 3] as [UInt64])
  func everyLengthAndAlignmentEqualsTheNaiveSum(seed: UInt64) {
    var random = Generator(state: seed)
    let bytes = (0..<600).map { _ in UInt8.random(in: 0...255, using: &random) }
    for length in 0...300 {
      let start = length % 19
      let expected = naiveSum(bytes[start..<start + length])
      var checksum = InternetChecksum()
      unsafe bytes.withUnsafeBytes { unsafe checksum.add(UnsafeRawBufferPointer(rebasing: $0[start..<start + length])) }
      #expect(checksum.sum == expected, "length \(length)")
      var spanned = InternetChecksum()
      unsafe spanned.add(bytes.span.extracting(start..<start + length).bytes)
      #expect(spanned.sum == expected, "length \(length)")
    }
  }

  @Test(arguments: 0..<20 as Range<UInt64>)
  func pieceWiseSumEqualsTheWhole(seed: UInt64) {
    var random = Generator(state: seed)
    let bytes = (0..<Int.random(in: 0...9000, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
    var checksum = InternetChecksum()
    var position = 0
    while position < bytes.count {
      let end = min(bytes.count, position + Int.random(in: 0...777, using: &random))
      unsafe checksum.add(bytes.span.extracting(position..<end).bytes)
      position = end
    }
    #expect(checksum.sum == naiveSum(bytes))
  }

  @Test func allOnesDoNotOverflow() {
    let bytes = [UInt8](repeating: 0xff, count: 1 << 17)
    var checksum = InternetChecksum()
    unsafe checksum.add(bytes.span.bytes)
    #expect(checksum.sum == 0xffff)
    #expect(checksum.value == 0)
  }

  @Test(arguments: 0..<50 as Range<UInt64>)
  func incrementalUpdateEqualsComputingAnew(seed: UInt64) {
    var random = Generator(state: seed)
    var bytes = (0..<64).map { _ in UInt8.random(in: 0...255, using: &random) }
    // A header is never all zero (RFC 1624 §3): its sum is never +0.
    bytes[0] = 0x45
    let before = ~naiveSum(bytes)
    let old = UInt16(bytes[10]) << 8 | UInt16(bytes[11])
    let old32 = UInt32(bytes[12]) << 24 | UInt32(bytes[13]) << 16 | UInt32(bytes[14]) << 8 | UInt32(bytes[15])
    let new = UInt16.random(in: 0...0xffff, using: &random)
    let new32 = UInt32.random(in: 0...UInt32.max, using: &random)
    (bytes[10], bytes[11]) = (UInt8(new >> 8), UInt8(new & 0xff))
    var updated = InternetChecksum.updating(before, from: old, to: new)
    #expect(updated == ~naiveSum(bytes))
    for i in 0..<4 { bytes[12 + i] = UInt8(truncatingIfNeeded: new32 >> (24 - 8 * UInt32(i))) }
    updated = InternetChecksum.updating(updated, from: old32, to: new32)
    #expect(updated == ~naiveSum(bytes))
  }

  @Test func incrementalUpdateOfTheStandardsExample() {
    // RFC 1624 §4: the case that equation 2 of RFC 1141 got wrong.
    #expect(InternetChecksum.updating(0xdd2f, from: 0x5555 as UInt16, to: 0x3285) == 0x0000)
  }

  @Test(arguments: 0..<20 as Range<UInt64>)
  func pseudoHeadersEqualTheirBytes(seed: UInt64) {
    var random = Generator(state: seed)
    let bytes = (0..<32).map { _ in UInt8.random(in: 0...255, using: &random) }
    let length = UInt32.random(in: 0...0xffff, using: &random)
    let lengthBytes = (0..<4).map { UInt8(truncatingIfNeeded: length >> (24 - 8 * UInt32($0))) }
    func word(_ at: Int) -> UInt64 { bytes[at..<at + 8].reduce(0) { $0 << 8 | UInt64($1) } }

    var four = InternetChecksum()
    four.addIPv4PseudoHeader(
      source: UInt32(word(0) >> 32), destination: UInt32(truncatingIfNeeded: word(0)), transportProtocol: 17,
      byteCount: length)
    #expect(four.sum == naiveSum(bytes[0..<8] + [0, 17] + lengthBytes))

    var six = InternetChecksum()
    six.addIPv6PseudoHeader(
      source: (word(0), word(8)), destination: (word(16), word(24)), transportProtocol: 6, byteCount: length)
    #expect(six.sum == naiveSum(bytes + lengthBytes + [0, 0, 0, 6]))
  }
}
