import OpenFlow
import TestSupport
import Testing
import VSwitchCore

/// Any bytes end as a message, an error or a close (S14, S38). A trap would end the test program.
@Suite struct HostileBytesTests {
  /// Reads, and where that gives a message, writes it and reads it again.
  private func feed(_ bytes: [UInt8], tableID: Bool) {
    var decoder = MessageDecoder()
    decoder.flowModTableID = tableID
    do {
      let message = try decoder.decode(bytes)
      var encoder = MessageEncoder()
      encoder.flowModTableID = tableID
      if let written = try? encoder.encode(message), written.count <= 65535 {
        do {
          _ = try decoder.decode(written)
        } catch { Issue.record("\(error): \(hex(bytes)) was read, and written as \(hex(written))") }
      }
    } catch {
      guard case .refused(let refusal) = error else { return }
      #expect(refusal.data == bytes)
      #expect(throws: Never.self) { try MessageEncoder().encode(refusal.message) }
    }
  }

  @Test(arguments: testSeeds(2))
  func randomBytesNeverTrap(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    for _ in 0..<20_000 {
      var bytes = generator.bytes(8 + generator.below(160))
      bytes[0] = UInt8(generator.pick([1, 4, 5, 6]))
      bytes[1] = UInt8(generator.below(36))
      bytes[2] = 0
      bytes[3] = UInt8(bytes.count)
      feed(bytes, tableID: generator.coin())
    }
  }

  @Test(arguments: testSeeds(2), OpenFlowVersion.allCases)
  func validMessagesWithFlippedBytesNeverTrap(seed: UInt64, version: OpenFlowVersion) throws {
    var generator = SeededGenerator(seed: seed)
    for _ in 0..<6 {
      var messages = generator.bodies(version).map { Message(version, xid: 5, $0) }
      if version > .v10 { messages.append(generator.bundleAdd(version)) }
      for message in messages {
        let good = try MessageEncoder().encode(message)
        for _ in 0..<20 {
          var bytes = good
          for _ in 0...generator.below(3) {
            let position = generator.below(bytes.count)
            bytes[position] = generator.pick([0, 1, 0x7f, 0x80, 0xff, bytes[position] ^ 1, bytes[position] &+ 8])
          }
          if generator.coin() { bytes.removeLast(generator.below(bytes.count - 7)) }
          guard bytes.count >= 8, bytes.count <= 65535 else { continue }
          bytes[2] = UInt8(bytes.count >> 8)
          bytes[3] = UInt8(bytes.count & 0xff)
          feed(bytes, tableID: generator.coin())
        }
      }
    }
  }

  @Test func everyPrefixOfAMessageIsRefusedOrRead() {
    for recording in Recording.all {
      for count in 8..<max(9, recording.bytes.count) {
        var bytes = Array(recording.bytes.prefix(count))
        bytes[2] = UInt8(count >> 8)
        bytes[3] = UInt8(count & 0xff)
        feed(bytes, tableID: true)
      }
    }
  }

  /// Messages that `make fuzz` found, without its first byte.
  @Test(arguments: [
    // A hash over some bits of the entry port: read as a number, they were none that a port can have.
    """
    060f007800000006000001000000000100280000ffffffff00280010000000040000001000000001000000000000000000000008
    000500000002000800000003ffff00360000154d0000000100000000686173680000000000000000000000000000000000000007
    800000041623002000000002ff180000
    """
  ])
  func whatWasFoundOnceIsReadAndWrittenAgain(text: String) throws {
    let message = try MessageDecoder().decode(bytes(hex: text))
    let written = try MessageEncoder().encode(message)
    #expect(try MessageDecoder().decode(written) == message)
  }

  @Test func nestedActionsEndAtALimit() throws {
    // clone in clone in clone: 16 bytes each, 4,000 deep.
    for depth in [3, 17, 18, 4000] {
      var writer: [UInt8] = []
      for level in 0..<depth {
        let length = 16 * (depth - level)
        writer += [0xff, 0xff, UInt8(length >> 8), UInt8(length & 0xff), 0, 0, 0x23, 0x20, 0, 42, 0, 0, 0, 0, 0, 0]
      }
      let total = 24 + writer.count
      let header: [UInt8] = [4, 13, UInt8(total >> 8), UInt8(total & 0xff), 0, 0, 0, 1]
      let packetOut: [UInt8] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, UInt8(writer.count >> 8), UInt8(writer.count & 0xff),
      ]
      let bytes = header + packetOut + [0, 0, 0, 0, 0, 0] + writer
      if depth <= 17 {
        #expect(throws: Never.self) { try MessageDecoder().decode(bytes) }
      } else {
        #expect(throws: DecodeFailure.refused(OpenFlowError(.badActionTooMany, version: .v13, xid: 1, data: bytes))) {
          try MessageDecoder().decode(bytes)
        }
      }
    }
  }

  @Test func aBundleWithinABundleIsRefused() throws {
    var generator = SeededGenerator(seed: 1)
    let inner = generator.bundleAdd(.v14)
    let outer = Message(.v14, xid: inner.xid, .bundleAdd(BundleAdd(bundle: 1, flags: [], inner)))
    let bytes = try MessageEncoder().encode(outer)
    let refusal = OpenFlowError(.bundleFailedMessageUnsupported, version: .v14, xid: inner.xid, data: bytes)
    #expect(throws: DecodeFailure.refused(refusal)) { try MessageDecoder().decode(bytes) }
  }

  @Test func withoutAHeaderThatCountsTheConnectionIsClosed() {
    for bytes in [[0, 0, 0, 8, 0, 0, 0, 0], [4, 0, 0, 4, 0, 0, 0, 0], [4, 2, 0, 9, 0, 0, 0, 0]] as [[UInt8]] {
      #expect {
        try MessageDecoder().decode(bytes)
      } throws: { error in
        if case DecodeFailure.close? = error as? DecodeFailure { true } else { false }
      }
    }
    #expect(throws: DecodeFailure.self) { try MessageDecoder.messageByteCount([4, 2, 0, 7]) }
    #expect(throws: DecodeFailure.self) { try MessageDecoder.messageByteCount([0, 2, 0, 8]) }
  }
}
