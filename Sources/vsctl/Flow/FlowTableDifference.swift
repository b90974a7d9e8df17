// Two sets of rules side by side: which are in one alone, and which differ. As in ovs-ofctl, table, priority and match say
// which rule it is; cookie, timeouts, importance and actions what it does; flags and counters are not looked at. Pure.

import OpenFlow
import VSwitchCore

struct FlowTableDifference {
  /// A rule's place.
  private struct Place: Hashable {
    var table: UInt8
    var priority: UInt16
    var match: String
  }

  /// One rule in both sets.
  struct Pair {
    var first: FlowStatistics?
    var second: FlowStatistics?
  }

  private let version: OpenFlowVersion
  private var places: [Place: Int] = [:]
  private var pairs: [Pair] = []

  /// - Parameter version: in whose words rules are compared: what it can't tell apart is the same.
  init(_ version: OpenFlowVersion) { self.version = version }

  private var printer: FlowPrinter { FlowPrinter(version: version) }

  /// Of two rules in one place the later one counts.
  mutating func add(first rules: some Sequence<FlowStatistics>) { for rule in rules { add(rule, \.first) } }
  mutating func add(second rules: some Sequence<FlowStatistics>) { for rule in rules { add(rule, \.second) } }

  private mutating func add(_ rule: FlowStatistics, _ side: WritableKeyPath<Pair, FlowStatistics?>) {
    let place = Place(table: rule.table, priority: rule.priority, match: printer.match(rule.match))
    if let index = places[place] {
      pairs[index][keyPath: side] = rule
    } else {
      places[place] = pairs.count
      var pair = Pair()
      pair[keyPath: side] = rule
      pairs.append(pair)
    }
  }

  private func isSame(_ a: FlowStatistics, _ b: FlowStatistics) -> Bool {
    a.cookie == b.cookie && a.idleTimeoutSeconds == b.idleTimeoutSeconds && a.hardTimeoutSeconds == b.hardTimeoutSeconds
      && a.importance == b.importance
      && printer.instructions(a.instructions, of: a.match) == printer.instructions(b.instructions, of: b.match)
  }

  /// Rules that are not the same on both sides: by table, the highest priority first.
  var differences: [Pair] {
    let different = pairs.filter { pair in
      guard let first = pair.first, let second = pair.second else { return true }
      return !isSame(first, second)
    }
    func place(_ pair: Pair) -> (Int, Int, String) {
      let rule = pair.first ?? pair.second ?? FlowStatistics()
      return (Int(rule.table), -Int(rule.priority), printer.match(rule.match))
    }
    return different.map { (place($0), $0) }.sorted { $0.0 < $1.0 }.map(\.1)
  }

  /// What makes the first set the second one: first what goes, then what comes.
  var changes: [FlowMod] {
    let differences = differences
    let deletes = differences.compactMap { pair -> FlowMod? in
      guard pair.second == nil, let rule = pair.first else { return nil }
      var mod = FlowMod(rule)
      mod.command = .deleteStrict
      mod.instructions = Instructions()
      mod.cookie = 0
      mod.flags = []
      return mod
    }
    return deletes + differences.compactMap { pair in pair.second.map { FlowMod($0) } }
  }
}

extension FlowMod {
  /// Adds a rule as it is described.
  init(_ rule: FlowStatistics) {
    self.init()
    table = rule.table
    priority = rule.priority
    match = rule.match
    cookie = rule.cookie
    instructions = rule.instructions
    idleTimeoutSeconds = rule.idleTimeoutSeconds
    hardTimeoutSeconds = rule.hardTimeoutSeconds
    importance = rule.importance
    flags = rule.flags
  }
}
