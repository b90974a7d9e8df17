// add-flow, add-flows, mod-flows, del-flows: ovs-ofctl(8), "OpenFlow Switch Flow Table Commands".

import ArgumentParser
import OpenFlow
import VSwitchCore

extension FlowSession {
  /// Sends the flows of an input.
  /// - Parameter command: of each; nil: lines may begin with theirs.
  func send(_ input: FlowInput, _ command: FlowMod.Command?, wantsBundle: Bool) async throws {
    try await change(wantsBundle: wantsBundle) { parser in
      try input.read { line throws(FlowTextError) in try parser.flow(line, command: command) }.map { flow in
        for note in flow.value.notes { Terminal.complain("warning: \(note)") }
        return FlowChange(
          body: .flowMod(flow.value.mod), versions: flow.value.versions, namesTable: flow.value.namesTable,
          lineNumber: flow.line, text: flow.text)
      }
    }
  }
}

struct BundleOption: ParsableArguments {
  @Flag(
    help: "All at one step, or none (also without it, where the version of OpenFlow can: all but 1.0).")
  var bundle = false
}

struct AddFlowCommand: FlowVerb {
  static let configuration = CommandConfiguration(
    commandName: "add-flow", abstract: "Add a flow rule; one with the same match, priority and table is replaced.",
    discussion: "For example: vsctl add-flow br0 priority=100,tcp,tp_dst=22,actions=output:p1")

  @OptionGroup var connection: ConnectionOptions
  @OptionGroup var options: BundleOption
  @Argument(help: "The rule as ovs-ofctl(8) writes it; - for rules on standard input.") var flow: String

  func run(_ session: FlowSession) async throws -> Int32 {
    try await session.send(try FlowInput(argument: flow), .add, wantsBundle: options.bundle)
    return 0
  }
}

struct AddFlowsCommand: FlowVerb {
  static let configuration = CommandConfiguration(
    commandName: "add-flows", abstract: "Add flow rules from a file, one in a line; # begins a comment.",
    discussion: "A line may begin with add, modify, modify_strict, delete or delete_strict.")

  @OptionGroup var connection: ConnectionOptions
  @OptionGroup var options: BundleOption
  @Argument(help: "A file; - for standard input.", completion: .file()) var file: String

  func run(_ session: FlowSession) async throws -> Int32 {
    try await session.send(try FlowInput(file: file), nil, wantsBundle: options.bundle)
    return 0
  }
}

struct ModifyFlowsCommand: FlowVerb {
  static let configuration = CommandConfiguration(
    commandName: "mod-flows", abstract: "Change the actions of flow rules.")

  @OptionGroup var connection: ConnectionOptions
  @OptionGroup var options: BundleOption
  @Flag(help: "Only the rule with exactly this match and priority.") var strict = false
  @Argument(help: "What the rules match at least, and the new actions; - for standard input.") var flow: String

  func run(_ session: FlowSession) async throws -> Int32 {
    try await session.send(
      try FlowInput(argument: flow), strict ? .modifyStrict : .modify, wantsBundle: options.bundle)
    return 0
  }
}

struct DeleteFlowsCommand: FlowVerb {
  static let configuration = CommandConfiguration(
    commandName: "del-flows", abstract: "Delete flow rules: all, or those that match.")

  @OptionGroup var connection: ConnectionOptions
  @OptionGroup var options: BundleOption
  @Flag(help: "Only the rule with exactly this match and priority.") var strict = false
  @Argument(help: "What the rules match at least (default: all); - for standard input.") var flow: String = ""

  func run(_ session: FlowSession) async throws -> Int32 {
    try await session.send(
      try FlowInput(argument: flow), strict ? .deleteStrict : .delete, wantsBundle: options.bundle)
    return 0
  }
}
