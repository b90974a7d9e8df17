// Flow tables in the plainest form: a list of rules, each looked at for each packet. What the fast tables are held to.
// Thread: a value; any.

import VSwitchCore

/// A rule as the list has it.
package struct ReferenceRule: Equatable, Sendable {
  package var table: UInt8
  package var priority: UInt16
  package var match: Match
  package var cookie: UInt64
  package var importance: UInt16
  package var instructions: Instructions

  package init(
    table: UInt8, priority: UInt16, match: Match, cookie: UInt64, importance: UInt16, instructions: Instructions
  ) {
    self.table = table
    self.priority = priority
    self.match = match
    self.cookie = cookie
    self.importance = importance
    self.instructions = instructions
  }
}

/// Tables that do what OpenFlow 1.5 §6.4 says, rule by rule.
package struct ReferenceTables: Sendable {
  package private(set) var rules: [ReferenceRule] = []

  package init() {}

  /// Does what a change says.
  /// - Returns: false if it is refused for an overlap.
  package mutating func apply(_ mod: FlowMod) -> Bool {
    switch mod.command {
    case .add:
      let same = rules.firstIndex {
        $0.table == mod.table && $0.priority == mod.priority && $0.match == mod.match
      }
      if same == nil, mod.flags.contains(.checkOverlap),
        rules.contains(where: { $0.table == mod.table && $0.priority == mod.priority && $0.match.overlaps(mod.match) })
      {
        return false
      }
      let rule = ReferenceRule(
        table: mod.table, priority: mod.priority, match: mod.match, cookie: mod.cookie ?? 0,
        importance: mod.importance, instructions: mod.instructions)
      if let same { rules[same] = rule } else { rules.append(rule) }
    case .modify, .modifyStrict:
      var found = false
      for index in rules.indices where isMeant(rules[index], by: mod) {
        found = true
        rules[index].instructions = mod.instructions
        if let cookie = mod.cookie { rules[index].cookie = cookie }
      }
      if !found, mod.cookie != nil, mod.cookieFilter.mask == 0 {
        var addition = mod
        addition.command = .add
        return apply(addition)
      }
    case .delete, .deleteStrict:
      rules = rules.filter { !isMeant($0, by: mod) }
    }
    return true
  }

  private func isMeant(_ rule: ReferenceRule, by mod: FlowMod) -> Bool {
    guard mod.table == FlowMod.allTables || rule.table == mod.table, mod.cookieFilter.accepts(rule.cookie) else {
      return false
    }
    if mod.outPort != .any,
      !rule.instructions.apply.contains(where: {
        if case .output(mod.outPort, _) = $0 { true } else { false }
      })
    {
      return false
    }
    switch mod.command {
    case .modifyStrict, .deleteStrict: return rule.priority == mod.priority && rule.match == mod.match
    default: return rule.match.isWithin(mod.match)
    }
  }

  /// The rules of the highest priority that match: any of them may be the result of a lookup.
  package func lookup(table: UInt8, key: FlowKey) -> [ReferenceRule] {
    var best: [ReferenceRule] = []
    for rule in rules where rule.table == table && rule.match.matches(key) {
      if let first = best.first {
        if rule.priority < first.priority { continue }
        if rule.priority > first.priority { best = [] }
      }
      best.append(rule)
    }
    return best
  }
}
