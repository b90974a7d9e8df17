// Changes of rules: 1.0's own and Open vSwitch's form (NXT_FLOW_MOD), and that of 1.3 and later (1.3 §7.3.4.1).
// `out_port` and `out_group` are looked at in deletes alone: os-ken sends zeros there in adds.

import VSwitchCore

enum FlowModCodec {
  private static let noBuffer: UInt32 = 0xffff_ffff
  private static let emergency10: UInt16 = 4

  // MARK: decoding

  static func decode(_ reader: inout WireReader, _ version: OpenFlowVersion, flowModTableID: Bool) throws(ErrorCode)
    -> FlowMod
  {
    var instructions = InstructionCache()
    return try decode(&reader, version, flowModTableID: flowModTableID, instructions: &instructions)
  }

  /// - Parameter instructions: those of the message before.
  static func decode(
    _ reader: inout WireReader, _ version: OpenFlowVersion, flowModTableID: Bool,
    instructions: inout InstructionCache
  ) throws(ErrorCode) -> FlowMod {
    guard version > .v10 else { return try decode10(&reader, flowModTableID: flowModTableID) }
    guard reader.remaining >= 48, reader.remaining % 8 == 0 else { throw .badRequestBadLength }
    let cookie = try reader.u64()
    let cookieMask = try reader.u64()
    let table = try reader.u8()
    let commandNumber = try reader.u8()
    var mod = FlowMod()
    mod.table = table
    mod.idleTimeoutSeconds = try reader.u16()
    mod.hardTimeoutSeconds = try reader.u16()
    mod.priority = try reader.u16()
    let buffer = try reader.u32()
    let outPort = PortNumber(try reader.u32())
    let outGroup = try reader.u32()
    let flags = try reader.u16()
    let importance = try reader.u16()
    guard let command = FlowMod.Command(rawValue: commandNumber) else { throw .flowModFailedBadCommand }
    mod.command = command
    mod.match = try MatchDecoder.oxm(&reader, version)
    guard table != FlowMod.allTables || mod.isDelete else { throw .flowModFailedBadTableID }
    guard flags & ~0x1f == 0 else { throw .flowModFailedBadFlags }
    mod.flags = FlowMod.Flags(rawValue: flags)
    if command == .add {
      mod.cookie = cookie
      if version > .v13 { mod.importance = importance }
    } else {
      mod.cookie = mod.isDelete ? 0 : nil
      mod.cookieFilter = FlowMod.CookieFilter(value: cookie & cookieMask, mask: cookieMask)
    }
    if mod.isDelete {
      mod.outPort = outPort
      mod.outGroup = outGroup
    }
    if let known = instructions.find(&reader, version) {
      mod.instructions = known
    } else {
      let start = reader
      mod.instructions = try InstructionCodec.decode(&reader, version, match: mod.match)
      instructions.keep(mod.instructions, start, version)
    }
    guard buffer == noBuffer || mod.isDelete else { throw .badRequestBufferUnknown }
    return mod
  }

  /// 1.0's own message.
  private static func decode10(_ reader: inout WireReader, flowModTableID: Bool) throws(ErrorCode) -> FlowMod {
    guard reader.remaining >= 64, reader.remaining % 8 == 0 else { throw .badRequestBadLength }
    let (match, isExact) = try Match10.decode(&reader)
    var mod = FlowMod()
    mod.match = match
    let cookie = try reader.u64()
    let command = try reader.u16()
    mod.idleTimeoutSeconds = try reader.u16()
    mod.hardTimeoutSeconds = try reader.u16()
    mod.priority = try reader.u16()
    if isExact { mod.priority = .max }
    let buffer = try reader.u32()
    let outPort = try reader.u16()
    let flags = try reader.u16()
    try finish10(
      &mod, &reader, cookie: cookie, command: command, buffer: buffer, outPort: outPort, flags: flags, flowModTableID)
    return mod
  }

  /// NXT_FLOW_MOD.
  static func decodeNicira(_ reader: inout WireReader, flowModTableID: Bool) throws(ErrorCode) -> FlowMod {
    guard reader.remaining >= 32, reader.remaining % 8 == 0 else { throw .badRequestBadLength }
    let cookie = try reader.u64()
    let command = try reader.u16()
    var mod = FlowMod()
    mod.idleTimeoutSeconds = try reader.u16()
    mod.hardTimeoutSeconds = try reader.u16()
    mod.priority = try reader.u16()
    let buffer = try reader.u32()
    let outPort = try reader.u16()
    let flags = try reader.u16()
    let matchByteCount = Int(try reader.u16())
    try reader.skip(6)
    var filter: FlowMod.CookieFilter? = FlowMod.CookieFilter()
    mod.match = try MatchDecoder.nxm(&reader, byteCount: matchByteCount, cookie: &filter)
    if let filter, filter.mask != 0 {
      guard command & 0xff != 0 else { throw .niciraRequestNXMInvalid }
      mod.cookieFilter = filter
    }
    try finish10(
      &mod, &reader, cookie: cookie, command: command, buffer: buffer, outPort: outPort, flags: flags, flowModTableID)
    return mod
  }

  private static func finish10(
    _ mod: inout FlowMod, _ reader: inout WireReader, cookie: UInt64, command: UInt16, buffer: UInt32, outPort: UInt16,
    flags: UInt16, _ flowModTableID: Bool
  ) throws(ErrorCode) {
    let number = flowModTableID ? command & 0xff : command
    guard number <= 0xff, let command10 = FlowMod.Command(rawValue: UInt8(truncatingIfNeeded: number)) else {
      throw .flowModFailedBadCommand
    }
    mod.command = command10
    mod.table = flowModTableID ? UInt8(truncatingIfNeeded: command >> 8) : FlowMod.allTables
    // "Any table" is the first one where a rule is added.
    if mod.command == .add, mod.table == FlowMod.allTables { mod.table = 0 }
    if flags & emergency10 != 0 { throw .flowModFailedTableFull }
    guard flags & ~3 == 0 else { throw .flowModFailedBadFlags }
    mod.flags = FlowMod.Flags(rawValue: flags)
    // In 1.0 an add always starts counting anew.
    if mod.command == .add { mod.flags.insert(.resetCounts) }
    mod.cookie = mod.isDelete ? 0 : cookie == .max && mod.command != .add ? nil : cookie
    if mod.isDelete { mod.outPort = PortNumber(wire10: outPort) }
    mod.instructions = try InstructionCodec.decode(&reader, .v10, match: mod.match)
    mod.allowsInconsistentActions = true
    guard buffer == noBuffer || mod.isDelete else { throw .badRequestBufferUnknown }
  }

  // MARK: encoding

  /// Whether 1.0's own message can say it; else Open vSwitch's can.
  static func fits10(_ mod: FlowMod) -> Bool {
    guard mod.cookieFilter.mask == 0, Match10.fits(mod.match) else { return false }
    return mod.priority == .max || !isExact10(mod.match)
  }

  /// Rules without any wildcard have the highest priority in 1.0, whatever the message says.
  private static func isExact10(_ match: Match) -> Bool {
    var writer = WireWriter()
    Match10.encode(match, to: &writer)
    return writer.bytes.prefix(4).allSatisfy { $0 == 0 }
  }

  static func encode(_ mod: FlowMod, _ version: OpenFlowVersion, flowModTableID: Bool, to writer: inout WireWriter)
    throws(EncodeError)
  {
    guard version > .v10 else {
      Match10.encode(mod.match, to: &writer)
      try encode10(mod, isNicira: false, flowModTableID: flowModTableID, to: &writer)
      return
    }
    writer.u64(mod.command == .add ? mod.cookie ?? 0 : mod.cookieFilter.value)
    writer.u64(mod.command == .add ? 0 : mod.cookieFilter.mask)
    writer.u8(mod.table)
    writer.u8(mod.command.rawValue)
    writer.u16(mod.idleTimeoutSeconds)
    writer.u16(mod.hardTimeoutSeconds)
    writer.u16(mod.priority)
    writer.u32(noBuffer)
    writer.u32(mod.outPort.rawValue)
    writer.u32(mod.outGroup)
    writer.u16(mod.flags.rawValue & 0x1f)
    writer.u16(version > .v13 && mod.command == .add ? mod.importance : 0)
    try MatchEncoder.oxm(mod.match, version, to: &writer)
    try InstructionCodec.encode(mod.instructions, version, match: mod.match, to: &writer)
  }

  static func encodeNicira(_ mod: FlowMod, flowModTableID: Bool, to writer: inout WireWriter) throws(EncodeError) {
    try encode10(mod, isNicira: true, flowModTableID: flowModTableID, to: &writer)
  }

  /// What both messages of 1.0 have in the same order.
  private static func encode10(_ mod: FlowMod, isNicira: Bool, flowModTableID: Bool, to writer: inout WireWriter)
    throws(EncodeError)
  {
    guard flowModTableID || mod.table == FlowMod.allTables || mod.command == .add && mod.table == 0 else {
      throw EncodeError(
        cause: "OpenFlow 1.0 has no tables", remedy: "enable Open vSwitch's table ids on the connection, or use 1.3")
    }
    guard mod.outGroup == GroupMod.anyGroup else {
      throw EncodeError.version("filter by group", .v10, needs: .v13)
    }
    writer.u64(mod.command == .add ? mod.cookie ?? 0 : mod.isDelete ? 0 : mod.cookie ?? .max)
    writer.u16(UInt16(mod.command.rawValue) | (flowModTableID ? UInt16(mod.table) << 8 : 0))
    writer.u16(mod.idleTimeoutSeconds)
    writer.u16(mod.hardTimeoutSeconds)
    writer.u16(mod.priority)
    writer.u32(noBuffer)
    writer.u16(mod.outPort.wire10)
    writer.u16(mod.flags.rawValue & 3)
    if isNicira {
      let lengthAt = writer.count
      writer.zeros(8)
      let count = try MatchEncoder.nxm(
        mod.match, cookie: mod.command == .add ? nil : mod.cookieFilter, to: &writer)
      writer.patch16(count, at: lengthAt)
    }
    try InstructionCodec.encode(mod.instructions, .v10, match: mod.match, to: &writer)
  }
}

extension FlowMod {
  /// Whether rules are taken away.
  var isDelete: Bool { command == .delete || command == .deleteStrict }
}
