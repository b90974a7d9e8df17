import Testing
import VSwitchCore

@Suite struct EthernetHeaderTests {
  private func parsed(_ frame: [UInt8]) -> EthernetHeader? {
    unsafe frame.withUnsafeBytes { bytes in
      guard let base = bytes.baseAddress else { return nil }
      return unsafe EthernetHeader(base, byteCount: bytes.count)
    }
  }
  private let addresses: [UInt8] = [0x02, 0x11, 0x22, 0x33, 0x44, 0x55, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b]

  @Test func readsAddressesAndType() throws {
    let key = try #require(parsed(addresses + [0x08, 0x00, 1, 2]))
    #expect(key.ethernetDestination == 0x0211_2233_4455)
    #expect(key.ethernetSource == 0x0607_0809_0a0b)
    #expect(key.etherType == 0x0800)
    #expect(key.outerTag == 0 && key.innerTag == 0)
  }

  @Test func readsTwoTagsAndNoMore() throws {
    let key = try #require(
      parsed(addresses + [0x88, 0xa8, 0x20, 0x0a, 0x81, 0x00, 0x00, 0x14, 0x81, 0x00, 0, 1, 8, 0]))
    #expect(key.outerTag == 0x88a8_200a)
    #expect(key.innerTag == 0x8100_0014)
    #expect(key.etherType == 0x8100)
  }

  @Test func everyPrefixIsReadOrRefused() {
    let frame = addresses + [0x81, 0x00, 0x00, 0x0a, 0x81, 0x00, 0x00, 0x14, 0x08, 0x00]
    for length in 1...frame.count {
      #expect((parsed(Array(frame.prefix(length))) != nil) == (length >= 22), "length \(length)")
    }
    #expect(parsed(Array(addresses) + [0x08]) == nil)
    #expect(parsed(Array(addresses) + [0x08, 0x00]) != nil)
  }
}
