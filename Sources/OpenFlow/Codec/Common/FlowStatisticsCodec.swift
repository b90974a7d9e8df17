// Statistics of rules: questions and answers (1.0 §5.3.5, 1.3 §7.3.5.2, 1.5 §7.3.5.2 to §7.3.5.4, NXST_FLOW, NXST_AGGREGATE).

import VSwitchCore

enum FlowStatisticsCodec {
  // MARK: questions

  static func decodeRequest(_ reader: inout WireReader, _ version: OpenFlowVersion, _ form: MessageForm)
    throws(ErrorCode) -> FlowStatisticsRequest
  {
    var request = FlowStatisticsRequest()
    if version == .v10, form == .standard {
      request.match = try Match10.decode(&reader).match
      request.table = try reader.u8()
      try reader.skip(1)
      request.outPort = PortNumber(wire10: try reader.u16())
    } else if version == .v10 {
      request.outPort = PortNumber(wire10: try reader.u16())
      let matchByteCount = Int(try reader.u16())
      request.table = try reader.u8()
      try reader.skip(3)
      var cookie: FlowMod.CookieFilter? = FlowMod.CookieFilter()
      request.match = try MatchDecoder.nxm(&reader, byteCount: matchByteCount, cookie: &cookie)
      request.cookie = cookie ?? FlowMod.CookieFilter()
    } else {
      request.table = try reader.u8()
      try reader.skip(3)
      request.outPort = PortNumber(try reader.u32())
      request.outGroup = try reader.u32()
      try reader.skip(4)
      let cookie = try reader.u64()
      let mask = try reader.u64()
      request.cookie = FlowMod.CookieFilter(value: cookie & mask, mask: mask)
      // A match is padded to 8 bytes: a request that is cut off is no wrong match.
      guard reader.remaining % 8 == 0 else { throw .badRequestBadLength }
      request.match = try MatchDecoder.oxm(&reader, version)
    }
    return request
  }

  static func encodeRequest(
    _ request: FlowStatisticsRequest, _ version: OpenFlowVersion, _ form: MessageForm, to writer: inout WireWriter
  ) throws(EncodeError) {
    if version == .v10, form == .standard {
      guard request.cookie.mask == 0, Match10.fits(request.match) else {
        throw EncodeError(
          cause: "OpenFlow 1.0 cannot ask for such rules", remedy: "use Open vSwitch's form of the question, or 1.3")
      }
      Match10.encode(request.match, to: &writer)
      writer.u8(request.table)
      writer.zeros(1)
      writer.u16(request.outPort.wire10)
    } else if version == .v10 {
      writer.u16(request.outPort.wire10)
      let lengthAt = writer.count
      writer.u16(0)
      writer.u8(request.table)
      writer.zeros(3)
      let count = try MatchEncoder.nxm(request.match, cookie: request.cookie, to: &writer)
      writer.patch16(count, at: lengthAt)
    } else {
      writer.u8(request.table)
      writer.zeros(3)
      writer.u32(request.outPort.rawValue)
      writer.u32(request.outGroup)
      writer.zeros(4)
      writer.u64(request.cookie.value)
      writer.u64(request.cookie.mask)
      try MatchEncoder.oxm(request.match, version, to: &writer)
    }
  }

  // MARK: rules

  /// Reads a rule with statistics and instructions.
  static func decode(_ reader: inout WireReader, _ version: OpenFlowVersion, _ form: MessageForm) throws(ErrorCode)
    -> FlowStatistics
  {
    let length = Int(try reader.u16())
    var entry = try reader.part(length - 2)
    var flow = FlowStatistics()
    if version == .v15 {
      try entry.skip(2)
      flow.table = try entry.u8()
      try entry.skip(1)
      flow.priority = try entry.u16()
      try decodeTimeouts(&entry, &flow)
      flow.flags = FlowMod.Flags(rawValue: try entry.u16())
      flow.importance = try entry.u16()
      flow.cookie = try entry.u64()
      flow.match = try MatchDecoder.oxm(&entry, version)
      set(try OXSCodec.decode(&entry), in: &flow)
    } else {
      flow.table = try entry.u8()
      try entry.skip(1)
      if version == .v10, form == .standard { flow.match = try Match10.decode(&entry).match }
      flow.duration = ElapsedTime(seconds: try entry.u32(), nanoseconds: try entry.u32())
      flow.priority = try entry.u16()
      try decodeTimeouts(&entry, &flow)
      var matchByteCount = 0
      if version > .v10 {
        flow.flags = FlowMod.Flags(rawValue: try entry.u16())
        let importance = try entry.u16()
        if version == .v14 { flow.importance = importance }
        try entry.skip(2)
      } else if form == .standard {
        try entry.skip(6)
      } else {
        matchByteCount = Int(try entry.u16())
        flow.idleAgeSeconds = age(try entry.u16())
        flow.hardAgeSeconds = age(try entry.u16())
      }
      flow.cookie = try entry.u64()
      flow.packetCount = known(try entry.u64())
      flow.byteCount = known(try entry.u64())
      if version > .v10 {
        flow.match = try MatchDecoder.oxm(&entry, version)
      } else if form == .extension {
        var cookie: FlowMod.CookieFilter?
        flow.match = try MatchDecoder.nxm(&entry, byteCount: matchByteCount, cookie: &cookie)
      }
    }
    flow.instructions = try InstructionCodec.decode(&entry, version, match: flow.match)
    return flow
  }

  static func encode(
    _ flow: FlowStatistics, _ version: OpenFlowVersion, _ form: MessageForm, to writer: inout WireWriter
  ) throws(EncodeError) {
    let start = writer.count
    writer.u16(0)
    if version == .v15 {
      writer.zeros(2)
      writer.u8(flow.table)
      writer.zeros(1)
      writer.u16(flow.priority)
      writer.u16(flow.idleTimeoutSeconds)
      writer.u16(flow.hardTimeoutSeconds)
      writer.u16(flow.flags.rawValue)
      writer.u16(flow.importance)
      writer.u64(flow.cookie)
      try MatchEncoder.oxm(flow.match, version, to: &writer)
      OXSCodec.encode(statistics(flow), to: &writer)
    } else {
      writer.u8(flow.table)
      writer.zeros(1)
      if version == .v10, form == .standard { Match10.encode(flow.match, to: &writer) }
      writer.u32(flow.duration.seconds)
      writer.u32(flow.duration.nanoseconds)
      writer.u16(flow.priority)
      writer.u16(flow.idleTimeoutSeconds)
      writer.u16(flow.hardTimeoutSeconds)
      let lengthAt = writer.count
      if version > .v10 {
        writer.u16(flow.flags.rawValue)
        writer.u16(version == .v14 ? flow.importance : 0)
        writer.zeros(2)
      } else if form == .standard {
        writer.zeros(6)
      } else {
        writer.u16(0)
        writer.u16(age(flow.idleAgeSeconds))
        writer.u16(age(flow.hardAgeSeconds))
      }
      writer.u64(flow.cookie)
      writer.u64(flow.packetCount ?? .max)
      writer.u64(flow.byteCount ?? .max)
      if version > .v10 {
        try MatchEncoder.oxm(flow.match, version, to: &writer)
      } else if form == .extension {
        let count = try MatchEncoder.nxm(flow.match, to: &writer)
        writer.patch16(count, at: lengthAt)
      }
    }
    try InstructionCodec.encode(flow.instructions, version, match: flow.match, to: &writer)
    writer.patch16(UInt16(truncatingIfNeeded: writer.count - start), at: start)
  }

  /// 1.5's statistics without instructions.
  static func decodeStatistics15(_ reader: inout WireReader) throws(ErrorCode) -> FlowStatistics {
    let length = Int(try reader.u16())
    var entry = try reader.part(length - 2)
    try entry.skip(2)
    var flow = FlowStatistics()
    flow.table = try entry.u8()
    try entry.skip(1)
    flow.priority = try entry.u16()
    flow.match = try MatchDecoder.oxm(&entry, .v15)
    set(try OXSCodec.decode(&entry), in: &flow)
    return flow
  }

  static func encodeStatistics15(_ flow: FlowStatistics, to writer: inout WireWriter) throws(EncodeError) {
    let start = writer.count
    writer.zeros(4)
    writer.u8(flow.table)
    writer.zeros(1)
    writer.u16(flow.priority)
    try MatchEncoder.oxm(flow.match, .v15, to: &writer)
    OXSCodec.encode(statistics(flow), to: &writer)
    writer.patch16(UInt16(truncatingIfNeeded: writer.count - start), at: start)
  }

  private static func decodeTimeouts(_ entry: inout WireReader, _ flow: inout FlowStatistics) throws(ErrorCode) {
    flow.idleTimeoutSeconds = try entry.u16()
    flow.hardTimeoutSeconds = try entry.u16()
  }

  private static func statistics(_ flow: FlowStatistics) -> OXSCodec.Statistics {
    OXSCodec.Statistics(
      duration: flow.duration, idleTime: flow.idleAgeSeconds.map { ElapsedTime(seconds: $0) },
      packetCount: flow.packetCount, byteCount: flow.byteCount)
  }

  private static func set(_ statistics: OXSCodec.Statistics, in flow: inout FlowStatistics) {
    flow.duration = statistics.duration ?? ElapsedTime()
    flow.idleAgeSeconds = statistics.idleTime?.seconds
    flow.packetCount = statistics.packetCount
    flow.byteCount = statistics.byteCount
  }

  /// All ones stand for "not kept".
  private static func known(_ count: UInt64) -> UInt64? { count == .max ? nil : count }

  /// NXST_FLOW has one more than the age, 0 for unknown.
  private static func age(_ number: UInt16) -> UInt32? { number == 0 ? nil : UInt32(number) - 1 }
  private static func age(_ seconds: UInt32?) -> UInt16 { seconds.map { UInt16(min($0, 0xfffe)) + 1 } ?? 0 }

  // MARK: sums

  static func decodeAggregate(_ reader: inout WireReader, _ version: OpenFlowVersion) throws(ErrorCode)
    -> FlowAggregate
  {
    var aggregate = FlowAggregate()
    if version == .v15 {
      let statistics = try OXSCodec.decode(&reader)
      aggregate.packetCount = statistics.packetCount ?? .max
      aggregate.byteCount = statistics.byteCount ?? .max
      aggregate.flowCount = statistics.flowCount ?? 0
    } else {
      aggregate.packetCount = try reader.u64()
      aggregate.byteCount = try reader.u64()
      aggregate.flowCount = try reader.u32()
      try reader.skip(4)
    }
    return aggregate
  }

  static func encode(_ aggregate: FlowAggregate, _ version: OpenFlowVersion, to writer: inout WireWriter) {
    if version == .v15 {
      OXSCodec.encode(
        OXSCodec.Statistics(
          flowCount: aggregate.flowCount, packetCount: aggregate.packetCount, byteCount: aggregate.byteCount),
        to: &writer)
    } else {
      writer.u64(aggregate.packetCount)
      writer.u64(aggregate.byteCount)
      writer.u32(aggregate.flowCount)
      writer.zeros(4)
    }
  }
}
