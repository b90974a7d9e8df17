// Reads descriptions of flows: attributes, match, actions (ovs-ofctl(8), "Flow Syntax").

import VSwitchCore

/// A change of the flow table as it was described.
package struct ParsedFlow: Sendable {
  package var mod: FlowMod
  /// Whether the description names a table; without one the meaning of a change depends on the version of OpenFlow.
  package var namesTable: Bool
  /// In which versions of OpenFlow it can be sent.
  package var versions: VersionSet
  /// What a user should know, one line each: Open vSwitch's "normalization changed ofp_match".
  package var notes: [String] = []
}

/// Reads everything that ovs-ofctl takes as text. Pure: names and versions are given.
package struct FlowTextParser: Sendable {
  package var names: NumberNames
  /// The versions that may be spoken: what none of them has is an error.
  package var versions: VersionSet

  package init(names: NumberNames = NumberNames(), versions: VersionSet = .all) {
    self.names = names
    self.versions = versions
  }

  /// A flow to add, change or delete.
  /// - Parameter command: nil: the text may begin with add, modify, modify_strict, delete or delete_strict.
  package func flow(_ text: String, command: FlowMod.Command? = .add) throws(FlowTextError) -> ParsedFlow {
    var slice = TextSlice(text)
    var found = command
    if command == nil { (found, slice) = FlowTextParser.commandWord(slice) }
    return try flow(slice, command: found ?? .add, isFilter: false)
  }

  /// Which flows to show: table, match, cookie, out_port, out_group.
  package func filter(_ text: String) throws(FlowTextError) -> FlowStatisticsRequest {
    let flow = try flow(TextSlice(text), command: .delete, isFilter: true).mod
    var request = FlowStatisticsRequest()
    request.table = flow.table
    request.match = flow.match
    request.cookie = flow.cookieFilter
    request.outPort = flow.outPort
    request.outGroup = flow.outGroup
    return request
  }

  static let commandNames: [(String, FlowMod.Command)] = [
    ("add", .add), ("modify", .modify), ("modify_strict", .modifyStrict), ("delete", .delete),
    ("delete_strict", .deleteStrict),
  ]

  static func commandWord(_ text: TextSlice) -> (FlowMod.Command?, TextSlice) {
    let trimmed = text.trimmed
    var end = trimmed.lower
    while end < trimmed.upper, trimmed.bytes[end] != UInt8(ascii: ","), !TextSlice.isSpace(trimmed.bytes[end]) {
      end += 1
    }
    let word = trimmed.from(trimmed.lower, to: end).string
    guard let found = commandNames.first(where: { $0.0 == word }) else { return (nil, text) }
    return (found.1, text.from(end, to: text.upper))
  }

  func flow(_ text: TextSlice, command: FlowMod.Command, isFilter: Bool) throws(FlowTextError) -> ParsedFlow {
    var reader = FlowAttributeReader(names: names, command: command, isFilter: isFilter)
    var pairs = KeyValueReader(text)
    var actionText: TextSlice?
    while let pair = try pairs.next() {
      if pair.key.equals("actions") || pair.key.equals("action"), pair.delimiter == UInt8(ascii: "=") {
        guard reader.takesActions else {
          throw pair.key.error("a \(isFilter ? "filter" : "delete") has no actions", remedy: "leave them out")
        }
        actionText = text.from(pair.value.lower, to: text.upper)
        break
      }
      try reader.take(pair)
    }
    var flow = try reader.finish()
    guard reader.takesActions else { return try checked(flow, nil, text) }
    guard let actionText else { throw text.error("the flow has no actions", remedy: "add actions=…, as actions=drop") }
    var actions = ActionParser(names: names, match: flow.mod.match, table: flow.namesTable ? flow.mod.table : nil)
    flow.mod.instructions = try actions.instructions(actionText)
    flow.versions.formIntersection(actions.versions)
    return try checked(flow, actions.narrowest, text)
  }

  private func checked(
    _ flow: ParsedFlow, _ reason: FlowTextError?, _ text: TextSlice
  ) throws(FlowTextError) -> ParsedFlow {
    guard flow.versions.intersection(versions).isEmpty else { return flow }
    throw reason
      ?? text.error("no version of OpenFlow that may be spoken has all of this flow", remedy: "allow other versions")
  }
}
