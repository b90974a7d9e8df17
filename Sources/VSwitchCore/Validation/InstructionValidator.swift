struct InstructionValidator {
  let table: UInt8
  let match: Match
  let tables: FlowTables
  func check(_ instructions: Instructions) throws(TableError) {}
}
