import OpenFlow
import TestSupport
import Testing
import VSwitchCore

@Suite struct RoundTripTests {
  @Test(arguments: testSeeds(3), OpenFlowVersion.allCases)
  func whatIsWrittenReadsTheSame(seed: UInt64, version: OpenFlowVersion) throws {
    var generator = SeededGenerator(seed: seed)
    for _ in 0..<40 {
      for body in generator.bodies(version) {
        let message = Message(version, xid: UInt32(truncatingIfNeeded: generator.next()), body)
        try check(message)
      }
      if version > .v10 { try check(generator.bundleAdd(version)) }
    }
  }

  private func check(_ message: Message) throws {
    let written = try MessageEncoder().encode(message)
    do {
      let read = try MessageDecoder().decode(written)
      if read != message { Issue.record("\(hex(written))\n\(message)\n\(read)") }
    } catch {
      Issue.record("\(error) \(message) \(hex(written))")
    }
    #expect(try MessageDecoder.messageByteCount(written) == written.count)
  }

  @Test(arguments: testSeeds(2))
  func tableNumbersOfOpenFlow10TravelInTheCommandWhenBothSidesAgree(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var encoder = MessageEncoder()
    var decoder = MessageDecoder()
    encoder.flowModTableID = true
    decoder.flowModTableID = true
    for _ in 0..<200 {
      var mod = generator.flowMod(.v10)
      mod.table = UInt8(generator.below(254))
      let message = Message(.v10, .flowMod(mod))
      #expect(try decoder.decode(try encoder.encode(message)) == message)
      if mod.command != .add || mod.table != 0 {
        #expect(throws: EncodeError.self) { try MessageEncoder().encode(message) }
      }
    }
  }

  @Test func longAnswersAreSplitBelow64KBAndSayThatMoreFollow() throws {
    var generator = SeededGenerator(seed: 7)
    for version in OpenFlowVersion.allCases {
      let ports = (0..<3000).map { _ in generator.portDescription(version) }
      let parts = try MessageEncoder().encodeParts(
        Message(version, xid: 9, .multipartReply(MultipartReply(.portDescriptions(ports)))))
      #expect(parts.count > 1)
      var read: [PortDescription] = []
      for (index, part) in parts.enumerated() {
        #expect(part.count <= 65535)
        let message = try MessageDecoder().decode(part)
        guard case .multipartReply(let reply) = message.body, case .portDescriptions(let some) = reply.body else {
          Issue.record("not an answer")
          continue
        }
        #expect(message.xid == 9 && reply.hasMore == (index < parts.count - 1))
        read += some
      }
      #expect(read == ports)
      let empty = try MessageEncoder().encodeParts(
        Message(version, .multipartReply(MultipartReply(.portDescriptions([])))))
      #expect(empty.count == 1)
    }
  }
}
