import TestSupport
import Testing

@testable import Datapath

@Suite struct FinishChecksumTests {
  private func finish(_ frame: [UInt8], _ metadata: inout OffloadMetadata) -> [UInt8]? {
    var copy = frame
    let isDone = unsafe copy.withUnsafeMutableBytes { unsafe finishChecksum(frame: $0, metadata: &metadata) }
    return isDone ? copy : nil
  }

  @Test(arguments: [TestFrame.Transport.tcp, .udp], [false, true])
  func everyCombinationEqualsAFrameBuiltFromScratch(transport: TestFrame.Transport, isIPv6: Bool) {
    var random = SeededGenerator(seed: 2)
    for tags in tagVariants + [[(0x8100, 1), (0x8100, 2), (0x8100, 3)]] {
      for length in [0, 1, 2, 3, 17, 1460, 1461, 8999] {
        var frame = TestFrame()
        frame.tags = tags
        frame.isIPv6 = isIPv6
        frame.transport = transport
        frame.payload = random.bytes(length)
        if isIPv6 { frame.extensionHeaders = [(60, [0, 1, 4, 0, 0, 0, 0])] }
        var metadata = frame.metadata(0, .partial)
        metadata.gsoType = 0
        #expect(finish(frame.bytes(.partial), &metadata) == frame.bytes(), "\(frame)")
        #expect(metadata == OffloadMetadata())
        if tags.count < 3 {
          // Padding, even if its bytes are not 0, is not summed.
          metadata = frame.metadata(0, .partial)
          metadata.gsoType = 0
          #expect(finish(frame.bytes(.partial) + [0xee, 0xff, 0xee], &metadata) == frame.bytes() + [0xee, 0xff, 0xee])
        }
      }
    }
  }

  @Test func innerHeaderOfATunnelIsFinished() {
    var inner = TestFrame()
    inner.payload = [1, 2, 3, 4, 5]
    var outer = TestFrame()
    outer.transport = .udp
    outer.payload = [8, 0, 0, 0, 0, 0, 7, 0] + inner.bytes(.partial)
    var expected = outer
    expected.payload = [8, 0, 0, 0, 0, 0, 7, 0] + inner.bytes()
    var metadata = OffloadMetadata()
    metadata.flags = OffloadMetadata.needsChecksum
    metadata.checksumStart = UInt16(outer.headerByteCount + 8 + inner.transportOffset)
    metadata.checksumOffset = 16
    let made = finish(outer.bytes(.wrong), &metadata)
    #expect(made == expected.bytes(.wrong))
  }

  @Test func frameWithNothingToFinishIsLeftAlone() {
    var frame = TestFrame()
    frame.payload = [9]
    var metadata = OffloadMetadata()
    #expect(finish(frame.bytes(.wrong), &metadata) == frame.bytes(.wrong))
  }

  @Test func offsetsFollowATagPutInAndTakenOut() {
    var frame = TestFrame()
    frame.payload = [9]
    var metadata = frame.metadata(0, .partial)
    metadata.gsoType = 0
    frame.tags = [(0x8100, 5)]
    metadata.moveHeaders(by: 4)
    var copy = metadata
    #expect(finish(frame.bytes(.partial), &copy) == frame.bytes())
    frame.tags = []
    metadata.moveHeaders(by: -4)
    #expect(finish(frame.bytes(.partial), &metadata) == frame.bytes())
    metadata = OffloadMetadata(
      flags: 1, gsoType: 1, headerByteCount: 2, gsoByteCount: 3, checksumStart: 1, checksumOffset: 5)
    metadata.moveHeaders(by: -4)
    #expect(metadata.checksumStart == 0)
    metadata.checksumStart = 0xffff
    metadata.moveHeaders(by: 4)
    #expect(metadata.checksumStart == 0xffff)
  }

  @Test func wireFormIsThatOfVirtio() {
    let metadata = OffloadMetadata(
      flags: 1, gsoType: 0x84, headerByteCount: 0x0102, gsoByteCount: 0x0304, checksumStart: 0x0506,
      checksumOffset: 0x0708)
    var bytes = [UInt8](repeating: 0, count: 11)
    unsafe bytes.withUnsafeMutableBytes { bytes in
      guard let base = bytes.baseAddress else { return }
      unsafe metadata.encode(to: base + 1)
      #expect(unsafe OffloadMetadata(decoding: base + 1) == metadata)
    }
    #expect(bytes == [0, 1, 0x84, 2, 1, 4, 3, 6, 5, 8, 7])
    #expect(MemoryLayout<OffloadMetadata>.size == OffloadMetadata.wireByteCount)
  }
}
