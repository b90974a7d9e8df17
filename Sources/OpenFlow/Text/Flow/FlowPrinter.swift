// Prints flows as ovs-ofctl does: the lines of dump-flows, of diff-flows, and a flow mod as in an error's request.

import VSwitchCore

package struct FlowPrinter {
  package var names: NumberNames
  package var version: OpenFlowVersion
  /// Counters, ages and zero cookies are printed too.
  package var showsStatistics: Bool

  package init(names: NumberNames = NumberNames(), version: OpenFlowVersion = .v15, showsStatistics: Bool = true) {
    self.names = names
    self.version = version
    self.showsStatistics = showsStatistics
  }

  /// A match alone.
  package func match(_ match: Match) -> String { MatchPrinter(names: names, usesOXM: version >= .v13).text(match) }

  private func match(_ match: Match, _ priority: UInt16) -> String {
    MatchPrinter(names: names, usesOXM: version >= .v13).text(match, priority: priority)
  }

  package func instructions(_ instructions: Instructions, of match: Match) -> String {
    ActionPrinter(names: names, version: version, match: match).text(instructions)
  }

  /// A line of dump-flows, without the space before it.
  package func line(_ flow: FlowStatistics) -> String {
    var text = ""
    if showsStatistics || flow.cookie != 0 { text += "cookie=0x" + String(flow.cookie, radix: 16) + ", " }
    if showsStatistics { text += "duration=" + FlowPrinter.text(flow.duration) + ", " }
    if showsStatistics || flow.table != 0 { text += "table=" + names.text(table: flow.table) + ", " }
    if showsStatistics { text += "n_packets=\(flow.packetCount ?? 0), n_bytes=\(flow.byteCount ?? 0), " }
    if flow.idleTimeoutSeconds != 0 { text += "idle_timeout=\(flow.idleTimeoutSeconds), " }
    if flow.hardTimeoutSeconds != 0 { text += "hard_timeout=\(flow.hardTimeoutSeconds), " }
    text += FlowPrinter.flags(flow.flags)
    if flow.importance != 0 { text += "importance=\(flow.importance), " }
    if showsStatistics, let age = flow.idleAgeSeconds { text += "idle_age=\(age), " }
    if showsStatistics, let age = flow.hardAgeSeconds, age != flow.duration.seconds {
      text += "hard_age=\(age), "
    }
    let match = match(flow.match, flow.priority)
    return text + match + (match.isEmpty ? "" : " ") + "actions=" + instructions(flow.instructions, of: flow.match)
  }

  /// A line of diff-flows, without its sign; flags are not shown there.
  package func difference(_ flow: FlowStatistics) -> String {
    var text = flow.table == 0 ? "" : "table=" + names.text(table: flow.table) + " "
    text += match(flow.match, flow.priority)
    if flow.cookie != 0 { text += " cookie=0x" + String(flow.cookie, radix: 16) }
    if flow.idleTimeoutSeconds != 0 { text += " idle_timeout=\(flow.idleTimeoutSeconds)" }
    if flow.hardTimeoutSeconds != 0 { text += " hard_timeout=\(flow.hardTimeoutSeconds)" }
    if flow.importance != 0 { text += " importance=\(flow.importance)" }
    return text + " actions=" + instructions(flow.instructions, of: flow.match)
  }

  /// What a flow mod says, as behind "OFPT_FLOW_MOD (xid=0x1): ".
  package func request(_ mod: FlowMod) -> String {
    let command =
      switch mod.command {
      case .add: "ADD"
      case .modify: "MOD"
      case .modifyStrict: "MOD_STRICT"
      case .delete: "DEL"
      case .deleteStrict: "DEL_STRICT"
      }
    var text = command + (mod.table == 0 ? "" : " table:" + names.text(table: mod.table)) + " "
    let match = match(mod.match, mod.priority)
    text += match + (match.isEmpty ? "" : " ")
    if let cookie = mod.cookie, cookie != 0, cookie != .max { text += "cookie:0x" + String(cookie, radix: 16) + " " }
    if mod.cookieFilter.mask != 0 {
      text +=
        "cookie:0x" + String(mod.cookieFilter.value, radix: 16) + "/0x" + String(mod.cookieFilter.mask, radix: 16) + " "
    }
    if mod.idleTimeoutSeconds != 0 { text += "idle:\(mod.idleTimeoutSeconds) " }
    if mod.hardTimeoutSeconds != 0 { text += "hard:\(mod.hardTimeoutSeconds) " }
    if mod.importance != 0, version >= .v14 { text += "importance:\(mod.importance) " }
    if mod.outPort != .any { text += "out_port:" + names.text(port: mod.outPort) + " " }
    if mod.outGroup != GroupMod.anyGroup { text += "out_group:\(mod.outGroup) " }
    text += FlowPrinter.flags(mod.flags)
    return text + "actions=" + instructions(mod.instructions, of: mod.match)
  }

  package static func flags(_ flags: FlowMod.Flags) -> String {
    let names: [(FlowMod.Flags, String)] = [
      (.sendFlowRemoved, "send_flow_rem "), (.checkOverlap, "check_overlap "), (.resetCounts, "reset_counts "),
      (.noPacketCounts, "no_packet_counts "), (.noByteCounts, "no_byte_counts "),
    ]
    return names.filter { flags.contains($0.0) }.map(\.1).joined()
  }

  /// Seconds with milliseconds: `5.030s`.
  static func text(_ duration: ElapsedTime) -> String {
    let milliseconds = String(duration.nanoseconds / 1_000_000 % 1000)
    return "\(duration.seconds)." + String(repeating: "0", count: 3 - milliseconds.count) + milliseconds + "s"
  }
}

extension FlowStatistics {
  /// The rule that a flow mod makes, without counters.
  package init(_ mod: FlowMod) {
    self.init()
    table = mod.table
    priority = mod.priority
    match = mod.match
    cookie = mod.cookie ?? 0
    instructions = mod.instructions
    idleTimeoutSeconds = mod.idleTimeoutSeconds
    hardTimeoutSeconds = mod.hardTimeoutSeconds
    importance = mod.importance
    flags = mod.flags
  }
}
