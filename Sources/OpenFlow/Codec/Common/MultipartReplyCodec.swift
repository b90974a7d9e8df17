// Answers (OpenFlow 1.5 §7.3.5).

import VSwitchCore

enum MultipartReplyCodec {
  /// - Parameter reader: behind the message's header.
  static func decode(_ reader: inout WireReader, _ version: OpenFlowVersion) throws(ErrorCode) -> MultipartReply {
    let (type, hasMore) = try MultipartType.decode(&reader, version)
    var reply: MultipartReply
    switch type {
    case .standard(let number): reply = MultipartReply(try standard(number, version, &reader))
    case .nicira(let subtype):
      guard version == .v10 else { throw .badRequestBadExperimenterType }
      reply = MultipartReply(try nicira(subtype, &reader), form: .extension)
    case .onf(let subtype):
      guard subtype == MultipartType.onfFlowMonitor, version == .v13 else { throw .badRequestBadExperimenterType }
      reply = MultipartReply(.flowMonitor(try updates(&reader, version)), form: .extension)
    }
    guard reader.isAtEnd else { throw .badRequestBadLength }
    reply.hasMore = hasMore
    return reply
  }

  private static func standard(_ type: UInt16, _ version: OpenFlowVersion, _ reader: inout WireReader)
    throws(ErrorCode) -> MultipartReply.Body
  {
    switch (type, version) {
    case (0, _): return .description(try StatisticsCodec.decodeDescription(&reader))
    case (1, _): return .flows(try flows(&reader, version, .standard))
    case (2, _): return .aggregate(try FlowStatisticsCodec.decodeAggregate(&reader, version))
    case (3, _):
      var tables: [TableCounters] = []
      while !reader.isAtEnd { tables.append(try TableCodec.decodeStatistics(&reader, version)) }
      return .tables(tables)
    case (4, _):
      var ports: [PortStatistics] = []
      while !reader.isAtEnd { ports.append(try StatisticsCodec.decodePort(&reader, version)) }
      return .ports(ports)
    case (5, _):
      var queues: [QueueStatistics] = []
      while !reader.isAtEnd { queues.append(try StatisticsCodec.decodeQueue(&reader, version)) }
      return .queues(queues)
    case (13, _):
      var ports: [PortDescription] = []
      while !reader.isAtEnd { ports.append(try PortCodec.decodePort(&reader, version)) }
      return .portDescriptions(ports)
    case (_, .v10): throw .badRequestBadMultipart
    case (6, _): return .groups(try groups(&reader))
    case (7, _): return .groupDescriptions(try groupDescriptions(&reader, version))
    case (8, _): return .groupFeatures(try StatisticsCodec.decodeGroupFeatures(&reader))
    case (9, _):
      var meters: [MeterCounters] = []
      while !reader.isAtEnd { meters.append(try MeterCodec.decodeStatistics(&reader)) }
      return .meters(meters)
    case (10, _):
      var meters: [MeterDescription] = []
      while !reader.isAtEnd { meters.append(try MeterCodec.decodeDescription(&reader)) }
      return .meterDescriptions(meters)
    case (11, _): return .meterFeatures(try MeterCodec.decodeFeatures(&reader))
    case (12, _):
      var tables: [TableFeatures] = []
      while !reader.isAtEnd { tables.append(try TableFeaturesCodec.decode(&reader, version)) }
      return .tableFeatures(tables)
    case (_, .v13): throw .badRequestBadMultipart
    case (14, _):
      var tables: [TableDescription] = []
      while !reader.isAtEnd { tables.append(try TableCodec.decodeDescription(&reader)) }
      return .tableDescriptions(tables)
    case (15, _):
      var queues: [QueueDescription] = []
      while !reader.isAtEnd { queues.append(try QueueCodec.decodeDescription(&reader)) }
      return .queueDescriptions(queues)
    case (16, _): return .flowMonitor(try updates(&reader, version))
    case (17, .v15):
      var flows: [FlowStatistics] = []
      while !reader.isAtEnd { flows.append(try FlowStatisticsCodec.decodeStatistics15(&reader)) }
      return .flowStatistics(flows)
    case (18, .v15):
      var controllers: [ControllerStatus] = []
      while !reader.isAtEnd { controllers.append(try ControllerStatusCodec.decode(&reader)) }
      return .controllerStatus(controllers)
    case (19, .v15):
      let features = BundleFeatures(capabilities: try reader.u16())
      try reader.skip(6)
      return .bundleFeatures(features)
    default: throw .badRequestBadMultipart
    }
  }

  private static func nicira(_ subtype: UInt32, _ reader: inout WireReader) throws(ErrorCode) -> MultipartReply.Body {
    switch subtype {
    case 0: return .flows(try flows(&reader, .v10, .extension))
    case 1: return .aggregate(try FlowStatisticsCodec.decodeAggregate(&reader, .v10))
    case 2: return .flowMonitor(try updates(&reader, .v10))
    case 7: return .groups(try groups(&reader))
    case 8: return .groupDescriptions(try groupDescriptions(&reader, .v10))
    case 9: return .groupFeatures(try StatisticsCodec.decodeGroupFeatures(&reader))
    default: throw .badRequestBadExperimenterType
    }
  }

  private static func flows(_ reader: inout WireReader, _ version: OpenFlowVersion, _ form: MessageForm)
    throws(ErrorCode) -> [FlowStatistics]
  {
    var flows: [FlowStatistics] = []
    while !reader.isAtEnd { flows.append(try FlowStatisticsCodec.decode(&reader, version, form)) }
    return flows
  }

  private static func groups(_ reader: inout WireReader) throws(ErrorCode) -> [GroupCounters] {
    var groups: [GroupCounters] = []
    while !reader.isAtEnd { groups.append(try StatisticsCodec.decodeGroup(&reader)) }
    return groups
  }

  private static func groupDescriptions(_ reader: inout WireReader, _ version: OpenFlowVersion) throws(ErrorCode)
    -> [GroupDescription]
  {
    var groups: [GroupDescription] = []
    while !reader.isAtEnd { groups.append(try GroupCodec.decodeDescription(&reader, version)) }
    return groups
  }

  private static func updates(_ reader: inout WireReader, _ version: OpenFlowVersion) throws(ErrorCode)
    -> [FlowUpdate]
  {
    var updates: [FlowUpdate] = []
    while !reader.isAtEnd { updates.append(try MonitorCodec.decodeUpdate(&reader, version)) }
    return updates
  }

  static func encode(_ reply: MultipartReply, _ version: OpenFlowVersion, _ xid: UInt32) throws(EncodeError)
    -> [[UInt8]]
  {
    guard let type = type(reply.body, version, reply.form) else {
      throw EncodeError(cause: "OpenFlow \(version.name) has no such answer", remedy: "use a later version")
    }
    var writer = MultipartWriter(isReply: true, version, xid: xid, type, hasMore: reply.hasMore)
    /// Writes a list, each of whose members stays in one piece.
    func list<T>(_ members: [T], _ write: (T, inout WireWriter) throws(EncodeError) -> Void) throws(EncodeError) {
      for member in members {
        try writer.entry { (part) throws(EncodeError) in try write(member, &part) }
      }
    }
    switch reply.body {
    case .description(let description):
      try list([description]) { (item, part) throws(EncodeError) in
        StatisticsCodec.encodeDescription(item, to: &part)
      }
    case .flows(let flows):
      try list(flows) { (flow, part) throws(EncodeError) in
        try FlowStatisticsCodec.encode(flow, version, reply.form, to: &part)
      }
    case .flowStatistics(let flows):
      try list(flows) { (flow, part) throws(EncodeError) in
        try FlowStatisticsCodec.encodeStatistics15(flow, to: &part)
      }
    case .aggregate(let aggregate):
      try list([aggregate]) { (item, part) throws(EncodeError) in FlowStatisticsCodec.encode(item, version, to: &part) }
    case .tables(let tables):
      try list(tables) { (item, part) throws(EncodeError) in TableCodec.encodeStatistics(item, version, to: &part) }
    case .ports(let ports):
      try list(ports) { (item, part) throws(EncodeError) in StatisticsCodec.encodePort(item, version, to: &part) }
    case .queues(let queues):
      try list(queues) { (item, part) throws(EncodeError) in StatisticsCodec.encodeQueue(item, version, to: &part) }
    case .groups(let groups):
      try list(groups) { (item, part) throws(EncodeError) in try StatisticsCodec.encodeGroup(item, to: &part) }
    case .groupDescriptions(let groups):
      try list(groups) { (item, part) throws(EncodeError) in
        try GroupCodec.encodeDescription(item, version, to: &part)
      }
    case .groupFeatures(let features):
      try list([features]) { (item, part) throws(EncodeError) in
        StatisticsCodec.encodeGroupFeatures(item, to: &part)
      }
    case .meters(let meters):
      try list(meters) { (item, part) throws(EncodeError) in try MeterCodec.encodeStatistics(item, to: &part) }
    case .meterDescriptions(let meters):
      try list(meters) { (item, part) throws(EncodeError) in try MeterCodec.encodeDescription(item, to: &part) }
    case .meterFeatures(let features):
      try list([features]) { (item, part) throws(EncodeError) in MeterCodec.encodeFeatures(item, to: &part) }
    case .tableFeatures(let tables):
      try list(tables) { (item, part) throws(EncodeError) in try TableFeaturesCodec.encode(item, version, to: &part) }
    case .portDescriptions(let ports):
      try list(ports) { (item, part) throws(EncodeError) in PortCodec.encodePort(item, version, to: &part) }
    case .tableDescriptions(let tables):
      try list(tables) { (item, part) throws(EncodeError) in TableCodec.encodeDescription(item, to: &part) }
    case .queueDescriptions(let queues):
      try list(queues) { (item, part) throws(EncodeError) in QueueCodec.encodeDescription(item, to: &part) }
    case .flowMonitor(let updates):
      try list(updates) { (item, part) throws(EncodeError) in try MonitorCodec.encodeUpdate(item, version, to: &part) }
    case .controllerStatus(let controllers):
      try list(controllers) { (item, part) throws(EncodeError) in ControllerStatusCodec.encode(item, to: &part) }
    case .bundleFeatures(let features):
      try list([features]) { (item, part) throws(EncodeError) in
        part.u16(item.capabilities)
        part.zeros(6)
      }
    }
    return try writer.finish()
  }

  private static func type(_ body: MultipartReply.Body, _ version: OpenFlowVersion, _ form: MessageForm)
    -> MultipartType?
  {
    let is10 = version == .v10
    let isExtension10 = is10 && form == .extension
    func from(_ first: OpenFlowVersion, _ number: UInt16) -> MultipartType? {
      version >= first ? .standard(number) : nil
    }
    return switch body {
    case .description: .standard(0)
    case .flows: isExtension10 ? .nicira(0) : .standard(1)
    case .aggregate: isExtension10 ? .nicira(1) : .standard(2)
    case .tables: .standard(3)
    case .ports: .standard(4)
    case .queues: .standard(5)
    case .groups: is10 ? .nicira(7) : .standard(6)
    case .groupDescriptions: is10 ? .nicira(8) : .standard(7)
    case .groupFeatures: is10 ? .nicira(9) : .standard(8)
    case .meters: from(.v13, 9)
    case .meterDescriptions: from(.v13, 10)
    case .meterFeatures: from(.v13, 11)
    case .tableFeatures: from(.v13, 12)
    case .portDescriptions: .standard(13)
    case .tableDescriptions: from(.v14, 14)
    case .queueDescriptions: from(.v14, 15)
    case .flowMonitor: MonitorCodec.type(version)
    case .flowStatistics: from(.v15, 17)
    case .controllerStatus: from(.v15, 18)
    case .bundleFeatures: from(.v15, 19)
    }
  }
}
