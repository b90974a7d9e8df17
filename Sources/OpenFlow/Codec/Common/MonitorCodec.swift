// Watching the flow tables (OpenFlow 1.4 §7.3.5.19). Before that an extension: Open vSwitch's NXST_FLOW_MONITOR in 1.0, of
// which the Open Networking Foundation's in 1.3 differs by its match and by instructions in place of actions.

import VSwitchCore

enum MonitorCodec {
  private static let abbreviated: UInt16 = 4
  private static let paused: UInt16 = 5
  private static let resumed: UInt16 = 6
  private static let niciraAbbreviated: UInt16 = 3

  static func type(_ version: OpenFlowVersion) -> MultipartType {
    switch version {
    case .v10: .nicira(2)
    case .v13: .onf(MultipartType.onfFlowMonitor)
    case .v14, .v15: .standard(16)
    }
  }

  static func decodeRequest(_ reader: inout WireReader, _ version: OpenFlowVersion) throws(ErrorCode)
    -> FlowMonitorRequest
  {
    var monitor = FlowMonitorRequest(id: try reader.u32())
    if version < .v14 {
      let flags = try reader.u16()
      guard flags & ~0x3f == 0 else { throw .flowMonitorFailedBadFlags }
      monitor.flags = FlowMonitorRequest.Flags(rawValue: flags)
      // 1.3's port has 32 bits, and stands behind the match's length.
      if version == .v10 { monitor.outPort = PortNumber(wire10: try reader.u16()) }
      let matchByteCount = Int(try reader.u16())
      if version == .v13 { monitor.outPort = PortNumber(try reader.u32()) }
      monitor.table = try reader.u8()
      guard try reader.zeros(version == .v10 ? 5 : 3) else { throw .niciraRequestMustBeZero }
      monitor.match = try match(&reader, version, byteCount: matchByteCount)
      return monitor
    }
    monitor.outPort = PortNumber(try reader.u32())
    monitor.outGroup = try reader.u32()
    let flags = try reader.u16()
    monitor.table = try reader.u8()
    guard let command = FlowMonitorRequest.Command(rawValue: try reader.u8()) else {
      throw .flowMonitorFailedBadCommand
    }
    monitor.command = command
    guard flags & ~0x7f == 0 else { throw .flowMonitorFailedBadFlags }
    monitor.flags = FlowMonitorRequest.Flags(rawValue: flags)
    monitor.match = try MatchDecoder.oxm(&reader, version)
    return monitor
  }

  /// The match of the forms before 1.4, whose length stands elsewhere (in 1.3 also before it).
  private static func match(_ reader: inout WireReader, _ version: OpenFlowVersion, byteCount: Int) throws(ErrorCode)
    -> Match
  {
    if version > .v10 { return try MatchDecoder.oxm(&reader, version) }
    var cookie: FlowMod.CookieFilter?
    return try MatchDecoder.nxm(&reader, byteCount: byteCount, cookie: &cookie)
  }

  /// Writes such a match and its length at `lengthAt`.
  private static func encode(
    _ match: Match, _ version: OpenFlowVersion, lengthAt: Int, to writer: inout WireWriter
  ) throws(EncodeError) {
    let count: UInt16
    if version == .v10 {
      count = try MatchEncoder.nxm(match, to: &writer)
    } else {
      count = try MatchEncoder.oxm(match, version, to: &writer)
    }
    writer.patch16(count, at: lengthAt)
  }

  static func encodeRequest(_ monitor: FlowMonitorRequest, _ version: OpenFlowVersion, to writer: inout WireWriter)
    throws(EncodeError)
  {
    writer.u32(monitor.id)
    if version < .v14 {
      guard monitor.command == .add else {
        throw EncodeError(
          cause: "OpenFlow \(version.name) cannot change a monitor", remedy: "cancel it and ask for a new one")
      }
      writer.u16(monitor.flags.rawValue & 0x3f)
      if version == .v10 { writer.u16(monitor.outPort.wire10) }
      let lengthAt = writer.count
      writer.u16(0)
      if version == .v13 { writer.u32(monitor.outPort.rawValue) }
      writer.u8(monitor.table)
      writer.zeros(version == .v10 ? 5 : 3)
      try encode(monitor.match, version, lengthAt: lengthAt, to: &writer)
      return
    }
    writer.u32(monitor.outPort.rawValue)
    writer.u32(monitor.outGroup)
    writer.u16(monitor.flags.rawValue & 0x7f)
    writer.u8(monitor.table)
    writer.u8(monitor.command.rawValue)
    try MatchEncoder.oxm(monitor.match, version, to: &writer)
  }

  static func decodeUpdate(_ reader: inout WireReader, _ version: OpenFlowVersion) throws(ErrorCode) -> FlowUpdate {
    let length = Int(try reader.u16())
    var entry = try reader.part(length - 2)
    let number = try entry.u16()
    if version < .v14 {
      if number == niciraAbbreviated { return .abbreviated(xid: try entry.u32()) }
      return .change(try decodeExtension(number, version, &entry))
    }
    switch number {
    case abbreviated: return .abbreviated(xid: try entry.u32())
    case paused: return .paused
    case resumed: return .resumed
    default: break
    }
    guard let event = FlowChange.Event(rawValue: number) else { throw .niciraRequestMonitorBadEvent }
    var change = FlowChange(event)
    change.table = try entry.u8()
    let reason = try entry.u8()
    if event == .removed { change.reason = try FlowRemovedCodec.reason(reason) }
    change.idleTimeoutSeconds = try entry.u16()
    change.hardTimeoutSeconds = try entry.u16()
    change.priority = try entry.u16()
    try entry.skip(4)
    change.cookie = try entry.u64()
    change.match = try MatchDecoder.oxm(&entry, version)
    change.instructions = try InstructionCodec.decode(&entry, version, match: change.match)
    return .change(change)
  }

  private static func decodeExtension(_ number: UInt16, _ version: OpenFlowVersion, _ entry: inout WireReader)
    throws(ErrorCode) -> FlowChange
  {
    guard number < niciraAbbreviated, let event = FlowChange.Event(rawValue: number + 1) else {
      throw .niciraRequestMonitorBadEvent
    }
    var change = FlowChange(event)
    let reason = try entry.u16()
    if event == .removed { change.reason = try FlowRemovedCodec.reason(UInt8(clamping: reason)) }
    change.priority = try entry.u16()
    change.idleTimeoutSeconds = try entry.u16()
    change.hardTimeoutSeconds = try entry.u16()
    let matchByteCount = Int(try entry.u16())
    change.table = try entry.u8()
    try entry.skip(1)
    change.cookie = try entry.u64()
    change.match = try match(&entry, version, byteCount: matchByteCount)
    change.instructions = try InstructionCodec.decode(&entry, version, match: change.match)
    return change
  }

  static func encodeUpdate(_ update: FlowUpdate, _ version: OpenFlowVersion, to writer: inout WireWriter)
    throws(EncodeError)
  {
    let start = writer.count
    writer.u16(8)
    switch update {
    case .abbreviated(let xid):
      writer.u16(version < .v14 ? niciraAbbreviated : abbreviated)
      writer.u32(xid)
    case .paused, .resumed:
      guard version > .v13 else {
        throw EncodeError(cause: "a pause is a message of its own before 1.4", remedy: "send flowMonitorPaused")
      }
      writer.u16(update == .paused ? paused : resumed)
      writer.zeros(4)
    case .change(let change):
      let reason = change.event == .removed ? FlowRemovedCodec.reason(change.reason, version) : 0
      if version < .v14 {
        writer.u16(max(change.event.rawValue, 1) - 1)
        writer.u16(UInt16(reason))
        writer.u16(change.priority)
        writer.u16(change.idleTimeoutSeconds)
        writer.u16(change.hardTimeoutSeconds)
        let lengthAt = writer.count
        writer.u16(0)
        writer.u8(change.table)
        writer.zeros(1)
        writer.u64(change.cookie)
        try encode(change.match, version, lengthAt: lengthAt, to: &writer)
      } else {
        writer.u16(change.event.rawValue)
        writer.u8(change.table)
        writer.u8(reason)
        writer.u16(change.idleTimeoutSeconds)
        writer.u16(change.hardTimeoutSeconds)
        writer.u16(change.priority)
        writer.zeros(4)
        writer.u64(change.cookie)
        try MatchEncoder.oxm(change.match, version, to: &writer)
      }
      try InstructionCodec.encode(change.instructions, version, match: change.match, to: &writer)
      guard writer.count - start <= 0xffff else { throw EncodeError.tooLong }
      writer.patch16(UInt16(truncatingIfNeeded: writer.count - start), at: start)
    }
  }
}
