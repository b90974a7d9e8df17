// The parser and the printer beside Debian's ovs-ofctl.

import Foundation
import TestSupport
import Testing
import VSwitchCore

@testable import OpenFlow

@Suite(.enabled(if: OpenVSwitchOracle.isAvailable, "ovs-ofctl is not installed"))
struct FlowOracleTests {
  /// What we understand of a flow, in the words of a version; nil if we refuse it.
  static func ours(_ text: String, _ version: OpenFlowVersion) -> String? {
    guard let flow = try? FlowTextParser(versions: VersionSet([version])).flow(text) else { return nil }
    return FlowPrinter(version: version).request(flow.mod)
  }

  private func compare(_ flows: [String], _ version: OpenFlowVersion) throws {
    let answers = try OpenVSwitchOracle.requests(flows, version) { Self.ours($0, version) == nil }
    for (flow, answer) in zip(flows, answers) { #expect(Self.ours(flow, version) == answer, "\(flow)") }
  }

  @Test(arguments: OpenFlowVersion.allCases)
  func flowsAreUnderstoodAndPrintedAsByOpenVSwitch(version: OpenFlowVersion) throws {
    try compare(FlowCorpus.flows, version)
  }

  @Test(arguments: [OpenFlowVersion.v10, .v15])
  func loadsAreUnderstoodAndPrintedAsByOpenVSwitch(version: OpenFlowVersion) throws {
    try compare(FlowCorpus.loads, version)
  }

  @Test(arguments: [OpenFlowVersion.v13, .v14, .v15])
  func whatHasOneFormInNewerVersionsIsPrintedAsByOpenVSwitch(version: OpenFlowVersion) throws {
    try compare(FlowCorpus.newer, version)
  }

  /// The known differences: each is one only as long as Open vSwitch still does otherwise.
  @Test func whatWeRefuseOrTakeBeyondOpenVSwitchIsKnown() throws {
    for (flow, answer) in zip(FlowCorpus.stricter, try OpenVSwitchOracle.requests(FlowCorpus.stricter, .v15)) {
      #expect(Self.ours(flow, .v15) == nil && answer != nil, "\(flow)")
    }
    for (flow, answer) in zip(FlowCorpus.wider, try OpenVSwitchOracle.requests(FlowCorpus.wider, .v15)) {
      #expect(Self.ours(flow, .v15) != nil && answer == nil, "\(flow)")
    }
  }

  /// Open vSwitch reads our print as it reads the original, and we read its print as we read the original.
  @Test(arguments: [OpenFlowVersion.v13, .v15])
  func eachReadsTheOthersPrint(version: OpenFlowVersion) throws {
    let flows = FlowCorpus.flows + FlowCorpus.newer + (version == .v15 ? FlowCorpus.loads : [])
    let parser = FlowTextParser(versions: VersionSet([version]))
    let printer = FlowPrinter(version: version, showsStatistics: false)
    var lines: [(flow: String, ours: String, theirs: String)] = []
    let answers = try OpenVSwitchOracle.requests(flows, version) { (try? parser.flow($0)) == nil }
    for (flow, answer) in zip(flows, answers) {
      guard let answer, let parsed = try? parser.flow(flow) else { continue }
      lines.append((flow, printer.line(FlowStatistics(parsed.mod)), answer))
      let again = try? parser.flow(OpenVSwitchOracle.description(answer))
      #expect(again.map { printer.request($0.mod) } == printer.request(parsed.mod), "\(flow): \(answer)")
    }
    #expect(lines.count > 250)
    for (line, answer) in zip(lines, try OpenVSwitchOracle.requests(lines.map(\.ours), version)) {
      #expect(answer == line.theirs, "\(line.flow) printed as \(line.ours)")
    }
  }
}

extension FlowOracleTests {
  @Test(arguments: testSeeds(3), [OpenFlowVersion.v10, .v15])
  func randomFlowsAreUnderstoodAndPrintedAsByOpenVSwitch(seed: UInt64, version: OpenFlowVersion) throws {
    var generator = FlowGenerator(seed: seed)
    let flows = (0..<250).map { _ in generator.flow() }
    var accepted = 0
    let answers = try OpenVSwitchOracle.requests(flows, version) { FlowOracleTests.ours($0, version) == nil }
    for (flow, answer) in zip(flows, answers) {
      #expect(FlowOracleTests.ours(flow, version) == answer, "\(flow)")
      if answer != nil { accepted += 1 }
    }
    #expect(accepted > 100)
  }
}
