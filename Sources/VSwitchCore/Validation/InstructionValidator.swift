// Whether a rule may have its instructions: what they refer to is there, and its match makes sure that packets have what
// the actions change (OpenFlow 1.5 §7.2.4, §7.2.5; Open vSwitch where it goes beyond). Thread: control; values.

/// Checks the instructions of rules.
struct InstructionValidator {
  let table: UInt8
  let match: Match
  let tables: FlowTables
  private let isLenient: Bool

  /// - Parameter table: where the rule is or is to be.
  init(_ mod: FlowMod, table: UInt8, tables: FlowTables) {
    self.table = table
    match = mod.match
    isLenient = mod.allowsInconsistentActions
    self.tables = tables
  }

  func check(_ instructions: Instructions) throws(TableError) {
    if let meter = instructions.meter { try checkMeter(meter) }
    if !instructions.apply.isEmpty { try checkList(instructions.apply) }
    if !instructions.write.isEmpty { try checkList(instructions.write) }
    if let next = instructions.gotoTable, next <= table || Int(next) >= FlowTables.tableCount {
      throw .badGotoTable(next)
    }
  }

  private func checkList(_ actions: [Action]) throws(TableError) {
    // The most frequent list of all.
    if actions.count == 1, case .output(let port, _) = actions[0] { return try ActionValidator.check(port) }
    var validator = ActionValidator(match: match, isLenient: isLenient)
    try validator.check(actions)
    let references = References(actions)
    for group in references.groups where tables.groups[group] == nil { throw .unknownGroup(group) }
    for meter in references.meters { try checkMeter(meter) }
  }

  private func checkMeter(_ meter: UInt32) throws(TableError) {
    guard tables.meters[meter] != nil else { throw .unknownMeter(meter) }
  }
}
