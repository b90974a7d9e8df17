import Foundation
import OpenFlow
import TestSupport
import Testing
import VSwitchCore

/// Held against the real ovs-ofctl: what it sent is read and written byte for byte, what is written it can read.
@Suite struct RecordingTests {
  @Test func theRecordingIsThere() { #expect(Recording.all.count > 250) }

  @Test func whatOfctlSendsIsReadAndWrittenByteForByte() throws {
    for recording in Recording.all {
      var decoder = MessageDecoder()
      var encoder = MessageEncoder()
      // ovs-ofctl puts table numbers into 1.0's commands when it speaks NXM.
      decoder.flowModTableID = true
      encoder.flowModTableID = true
      do {
        let message = try decoder.decode(recording.bytes)
        let written = try encoder.encode(message)
        if written != recording.bytes, !Self.isOtherForm(written, recording.bytes) {
          Issue.record("\(recording)\n\(hex(recording.bytes))\n\(hex(written))\n\(message)")
        }
        #expect(try decoder.decode(written) == message, "\(recording)")
      } catch {
        Issue.record("\(recording): \(error) \(hex(recording.bytes))")
      }
    }
  }

  /// A 1.0 change that ovs-ofctl sent as NXT_FLOW_MOD for its actions' sake; it is written as 1.0's own message, which may
  /// have the same actions.
  private static func isOtherForm(_ written: [UInt8], _ recorded: [UInt8]) -> Bool {
    recorded[0] == 1 && recorded[1] == 4 && written[1] == 14
  }

  @Test(arguments: OpenFlowVersion.allCases)
  func ofctlReadsWhatIsWritten(version: OpenFlowVersion) throws {
    try #require(
      TestEnvironment.hasProgram("ovs-ofctl") || !TestEnvironment.isContinuousIntegration, "ovs-ofctl is missing")
    guard TestEnvironment.hasProgram("ovs-ofctl") else { return }
    var generator = SeededGenerator(seed: 11)
    var messages: [Message] = []
    for _ in 0..<12 { messages += generator.bodies(version).map { Message(version, xid: 0x1234, $0) } }
    if version > .v10 { messages += (0..<20).map { _ in generator.bundleAdd(version) } }
    let file = FileManager.default.temporaryDirectory.appendingPathComponent("openflow-\(getpid())-\(version)")
    defer { try? FileManager.default.removeItem(at: file) }
    messages.removeAll { !Self.isKnownToOfctl($0) }
    try Data(messages.flatMap { try MessageEncoder().encode($0) }).write(to: file)
    let result = try runCommand(["ovs-ofctl", "ofp-parse", file.path])
    let text = result.output + result.errorOutput
    let complaints = text.split(separator: "\n").filter { $0.contains("decode error") || $0.contains("WARN") }
    #expect(result.isSuccess && complaints.isEmpty, "\(complaints.prefix(12).joined(separator: "\n"))")
    #expect(text.split(separator: "\n").count { $0.contains("xid=") } >= messages.count)
  }

  /// Left out is what Open vSwitch 3.1 does not have: 1.5's statistics of flows (multipart 17), controller status, bundle
  /// features.
  private static func isKnownToOfctl(_ message: Message) -> Bool {
    // A debugging action that is compiled in or not, and a continuation, whose inside is Open vSwitch's own.
    let text = String(describing: message)
    if text.contains("debugRecirculate") || text.contains("controllerStatus: Optional(") { return false }
    switch message.body {
    case .resume(let packet), .packetIn(let packet, _): return packet.continuation == nil
    // It reads the refused message in it, which is made up.
    case .error: return false
    default: break
    }
    switch message.body {
    case .controllerStatus: return false
    case .multipartRequest(let request):
      switch request.body {
      case .flowStatistics, .controllerStatus, .bundleFeatures: return false
      case .flowMonitor(let monitors):
        // Without any of these it wants none; "no abbreviation" it does not know.
        return monitors.allSatisfy {
          !$0.flags.isDisjoint(with: [.added, .removed, .modified])
            && (message.version < .v14 || !$0.flags.contains(.noAbbreviation))
        }
      default: return true
      }
    case .multipartReply(let reply):
      switch reply.body {
      case .tableFeatures(let tables): return !tables.isEmpty
      case .tableDescriptions(let tables): return !tables.isEmpty
      case .flowStatistics, .controllerStatus, .bundleFeatures: return false
      default: return true
      }
    default: return true
    }
  }
}
