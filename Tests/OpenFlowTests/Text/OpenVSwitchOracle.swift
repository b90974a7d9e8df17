// Debian's ovs-ofctl as the judge of flow syntax: parse-flow reads a description, encodes it in a version of OpenFlow,
// and prints what it reads back from the bytes.

import Foundation
import OpenFlow
import TestSupport

enum OpenVSwitchOracle {
  /// In CI the tool has to be there.
  static let isAvailable = TestEnvironment.hasProgram("ovs-ofctl") || TestEnvironment.isContinuousIntegration

  static func name(_ version: OpenFlowVersion) -> String { "OpenFlow1\(version.rawValue - 1)" }

  /// What ovs-ofctl understood of each flow: the text behind the message's name; nil if it refused.
  /// - Parameter isRefused: a guess, for speed: one refused flow refuses its whole batch.
  static func requests(
    _ flows: [String], _ version: OpenFlowVersion, isRefused: (String) -> Bool = { _ in false }
  ) throws -> [String?] {
    let guesses = flows.map(isRefused)
    let accepted = zip(flows, guesses).filter { !$0.1 }.map(\.0)
    var answers = try bisected(accepted, version)[...]
    return try zip(flows, guesses).map { flow, isRefused in
      isRefused ? try batch([flow], version)?.first ?? nil : answers.popFirst() ?? nil
    }
  }

  private static func bisected(_ flows: [String], _ version: OpenFlowVersion) throws -> [String?] {
    if flows.isEmpty { return [] }
    if let all = try batch(flows, version) { return all }
    if flows.count == 1 { return [nil] }
    let half = flows.count / 2
    return try bisected(Array(flows[..<half]), version) + bisected(Array(flows[half...]), version)
  }

  private static func batch(_ flows: [String], _ version: OpenFlowVersion) throws -> [String?]? {
    let input = Array((flows.joined(separator: "\n") + "\n").utf8)
    let result = try runCommand(
      ["ovs-ofctl", "-vconsole:off", "-O", name(version), "parse-flows", "-"], input: input, deadline: .seconds(60))
    guard result.isSuccess else { return nil }
    let answers = result.output.split(separator: "\n").filter {
      $0.hasPrefix("OFPT_FLOW_MOD") || $0.hasPrefix("NXT_FLOW_MOD")
    }
    guard answers.count == flows.count else {
      throw TestFailure("\(flows.count) flows, \(answers.count) answers of ovs-ofctl:\n\(result.output)")
    }
    return answers.map { line in
      guard !line.contains("***decode error"), let range = line.range(of: "): ") else { return nil }
      // With a table in one of them 1.0's flows all have a number, and 255 says that the switch may choose.
      return String(line[range.upperBound...]).replacingOccurrences(of: "ADD table:255 ", with: "ADD ")
    }
  }

  /// What a printed flow mod says, as a description.
  static func description(_ request: String) -> String {
    request.replacing(#/^ADD /#, with: "").replacing(#/^table:/#, with: "table=")
      .replacing(#/(idle|hard):([0-9]+)/#) { "\($0.1)_timeout=\($0.2)" }
      .replacing(#/(cookie|importance):([0-9a-fx]+)/#) { "\($0.1)=\($0.2)" }
  }

  /// What ovs-ofctl understood of a group; nil if it refused.
  static func group(_ text: String, _ version: OpenFlowVersion) throws -> String? {
    let result = try runCommand(["ovs-ofctl", "-vconsole:off", "-O", name(version), "parse-group", text])
    guard result.isSuccess, let line = result.output.split(separator: "\n").last(where: { $0.hasPrefix(" ") }) else {
      return nil
    }
    return String(line.dropFirst())
  }
}
