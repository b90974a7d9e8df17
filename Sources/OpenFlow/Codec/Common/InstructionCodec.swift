// Instructions (OpenFlow 1.3 §7.2.4, 1.5 §7.2.5). In 1.0 a rule has actions only; the other instructions are said by
// Open vSwitch's extensions there, as far as it has any.

import VSwitchCore

enum InstructionCodec {
  private static let gotoTable: UInt16 = 1
  private static let writeMetadata: UInt16 = 2
  private static let writeActions: UInt16 = 3
  private static let applyActions: UInt16 = 4
  private static let clearActions: UInt16 = 5
  private static let meter: UInt16 = 6

  /// Reads instructions to the end.
  static func decode(_ reader: inout WireReader, _ version: OpenFlowVersion, match: Match?) throws(ErrorCode)
    -> Instructions
  {
    var instructions = Instructions()
    if version == .v10 {
      var decoder = ActionDecoder(.v10, match: match)
      instructions.apply = try decoder.list(&reader)
      instructions.metadata = decoder.metadata
      return instructions
    }
    var seen: UInt32 = 0
    while !reader.isAtEnd {
      let type = try reader.u16(.badInstructionBadLength)
      let length = Int(try reader.u16(.badInstructionBadLength))
      guard length >= 8, length % 8 == 0 else { throw .badInstructionBadLength }
      var body = try reader.part(length - 4, .badInstructionBadLength)
      if type == 0xffff { throw .badInstructionBadExperimenter }
      guard (gotoTable...meter).contains(type), type != meter || version < .v15 else {
        throw .badInstructionUnknownInstruction
      }
      guard seen & 1 << UInt32(type) == 0 else { throw .badInstructionDuplicateInstruction }
      seen |= 1 << UInt32(type)
      switch type {
      case gotoTable:
        guard length == 8 else { throw .badInstructionBadLength }
        instructions.gotoTable = try body.u8()
      case writeMetadata:
        guard length == 24 else { throw .badInstructionBadLength }
        try body.skip(4)
        let value = try body.u64()
        instructions.metadata = Instructions.MaskedMetadata(value: value, mask: try body.u64())
      case writeActions: instructions.write = try actions(&body, version, match)
      case applyActions: instructions.apply = try actions(&body, version, match)
      case clearActions:
        guard length == 8 else { throw .badInstructionBadLength }
        instructions.clearsActions = true
      default:
        guard length == 8 else { throw .badInstructionBadLength }
        instructions.meter = try body.u32()
      }
    }
    return instructions
  }

  private static func actions(_ body: inout WireReader, _ version: OpenFlowVersion, _ match: Match?) throws(ErrorCode)
    -> [Action]
  {
    try body.skip(4, .badInstructionBadLength)
    var decoder = ActionDecoder(version, match: match)
    let actions = try decoder.list(&body)
    // Metadata is written by its instruction.
    guard decoder.metadata == nil else { throw .badActionBadType }
    return actions
  }

  /// Writes instructions.
  static func encode(
    _ instructions: Instructions, _ version: OpenFlowVersion, match: Match?, to writer: inout WireWriter
  ) throws(EncodeError) {
    if version == .v10 {
      try encode10(instructions, match: match, to: &writer)
      return
    }
    var apply = instructions.apply
    var meterID = instructions.meter
    if version == .v15, let id = meterID {
      apply.insert(.meter(id), at: 0)
      meterID = nil
    } else if version < .v15, case .meter(let id)? = apply.first, meterID == nil {
      apply.removeFirst()
      meterID = id
    }
    if let meterID {
      writer.u16(meter)
      writer.u16(8)
      writer.u32(meterID)
    }
    if !apply.isEmpty { try self.actions(applyActions, apply, version, match, &writer) }
    if instructions.clearsActions {
      writer.u16(clearActions)
      writer.u16(8)
      writer.zeros(4)
    }
    if !instructions.write.isEmpty { try self.actions(writeActions, instructions.write, version, match, &writer) }
    if let metadata = instructions.metadata {
      writer.u16(writeMetadata)
      writer.u16(24)
      writer.zeros(4)
      writer.u64(metadata.value)
      writer.u64(metadata.mask)
    }
    if let table = instructions.gotoTable {
      writer.u16(gotoTable)
      writer.u16(8)
      writer.u8(table)
      writer.zeros(3)
    }
  }

  private static func actions(
    _ type: UInt16, _ actions: [Action], _ version: OpenFlowVersion, _ match: Match?, _ writer: inout WireWriter
  ) throws(EncodeError) {
    let start = writer.count
    writer.u16(type)
    writer.u16(0)
    writer.zeros(4)
    try ActionEncoder.write(actions, version, match: match, to: &writer)
    writer.patch16(UInt16(truncatingIfNeeded: writer.count - start), at: start + 2)
  }

  /// Meter, clear-actions and write-actions have no words in 1.0 and are left out, as Open vSwitch does; goto becomes
  /// a resubmit.
  private static func encode10(_ instructions: Instructions, match: Match?, to writer: inout WireWriter)
    throws(EncodeError)
  {
    try ActionEncoder.write(instructions.apply, .v10, match: match, to: &writer)
    if let metadata = instructions.metadata {
      writer.u16(0xffff)
      writer.u16(32)
      writer.u32(Experimenter.nicira)
      writer.u16(NiciraAction.writeMetadata)
      writer.zeros(6)
      writer.u64(metadata.value)
      writer.u64(metadata.mask)
    }
    if let table = instructions.gotoTable {
      let resubmit = Action.resubmit(port: nil, table: table, withConntrackTuple: false)
      try ActionEncoder.write([resubmit], .v10, to: &writer)
    }
  }
}
