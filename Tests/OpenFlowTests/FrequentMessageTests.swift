import OpenFlow
import TestSupport
import Testing
import VSwitchCore

/// What is read without the boxes of a message is what the message says.
@Suite struct FrequentMessageTests {
  /// What the general decoder makes of the bytes, as far as it comes often.
  private func expected(_ bytes: [UInt8], flowModTableID: Bool) -> FrequentMessage? {
    var decoder = MessageDecoder()
    decoder.flowModTableID = flowModTableID
    guard let message = try? decoder.decode(bytes) else { return nil }
    switch message.body {
    case .flowMod(let mod): return .flowMod(mod)
    case .barrierRequest: return .barrierRequest
    case .echoRequest: return .echoRequest
    case .bundleAdd(let add):
      guard message.version > .v13, case .flowMod(let mod) = add.message.body else { return nil }
      return .bundleAdd(bundle: add.bundle, flags: add.flags, mod)
    default: return nil
    }
  }

  private func check(_ bytes: [UInt8], _ decoder: inout FrequentMessageDecoder, flowModTableID: Bool = false) {
    guard let version = OpenFlowVersion(rawValue: bytes[0]) else { return }
    let read = unsafe decoder.decode(bytes.span.bytes, version, flowModTableID: flowModTableID)
    #expect(read == expected(bytes, flowModTableID: flowModTableID), "\(hex(bytes))")
  }

  @Test(arguments: testSeeds(3), OpenFlowVersion.allCases)
  func readsWhatTheGeneralDecoderReadsAndRefusesNothing(seed: UInt64, version: OpenFlowVersion) throws {
    var generator = SeededGenerator(seed: seed)
    var decoder = FrequentMessageDecoder()
    for _ in 0..<30 {
      var messages = generator.bodies(version).map { Message(version, xid: 5, $0) }
      messages += [Message(version, xid: 6, .barrierRequest), Message(version, xid: 6, .echoRequest([1, 2, 3]))]
      for _ in 0..<10 { messages.append(Message(version, xid: 7, .flowMod(generator.flowMod(version)))) }
      if version > .v10 { messages.append(generator.bundleAdd(version)) }
      for message in messages {
        let good = try MessageEncoder().encode(message)
        // Twice, so that the instructions are those of the message before.
        for _ in 0..<2 { check(good, &decoder, flowModTableID: false) }
        check(good, &decoder, flowModTableID: true)
        for _ in 0..<5 {
          var bytes = good
          bytes[generator.below(bytes.count)] = UInt8(generator.below(256))
          check(bytes, &decoder)
          check(Array(bytes.prefix(8 + generator.below(bytes.count))), &decoder)
        }
      }
    }
  }
}
