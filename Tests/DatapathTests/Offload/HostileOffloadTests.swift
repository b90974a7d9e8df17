import TestSupport
import Testing

@testable import Datapath

/// What a hostile guest may hand over: any bytes, any metadata. Each ends as a right result or as a drop.
@Suite struct HostileOffloadTests {
  /// A frame with all sorts of headers.
  private func frame(_ random: inout SeededGenerator) -> (frame: TestFrame, size: Int, checksum: TestFrame.Checksum) {
    var frame = TestFrame()
    frame.tags = tagVariants[Int.random(in: 0..<3, using: &random)]
    frame.isIPv6 = Bool.random(using: &random)
    frame.transport = Bool.random(using: &random) ? .tcp : .udp
    frame.flags = UInt8.random(in: 0...255, using: &random) & 0xf9
    frame.urgentPointer = Int.random(in: 0...500, using: &random)
    frame.payload = random.bytes(Int.random(in: 0...300, using: &random))
    if Bool.random(using: &random) {
      if frame.isIPv6 {
        let types: [UInt8] = [0, 43, 44, 51, 60, 135]
        for _ in 0..<Int.random(in: 1...10, using: &random) {
          let type = types[Int.random(in: 0..<types.count, using: &random)]
          let rest: [UInt8] = type == 51 ? [0] + random.bytes(6) : [0, 0, 0] + random.bytes(4)
          frame.extensionHeaders.append((type, rest))
        }
      } else {
        frame.ipOptions = random.bytes(4 * Int.random(in: 1...10, using: &random))
      }
    }
    return (
      frame, Int.random(in: 1...200, using: &random),
      [TestFrame.Checksum.complete, .partial, .wrong][Int.random(in: 0..<3, using: &random)]
    )
  }

  @Test(arguments: 0..<10 as Range<UInt64>)
  func randomFramesAndMetadataEndRightOrDropped(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    var outcomes: [String: Int] = [:]
    for round in 0..<10_000 {
      let (description, size, checksum) = frame(&random)
      var bytes = description.bytes(checksum)
      var metadata = description.metadata(size, checksum)
      if Bool.random(using: &random) { metadata.gsoType = 0 }
      // Up to three wrong bytes, a cut, wild metadata.
      for _ in 0..<Int.random(in: 0...3, using: &random) {
        bytes[Int.random(in: 0..<min(bytes.count, 120), using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      if Int.random(in: 0..<4, using: &random) == 0 {
        bytes = Array(bytes[..<Int.random(in: 0...bytes.count, using: &random)])
      }
      switch Int.random(in: 0..<8, using: &random) {
      case 0:
        metadata = unsafe random.bytes(10).withUnsafeBytes { bytes in
          unsafe bytes.baseAddress.map { unsafe OffloadMetadata(decoding: $0) } ?? OffloadMetadata()
        }
      case 1: metadata.checksumStart = UInt16.random(in: 0...400, using: &random)
      case 2: metadata.checksumOffset = UInt16.random(in: 0...400, using: &random)
      case 3: metadata.gsoByteCount = UInt16.random(in: 0...400, using: &random)
      case 4: metadata.gsoType = UInt8.random(in: 0...7, using: &random)
      case 5: metadata.headerByteCount = UInt16.random(in: 0...0xffff, using: &random)
      default: break
      }
      let outcome = check(bytes, metadata)
      outcomes[outcome.kind, default: 0] += 1
      #expect(outcome.complaint == nil, "seed \(seed) round \(round): \(metadata) \(bytes)")
    }
    // The fuzz reaches every branch, not only the first check.
    for kind in ["passThrough", "finishChecksum", "segment", "drop"] {
      #expect(outcomes[kind, default: 0] > 200, "\(outcomes)")
    }
  }

  @Test(arguments: [TestFrame.Transport.tcp, .udp], [false, true])
  func everyPrefixEndsRightOrDropped(transport: TestFrame.Transport, isIPv6: Bool) {
    for tags in tagVariants {
      var frame = TestFrame()
      frame.tags = tags
      frame.transport = transport
      frame.isIPv6 = isIPv6
      frame.payload = [UInt8](repeating: 1, count: 40)
      if isIPv6 {
        frame.extensionHeaders = [(0, [0, 1, 4, 0, 0, 0, 0]), (51, [4] + [UInt8](repeating: 8, count: 22))]
      }
      let bytes = frame.bytes(.partial)
      for length in 0...bytes.count {
        for isSegmented in [false, true] {
          var metadata = frame.metadata(10, .partial)
          if !isSegmented { metadata.gsoType = 0 }
          let outcome = check(Array(bytes[..<length]), metadata)
          #expect(outcome.complaint == nil)
          #expect((outcome.kind == "drop") == (length < bytes.count))
        }
      }
    }
  }

  @Test func headerWalkHasADepthLimit() {
    var frame = TestFrame()
    frame.isIPv6 = true
    frame.payload = [1, 2, 3]
    for count in 0...200 {
      frame.extensionHeaders = Array(repeating: (135, [0, 0, 0, 0, 0, 0, 0]), count: count)
      let isKnown = count <= FrameLayout.extensionHeaderLimit
      let expected: OffloadVerdict = isKnown ? .segment : .drop(.segmentTypeMismatch)
      #expect(verdict(frame.bytes(.partial), frame.metadata(2, .partial)) == expected)
    }
  }

  /// Runs everything that an exit without any offload would.
  private func check(_ bytes: [UInt8], _ metadata: OffloadMetadata) -> (kind: String, complaint: String?) {
    let input = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
    defer { unsafe input.deallocate() }
    unsafe input.copyBytes(from: bytes)
    if metadata.segmentationType == OffloadMetadata.gsoUFO { return checkFragments(bytes, metadata) }
    let made = segments(of: bytes, metadata)
    switch unsafe classify(frame: UnsafeRawBufferPointer(input), metadata: metadata, exit: []) {
    case .passThrough:
      return ("passThrough", metadata.isComplete ? nil : "incomplete frame passed")
    case .drop:
      return ("drop", made == nil ? nil : "dropped frame was cut")
    case .finishChecksum:
      var rest = metadata
      guard unsafe finishChecksum(frame: input, metadata: &rest), rest.isComplete else {
        return ("finishChecksum", "refused")
      }
      return ("finishChecksum", complaintAboutFinished(unsafe Array(input), bytes, metadata))
    case .segment:
      guard let made, !made.isEmpty, made.count <= SegmentationPlan.segmentLimit else { return ("segment", "refused") }
      if verdictOfLayout(bytes)?.hasPlainPseudoHeader != true { return ("segment", nil) }
      return ("segment", made.lazy.compactMap { complaint(about: $0) }.first)
    }
  }

  /// The same for datagrams that are to be fragmented.
  private func checkFragments(_ bytes: [UInt8], _ metadata: OffloadMetadata) -> (kind: String, complaint: String?) {
    unsafe bytes.withUnsafeBytes { input in
      let verdict = unsafe classify(frame: input, metadata: metadata, exit: [])
      guard var cutter = unsafe Fragmenter(frame: input, metadata: metadata, identification: 7) else {
        if case .drop = verdict { return ("drop", nil) }
        return ("fragment", "refused")
      }
      guard verdict == .segment else { return ("fragment", "dropped frame was cut") }
      let room = UnsafeMutableRawBufferPointer.allocate(byteCount: cutter.largestSegmentByteCount, alignment: 1)
      defer { unsafe room.deallocate() }
      let whole = verdictOfLayout(bytes) ?? FrameLayout()
      var count = 0
      var payloadByteCount = 0
      while let byteCount = unsafe cutter.next(into: room) {
        var layout = FrameLayout()
        guard unsafe layout.parse(UnsafeRawBufferPointer(rebasing: room[..<byteCount])) == nil else {
          return ("fragment", "no frame")
        }
        count += 1
        let hasFragmentHeader = whole.network == .ipv6 && cutter.segmentCount > 1
        payloadByteCount += byteCount - whole.transportOffset - (hasFragmentHeader ? 8 : 0)
      }
      let wanted = whole.end - whole.transportOffset
      let isWhole = payloadByteCount == wanted && count == cutter.segmentCount
      return ("fragment", isWhole && count <= FragmentationPlan.fragmentLimit ? nil : "bytes are missing")
    }
  }

  /// The frames whose pseudo header only the sender knows have no checksum that could be judged from outside.
  private func verdictOfLayout(_ bytes: [UInt8]) -> FrameLayout? {
    var layout = FrameLayout()
    return unsafe bytes.withUnsafeBytes { unsafe layout.parse($0) } == nil ? layout : nil
  }

  /// Only the checksum field may change, and it must be the sum of what it covers.
  private func complaintAboutFinished(
    _ made: [UInt8], _ given: [UInt8], _ metadata: OffloadMetadata
  ) -> String? {
    let start = Int(metadata.checksumStart)
    let field = start + Int(metadata.checksumOffset)
    guard made.count == given.count, field + 2 <= made.count else { return "outside" }
    for i in made.indices where made[i] != given[i] && i != field && i != field + 1 { return "byte \(i) changed" }
    guard let layout = verdictOfLayout(given), start >= layout.transportOffset else { return "before the transport" }
    let value = ~naiveChecksumSum(Array(given[start..<layout.end])) & 0xffff
    let stored = word(made, field)
    return stored == value || (value == 0 && stored == 0xffff) ? nil : "wrong sum"
  }
}
