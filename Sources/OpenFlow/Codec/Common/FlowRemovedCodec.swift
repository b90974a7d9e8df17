// Removed rules in each version and in Open vSwitch's form (1.0 §5.4.3, 1.3 §7.4.2, 1.5 §7.4.2, NXT_FLOW_REMOVED).

import VSwitchCore

enum FlowRemovedCodec {
  static func decode(_ reader: inout WireReader, _ version: OpenFlowVersion) throws(ErrorCode) -> FlowRemoved {
    var removed = FlowRemoved()
    switch version {
    case .v10:
      removed.match = try Match10.decode(&reader).match
      removed.cookie = try reader.u64()
      removed.priority = try reader.u16()
      removed.reason = try reason(try reader.u8())
      try reader.skip(1)
      removed.duration = ElapsedTime(seconds: try reader.u32(), nanoseconds: try reader.u32())
      removed.idleTimeoutSeconds = try reader.u16()
      try reader.skip(2)
      removed.packetCount = try reader.u64()
      removed.byteCount = try reader.u64()
    case .v13, .v14:
      removed.cookie = try reader.u64()
      removed.priority = try reader.u16()
      removed.reason = try reason(try reader.u8())
      removed.table = try reader.u8()
      removed.duration = ElapsedTime(seconds: try reader.u32(), nanoseconds: try reader.u32())
      removed.idleTimeoutSeconds = try reader.u16()
      removed.hardTimeoutSeconds = try reader.u16()
      removed.packetCount = try reader.u64()
      removed.byteCount = try reader.u64()
      removed.match = try MatchDecoder.oxm(&reader, version)
    case .v15:
      removed.table = try reader.u8()
      removed.reason = try reason(try reader.u8())
      removed.priority = try reader.u16()
      removed.idleTimeoutSeconds = try reader.u16()
      removed.hardTimeoutSeconds = try reader.u16()
      removed.cookie = try reader.u64()
      removed.match = try MatchDecoder.oxm(&reader, version)
      let statistics = try OXSCodec.decode(&reader)
      removed.duration = statistics.duration ?? ElapsedTime()
      removed.packetCount = statistics.packetCount ?? .max
      removed.byteCount = statistics.byteCount ?? .max
    }
    return removed
  }

  static func encode(_ removed: FlowRemoved, _ version: OpenFlowVersion, to writer: inout WireWriter)
    throws(EncodeError)
  {
    switch version {
    case .v10:
      Match10.encode(removed.match, to: &writer)
      writer.u64(removed.cookie)
      writer.u16(removed.priority)
      writer.u8(reason(removed.reason, version))
      writer.zeros(1)
      writer.u32(removed.duration.seconds)
      writer.u32(removed.duration.nanoseconds)
      writer.u16(removed.idleTimeoutSeconds)
      writer.zeros(2)
      writer.u64(removed.packetCount)
      writer.u64(removed.byteCount)
    case .v13, .v14:
      writer.u64(removed.cookie)
      writer.u16(removed.priority)
      writer.u8(reason(removed.reason, version))
      writer.u8(removed.table)
      writer.u32(removed.duration.seconds)
      writer.u32(removed.duration.nanoseconds)
      writer.u16(removed.idleTimeoutSeconds)
      writer.u16(removed.hardTimeoutSeconds)
      writer.u64(removed.packetCount)
      writer.u64(removed.byteCount)
      try MatchEncoder.oxm(removed.match, version, to: &writer)
    case .v15:
      writer.u8(removed.table)
      writer.u8(reason(removed.reason, version))
      writer.u16(removed.priority)
      writer.u16(removed.idleTimeoutSeconds)
      writer.u16(removed.hardTimeoutSeconds)
      writer.u64(removed.cookie)
      try MatchEncoder.oxm(removed.match, version, to: &writer)
      OXSCodec.encode(
        OXSCodec.Statistics(
          duration: removed.duration, packetCount: removed.packetCount, byteCount: removed.byteCount), to: &writer)
    }
  }

  /// NXT_FLOW_REMOVED; its table number is one more, 0 for unknown.
  static func decodeNicira(_ reader: inout WireReader) throws(ErrorCode) -> FlowRemoved {
    var removed = FlowRemoved()
    removed.cookie = try reader.u64()
    removed.priority = try reader.u16()
    removed.reason = try reason(try reader.u8())
    removed.table = try reader.u8() &- 1
    removed.duration = ElapsedTime(seconds: try reader.u32(), nanoseconds: try reader.u32())
    removed.idleTimeoutSeconds = try reader.u16()
    let matchByteCount = Int(try reader.u16())
    removed.packetCount = try reader.u64()
    removed.byteCount = try reader.u64()
    var cookie: FlowMod.CookieFilter?
    removed.match = try MatchDecoder.nxm(&reader, byteCount: matchByteCount, cookie: &cookie)
    return removed
  }

  static func encodeNicira(_ removed: FlowRemoved, _ version: OpenFlowVersion, to writer: inout WireWriter)
    throws(EncodeError)
  {
    writer.u64(removed.cookie)
    writer.u16(removed.priority)
    writer.u8(reason(removed.reason, version))
    writer.u8(removed.table &+ 1)
    writer.u32(removed.duration.seconds)
    writer.u32(removed.duration.nanoseconds)
    writer.u16(removed.idleTimeoutSeconds)
    let lengthAt = writer.count
    writer.u16(0)
    writer.u64(removed.packetCount)
    writer.u64(removed.byteCount)
    let count = try MatchEncoder.nxm(removed.match, to: &writer)
    writer.patch16(count, at: lengthAt)
  }

  static func reason(_ number: UInt8) throws(ErrorCode) -> FlowRemoved.Reason {
    guard let reason = FlowRemoved.Reason(rawValue: number) else { throw .niciraRequestBadReason }
    return reason
  }

  /// Meters and evictions are reasons from 1.4 on, groups from 1.1 on.
  static func reason(_ reason: FlowRemoved.Reason, _ version: OpenFlowVersion) -> UInt8 {
    let last: FlowRemoved.Reason = version == .v10 ? .delete : version == .v13 ? .groupDelete : .eviction
    return reason.rawValue <= last.rawValue ? reason.rawValue : FlowRemoved.Reason.delete.rawValue
  }
}
