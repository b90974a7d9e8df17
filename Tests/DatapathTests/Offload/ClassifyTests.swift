import Testing

@testable import Datapath

@Suite struct ClassifyTests {
  static let all: OffloadCapabilities = [.checksum, .tso4, .tso6, .tsoECN, .uso4, .uso6]

  @Test func completeFramePassesWhateverItsBytes() {
    #expect(verdict([], OffloadMetadata()) == .passThrough)
    #expect(verdict([1, 2, 3], OffloadMetadata()) == .passThrough)
    var valid = OffloadMetadata()
    valid.flags = OffloadMetadata.dataValid
    #expect(verdict([1, 2, 3], valid) == .passThrough)
  }

  @Test(arguments: [TestFrame.Transport.tcp, .udp], [false, true])
  func segmentationPassesOnlyWhereTheExitTakesAllOfIt(transport: TestFrame.Transport, isIPv6: Bool) {
    var frame = TestFrame()
    frame.transport = transport
    frame.isIPv6 = isIPv6
    frame.payload = [UInt8](repeating: 1, count: 3000)
    let bytes = frame.bytes(.partial)
    let metadata = frame.metadata(1000, .partial)
    let own: OffloadCapabilities = transport == .tcp ? (isIPv6 ? .tso6 : .tso4) : isIPv6 ? .uso6 : .uso4
    for raw in 0..<64 as Range<UInt8> {
      let exit = OffloadCapabilities(rawValue: raw)
      let passes = exit.contains(.checksum) && exit.contains(own)
      #expect(verdict(bytes, metadata, exit) == (passes ? .passThrough : .segment))
    }
  }

  @Test func congestionBitNeedsItsOwnCapability() {
    var frame = TestFrame()
    frame.flags = 0x98
    frame.payload = [UInt8](repeating: 1, count: 3000)
    let metadata = frame.metadata(1000, .partial)
    #expect(metadata.gsoType == 0x81)
    #expect(verdict(frame.bytes(.partial), metadata, [.checksum, .tso4]) == .segment)
    #expect(verdict(frame.bytes(.partial), metadata, [.checksum, .tso4, .tsoECN]) == .passThrough)
  }

  @Test func datagramsWithoutPartialChecksumAreCutHere() {
    var frame = TestFrame()
    frame.transport = .udp
    frame.payload = [UInt8](repeating: 1, count: 3000)
    #expect(verdict(frame.bytes(), frame.metadata(1000, .complete), Self.all) == .segment)
  }

  @Test func partialChecksumIsFinishedWhereTheExitTakesNone() {
    var frame = TestFrame()
    frame.payload = [1, 2, 3]
    var metadata = frame.metadata(0, .partial)
    metadata.gsoType = 0
    #expect(verdict(frame.bytes(.partial), metadata, [.tso4]) == .finishChecksum)
    #expect(verdict(frame.bytes(.partial), metadata, [.checksum]) == .passThrough)
  }

  /// Each is what a hostile sender may try; the same verdict whatever the exit takes.
  @Test func contradictionsAreDroppedWithTheirReason() {
    func expect(
      _ fault: OffloadFault, size: Int = 100, partial: Bool = true, _ change: (inout TestFrame) -> Void = { _ in },
      bytes edit: (inout [UInt8]) -> Void = { _ in }, metadata adjust: (inout OffloadMetadata) -> Void = { _ in },
      line: SourceLocation = #_sourceLocation
    ) {
      var frame = TestFrame()
      frame.payload = [UInt8](repeating: 1, count: 300)
      change(&frame)
      var bytes = frame.bytes(partial ? .partial : .complete)
      edit(&bytes)
      var metadata = frame.metadata(size, partial ? .partial : .complete)
      adjust(&metadata)
      for exit in [[], Self.all] {
        #expect(verdict(bytes, metadata, exit) == .drop(fault), sourceLocation: line)
      }
      #expect(segments(of: bytes, metadata) == nil, sourceLocation: line)
      var copy = bytes
      let isFinished = unsafe copy.withUnsafeMutableBytes {
        unsafe finishChecksum(frame: $0, metadata: &metadata)
      }
      #expect(!isFinished || metadata.gsoType != 0, sourceLocation: line)
      if !isFinished { #expect(copy == bytes, sourceLocation: line) }
    }
    func checksumOnly(_ start: Int, _ offset: Int) -> (inout OffloadMetadata) -> Void {
      {
        $0.gsoType = 0
        $0.checksumStart = UInt16(start)
        $0.checksumOffset = UInt16(offset)
      }
    }
    // Lengths.
    expect(.frameTooShort, bytes: { $0 = Array($0[..<13]) })
    expect(.frameTooShort, bytes: { $0 = Array($0[..<33]) })
    expect(.headerLengthWrong, bytes: { $0 = Array($0[..<40]) })
    expect(.headerLengthWrong, bytes: { $0[16] = 0xff })
    expect(.headerLengthWrong, bytes: { $0[14] = 0x44 })
    expect(.headerLengthWrong, bytes: { $0[14] = 0x65 })
    expect(.headerLengthWrong, bytes: { $0[34 + 12] = 0x40 })
    expect(.headerLengthWrong, { $0.payload = [] }, bytes: { $0[34 + 12] = 0xf0 })
    expect(.headerLengthWrong, metadata: { $0.headerByteCount = 400 })
    expect(
      .headerLengthWrong,
      metadata: {
        checksumOnly(34, 16)(&$0)
        $0.headerByteCount = 400
      })
    // Segmentation.
    expect(.segmentSizeWrong, size: 0)
    expect(.segmentTypeUnknown, metadata: { $0.gsoType = 2 })
    expect(.segmentTypeUnknown, metadata: { $0.gsoType = 0x21 })
    expect(.segmentTypeUnknown, metadata: { $0.gsoType = 0x80 })
    expect(.segmentTypeMismatch, metadata: { $0.gsoType = 3 })
    expect(.segmentSizeWrong, { $0.transport = .udp }, metadata: { ($0.gsoType, $0.gsoByteCount) = (3, 7) })
    expect(.segmentTypeMismatch, metadata: { $0.gsoType = 4 })
    expect(.segmentTypeMismatch, metadata: { $0.gsoType = 5 })
    expect(.segmentTypeMismatch, { $0.transport = .udp }, metadata: { $0.gsoType = 1 })
    expect(.segmentTypeMismatch, { $0.transport = .udp }, metadata: { $0.gsoType = 0x85 })
    expect(.segmentTypeMismatch, { $0.isIPv6 = true }, metadata: { $0.gsoType = 1 })
    expect(.segmentTypeMismatch, bytes: { $0[12] = 0x99 })
    expect(.segmentTypeMismatch, { $0.tags = [(0x8100, 1), (0x8100, 2), (0x8100, 3)] })
    expect(.segmentOfFragment, partial: false, bytes: { $0[20] = 0x20 })
    expect(.segmentOfFragment, partial: false, bytes: { $0[21] = 1 })
    expect(
      .segmentOfFragment, partial: false,
      {
        $0.isIPv6 = true
        $0.extensionHeaders = [(44, [0, 0, 1, 1, 2, 3, 4])]
      })
    expect(
      .segmentTooLarge,
      {
        $0.isIPv6 = true
        $0.extensionHeaders = [(0, [0, 0xc2, 4, 0, 1, 0, 0])]
      }, bytes: { ($0[18], $0[19]) = (0, 0) })
    expect(.segmentFlagsWrong, { $0.flags = 0x02 })
    expect(.checksumOutsideTransport, metadata: { $0.checksumStart -= 8 })
    expect(.checksumOutsideTransport, metadata: { $0.checksumOffset = 6 })
    // Checksums: beyond the frame, in a fragment, over an address that a filter has looked at.
    expect(.checksumOutsideFrame, metadata: checksumOnly(34, 0xffff))
    expect(.checksumOutsideFrame, metadata: checksumOnly(0xffff, 0xffff))
    expect(.checksumOutsideFrame, metadata: checksumOnly(353, 0))
    expect(.checksumOutsideFrame, bytes: { $0 += [0, 0, 0, 0] }, metadata: checksumOnly(353, 0))
    expect(.checksumOfFragment, bytes: { $0[20] = 0x20 }, metadata: checksumOnly(34, 16))
    expect(.checksumOutsideTransport, metadata: checksumOnly(14, 12))
    expect(.checksumOutsideTransport, metadata: checksumOnly(34, 0))
    expect(.checksumOutsideTransport, metadata: checksumOnly(0, 50))
    expect(.checksumOutsideTransport, metadata: checksumOnly(60, 16))
    expect(.checksumOutsideTransport, bytes: { ($0[12], $0[13]) = (8, 6) }, metadata: checksumOnly(14, 14))
    expect(.checksumOutsideTransport, { $0.transport = .udp }, metadata: checksumOnly(34, 4))
    expect(.checksumOutsideTransport, { $0.transport = .udp }, metadata: checksumOnly(36, 4))
    expect(.checksumOutsideTransport, bytes: { $0[23] = 58 }, metadata: checksumOnly(34, 8))
    expect(.checksumOutsideTransport, bytes: { $0[23] = 132 }, metadata: checksumOnly(34, 9))
  }

  @Test func everyFaultHasItsOwnPlainSentence() {
    let sentences = OffloadFault.allCases.map(\.description)
    #expect(Set(sentences).count == OffloadFault.allCases.count)
    #expect(sentences.allSatisfy { $0.hasSuffix(".") && !$0.contains("\n") })
  }
}
