import TestSupport
import Testing

@testable import Datapath

/// Every segment that `Segmenter` makes of `frame`; nil if it refuses. Reads from memory of the exact size, so that a
/// memory checker sees every byte too many.
func segments(of frame: [UInt8], _ metadata: OffloadMetadata) -> [[UInt8]]? {
  let input = UnsafeMutableRawBufferPointer.allocate(byteCount: frame.count, alignment: 1)
  defer { unsafe input.deallocate() }
  unsafe input.copyBytes(from: frame)
  guard var segmenter = unsafe Segmenter(frame: UnsafeRawBufferPointer(input), metadata: metadata) else { return nil }
  let output = UnsafeMutableRawBufferPointer.allocate(byteCount: segmenter.largestSegmentByteCount, alignment: 1)
  defer { unsafe output.deallocate() }
  var segments: [[UInt8]] = []
  while let byteCount = unsafe segmenter.next(into: output) {
    unsafe segments.append(Array(output[..<byteCount]))
    if segments.count > SegmentationPlan.segmentLimit { break }
  }
  guard segments.count == segmenter.segmentCount else { return nil }
  return segments
}

func verdict(_ frame: [UInt8], _ metadata: OffloadMetadata, _ exit: OffloadCapabilities = []) -> OffloadVerdict {
  unsafe frame.withUnsafeBytes { unsafe classify(frame: $0, metadata: metadata, exit: exit) }
}

extension TestFrame {
  /// Metadata as a sender with offloads gives it.
  func metadata(_ size: Int, _ checksum: Checksum) -> OffloadMetadata {
    var type = transport == .udp ? OffloadMetadata.gsoUDP : isIPv6 ? OffloadMetadata.gsoTCPv6 : OffloadMetadata.gsoTCPv4
    if transport == .tcp, flags & 0x80 != 0 { type |= OffloadMetadata.gsoECN }
    return OffloadMetadata(
      flags: checksum == .partial ? OffloadMetadata.needsChecksum : 0, gsoType: type,
      headerByteCount: UInt16(headerByteCount), gsoByteCount: UInt16(size),
      checksumStart: checksum == .partial ? UInt16(transportOffset) : 0,
      checksumOffset: checksum == .partial ? UInt16(checksumOffset) : 0)
  }
}

let tagVariants: [[(type: Int, control: Int)]] = [
  [], [(0x8100, 0x6064)], [(0x88a8, 0x0fff), (0x8100, 0x2001)],
]

@Suite struct SegmenterTests {
  @Test(arguments: [TestFrame.Transport.tcp, .udp], [false, true])
  func everyCombinationEqualsFramesBuiltFromScratch(transport: TestFrame.Transport, isIPv6: Bool) {
    var random = SeededGenerator(seed: 1)
    var combinationCount = 0
    for tags in tagVariants {
      for checksum in [TestFrame.Checksum.complete, .partial, .wrong] {
        for size in [1, 7, 100, 536, 1448, 8948] {
          for length in [0, 1, size - 1, size, size + 1, 3 * size, min(10 * size - 1, 60_000)] {
            for optionByteCount in [0, 12] {
              var frame = TestFrame()
              frame.tags = tags
              frame.isIPv6 = isIPv6
              frame.transport = transport
              frame.payload = random.bytes(length)
              frame.sequence = 0xffff_ff00
              frame.identification = 0xfffe
              frame.tcpOptions = transport == .tcp ? random.bytes(optionByteCount) : []
              if isIPv6, optionByteCount > 0 {
                // Hop-by-hop (pad), authentication header, atomic fragment header.
                frame.extensionHeaders = [
                  (0, [0, 1, 4, 0, 0, 0, 0]), (51, [4] + random.bytes(22)), (44, [0, 0, 0, 1, 2, 3, 4]),
                ]
              } else if optionByteCount > 0 {
                frame.ipOptions = [1, 7, 7, 4, 1, 2, 3, 4, 0, 0, 0, 0]
              }
              let made = segments(of: frame.bytes(checksum), frame.metadata(size, checksum))
              // Compared before `#expect`: a failure names the case, not half a megabyte of bytes.
              let isSame = made == frame.segments(size).map { $0.bytes() }
              #expect(isSame, "\(frame), segments of \(size)")
              if length < 2000 { #expect(made?.compactMap { complaint(about: $0) } == []) }
              combinationCount += 1
            }
          }
        }
      }
    }
    #expect(combinationCount == 3 * 3 * 6 * 7 * 2)
  }

  @Test(arguments: 0...255 as ClosedRange<UInt8>)
  func everyFlagIsWhereTheStandardsWantIt(flags: UInt8) {
    var frame = TestFrame()
    frame.payload = [UInt8](repeating: 7, count: 350)
    frame.flags = flags
    frame.urgentPointer = flags & 0x20 != 0 ? 150 : 0
    let metadata = frame.metadata(100, .partial)
    if flags & 0x06 != 0 {
      #expect(verdict(frame.bytes(.partial), metadata) == .drop(.segmentFlagsWrong))
      return
    }
    let made = segments(of: frame.bytes(.partial), metadata) ?? []
    #expect(made == frame.segments(100).map { $0.bytes() })
    let flagBytes = made.map { $0[34 + 13] }
    #expect(flagBytes.count == 4)
    #expect(flagBytes.map { $0 & 0x80 } == [flags & 0x80, 0, 0, 0])
    #expect(flagBytes.map { $0 & 0x09 } == [0, 0, 0, flags & 0x09])
    #expect(flagBytes.allSatisfy { $0 & 0x50 == flags & 0x50 })
    #expect(flagBytes.map { $0 & 0x20 } == [flags & 0x20, flags & 0x20, 0, 0])
  }

  @Test func datagramWhoseChecksumComesOutZeroCarriesAllOnes() {
    var frame = TestFrame()
    frame.transport = .udp
    frame.payload = [0, 0, 1, 2]
    // The word that makes the sum of pseudo header and datagram 0xffff.
    frame.payload = [0, 0]
    let start = frame.transportOffset
    let sum = ~word(frame.bytes(), start + 6) & 0xffff
    frame.payload = bigEndian16(0xffff - sum)
    let made = segments(of: frame.bytes(.partial), frame.metadata(2, .partial))
    #expect(made?.count == 1)
    #expect(made.map { word($0[0], start + 6) } == 0xffff)
  }

  @Test func sourceRoutedPacketRestsOnTheSendersPseudoHeader() {
    var frame = TestFrame()
    frame.isIPv6 = true
    frame.extensionHeaders = [(43, [2, 4, 1, 0, 0, 0, 0] + [UInt8](repeating: 9, count: 16))]
    frame.finalDestination = [UInt8](repeating: 9, count: 16)
    frame.payload = [UInt8](repeating: 3, count: 301)
    #expect(
      segments(of: frame.bytes(.partial), frame.metadata(100, .partial)) == frame.segments(100).map { $0.bytes() })
    #expect(verdict(frame.bytes(), frame.metadata(100, .complete)) == .drop(.pseudoHeaderUnknown))

    var old = TestFrame()
    old.ipOptions = [131, 7, 4, 203, 0, 113, 9, 0]
    old.finalDestination = [203, 0, 113, 9]
    old.payload = [UInt8](repeating: 3, count: 301)
    #expect(segments(of: old.bytes(.partial), old.metadata(100, .partial)) == old.segments(100).map { $0.bytes() })
    #expect(verdict(old.bytes(), old.metadata(100, .complete)) == .drop(.pseudoHeaderUnknown))
  }

  @Test func paddingBehindThePacketIsNoPayload() {
    var frame = TestFrame()
    frame.payload = [UInt8](repeating: 3, count: 250)
    let padded = frame.bytes(.partial) + [0xee, 0xee, 0xee]
    #expect(segments(of: padded, frame.metadata(100, .partial)) == frame.segments(100).map { $0.bytes() })
  }

  @Test(arguments: [false, true])
  func packetWithoutALengthIsCutToTheFramesEnd(isIPv6: Bool) {
    var frame = TestFrame()
    frame.isIPv6 = isIPv6
    frame.payload = [UInt8](repeating: 3, count: 250)
    var bytes = frame.bytes(.complete)
    let field = isIPv6 ? 18 : 16
    (bytes[field], bytes[field + 1]) = (0, 0)
    #expect(segments(of: bytes, frame.metadata(100, .complete)) == frame.segments(100).map { $0.bytes() })
  }

  @Test func largestFrameMakesBoundedWork() {
    var frame = TestFrame()
    frame.payload = [UInt8](repeating: 1, count: 65535 - 40)
    #expect(verdict(frame.bytes(), frame.metadata(1, .complete)) == .drop(.segmentCountExceeded))
    #expect(verdict(frame.bytes(), frame.metadata(31, .complete)) == .drop(.segmentCountExceeded))
    #expect(segments(of: frame.bytes(), frame.metadata(32, .complete))?.count == 2047)
    #expect(segments(of: frame.bytes(), frame.metadata(65535, .complete))?.count == 1)
  }

  @Test func bufferThatIsTooSmallIsNotWritten() {
    var frame = TestFrame()
    frame.payload = [UInt8](repeating: 1, count: 300)
    let bytes = frame.bytes()
    unsafe bytes.withUnsafeBytes { input in
      var segmenter = unsafe Segmenter(frame: input, metadata: frame.metadata(100, .complete))
      #expect(segmenter?.largestSegmentByteCount == 154)
      unsafe withUnsafeTemporaryAllocation(byteCount: 153, alignment: 1) { output in
        #expect(unsafe segmenter?.next(into: output) == nil)
      }
    }
  }
}
