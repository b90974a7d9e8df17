// The same packets through this switch's translation and through Linux with nftables, for both families. Every difference is in
// `differences`, with its reason; one that is not there, or is not seen any more, fails the test.

import Datapath
import TestSupport
import Testing

@Suite(.blocking, .enabled(if: TestEnvironment.canUseNamespaces, "needs root"))
struct LinuxConntrackTests {
  /// Where this switch does otherwise than Linux, and why.
  private static let differences: [String: String] = [
    "fragments in another order":
      "Linux sends them in order once all are there; here they go on in the order in which they came, behind the first one",
    "fragments that overlap":
      "Linux drops the whole datagram, as it sends nothing before all is there; here the first fragment has gone when the second is found to overlap it, and no more follows",
    "data far ahead of the window":
      "Linux lets data through that is past the window by less than the largest window seen, this switch by what the receiver has allowed",
    "a reset off by some bytes":
      "Linux takes a reset anywhere in the window, this switch one that names the next byte (RFC 5961 §3.2)",
  ]

  /// Those of IPv6 besides.
  private static let differencesOfIPv6: [String: String] = [
    numbering: "Linux puts datagrams together and cuts them anew under a number of its own, here fragments keep theirs",
    "a whole datagram in one fragment":
      "Linux takes the fragment header off as it puts the datagram together, here what comes in a fragment leaves in one",
    "no next header":
      "Linux calls it invalid, as it finds no protocol to track; here it is tracked by its addresses (RFC 8200 §4.7 has it forwarded)",
  ]

  private static let numbering = "the number of fragments"

  private static func send(_ plan: TranslationPlan, _ harness: DatapathHarness, _ step: TranslationStep) -> [[UInt8]] {
    let frame = FrameBuilder.ethernet(
      to: FrameBuilder.address(2), from: FrameBuilder.address(1), etherType: plan.etherType, step.packet)
    return harness.receive(bridge: "br0", port: step.isFromInside ? "p1" : "p2", frame: frame).compactMap {
      plan.routed($0.frame)
    }
  }

  /// Steps that follow one another and have the same name.
  private static func groups(_ steps: [TranslationStep]) -> [[TranslationStep]] {
    var groups: [[TranslationStep]] = []
    for step in steps {
      if let last = groups.last?.last, last.name == step.name {
        groups[groups.count - 1].append(step)
      } else {
        groups.append([step])
      }
    }
    return groups
  }

  private static func text(_ packets: [[UInt8]]) -> String {
    packets.isEmpty
      ? "nothing" : packets.map { $0.map { String($0, radix: 16) }.joined(separator: " ") }.joined(separator: "\n    ")
  }

  @Test func translationDoesWhatLinuxDoes() throws {
    try withLab { lab throws in
      let linux = try LinuxRouter(lab)
      for plan in [TranslationPlan.ipv4, .ipv6] {
        let harness = try plan.makeSwitch()
        let differences = plan.isIPv6 ? Self.differences.merging(Self.differencesOfIPv6) { $1 } : Self.differences
        var seen: Set<String> = []
        // Linux keeps the fragments of a datagram until all are there: what came of them is compared together.
        for steps in Self.groups(plan.steps) {
          var theirs: [[UInt8]] = []
          var ours: [[UInt8]] = []
          for step in steps {
            theirs += try linux.send(plan, step)
            ours += Self.send(plan, harness, step)
          }
          if theirs == ours { continue }
          if theirs.map(plan.unnumbered) == ours.map(plan.unnumbered) {
            seen.insert(Self.numbering)
            continue
          }
          guard let name = steps.first?.name else { continue }
          seen.insert(name)
          let text = "\(name):\n  Linux: \(Self.text(theirs))\n  here: \(Self.text(ours))"
          if differences[name] == nil { Issue.record("\(plan.isIPv6 ? "IPv6" : "IPv4"), \(text)") }
        }
        #expect(Set(differences.keys).subtracting(seen).isEmpty, "differences that are not seen any more")
        #expect(differences[Self.numbering] != nil || !seen.contains(Self.numbering))
      }
    }
  }
}
