// Questions (OpenFlow 1.5 §7.3.5).

import VSwitchCore

enum MultipartRequestCodec {
  /// - Parameter reader: behind the message's header.
  static func decode(_ reader: inout WireReader, _ version: OpenFlowVersion) throws(ErrorCode) -> MultipartRequest {
    let (type, hasMore) = try MultipartType.decode(&reader, version)
    var request: MultipartRequest
    switch type {
    case .standard(let number): request = MultipartRequest(try standard(number, version, &reader))
    case .nicira(let subtype): request = MultipartRequest(try nicira(subtype, version, &reader), form: .extension)
    case .onf(let subtype):
      guard subtype == MultipartType.onfFlowMonitor, version == .v13 else { throw .badRequestBadExperimenterType }
      request = MultipartRequest(.flowMonitor(try monitors(&reader, version, .extension)), form: .extension)
    }
    guard reader.isAtEnd else { throw .badRequestBadLength }
    request.hasMore = hasMore
    return request
  }

  private static func standard(_ type: UInt16, _ version: OpenFlowVersion, _ reader: inout WireReader)
    throws(ErrorCode) -> MultipartRequest.Body
  {
    switch (type, version) {
    case (0, _): return .description
    case (1, _): return .flows(try FlowStatisticsCodec.decodeRequest(&reader, version, .standard))
    case (2, _): return .aggregate(try FlowStatisticsCodec.decodeRequest(&reader, version, .standard))
    case (3, _): return .tables
    case (4, .v10):
      let port = PortNumber(wire10: try reader.u16())
      try reader.skip(6)
      return .ports(port)
    case (4, _): return .ports(PortNumber(try padded(&reader)))
    case (5, .v10):
      // 1.0 says "all ports" by its number for all.
      let port = PortNumber(wire10: try reader.u16())
      try reader.skip(2)
      return .queues(port: port == .all ? .any : port, queue: try reader.u32())
    case (5, _): return .queues(port: PortNumber(try reader.u32()), queue: try reader.u32())
    // Open vSwitch's addition to 1.0.
    case (13, .v10), (13, .v13), (13, .v14): return .portDescriptions(.any)
    case (13, .v15): return .portDescriptions(PortNumber(try padded(&reader)))
    case (_, .v10): throw .badRequestBadMultipart
    case (6, _): return .groups(try padded(&reader))
    case (7, .v15): return .groupDescriptions(try padded(&reader))
    case (7, _): return .groupDescriptions(GroupMod.allGroups)
    case (8, _): return .groupFeatures
    case (9, _): return .meters(try padded(&reader))
    case (10, _): return .meterDescriptions(try padded(&reader))
    case (11, _): return .meterFeatures
    case (12, _):
      var tables: [TableFeatures] = []
      while !reader.isAtEnd { tables.append(try TableFeaturesCodec.decode(&reader, version)) }
      return .tableFeatures(tables)
    case (14, .v14), (14, .v15): return .tableDescriptions
    case (15, .v14), (15, .v15):
      return .queueDescriptions(port: PortNumber(try reader.u32()), queue: try reader.u32())
    case (16, .v14), (16, .v15): return .flowMonitor(try monitors(&reader, version, .standard))
    case (17, .v15): return .flowStatistics(try FlowStatisticsCodec.decodeRequest(&reader, version, .standard))
    case (18, .v15): return .controllerStatus
    case (19, .v15):
      let flags = try padded(&reader)
      guard flags & ~3 == 0 else { throw .badPropertyBadValue }
      return .bundleFeatures(flags: flags)
    default: throw .badRequestBadMultipart
    }
  }

  private static func nicira(_ subtype: UInt32, _ version: OpenFlowVersion, _ reader: inout WireReader)
    throws(ErrorCode) -> MultipartRequest.Body
  {
    switch (subtype, version) {
    case (0, .v10): return .flows(try FlowStatisticsCodec.decodeRequest(&reader, version, .extension))
    case (1, .v10): return .aggregate(try FlowStatisticsCodec.decodeRequest(&reader, version, .extension))
    case (2, .v10): return .flowMonitor(try monitors(&reader, version, .extension))
    case (3, _): return .ipfixBridge
    case (4, _): return .ipfixFlow
    case (7, .v10): return .groups(try padded(&reader))
    case (8, .v10): return .groupDescriptions(try padded(&reader))
    case (9, .v10): return .groupFeatures
    default: throw .badRequestBadExperimenterType
    }
  }

  /// A number with 4 bytes of padding.
  private static func padded(_ reader: inout WireReader) throws(ErrorCode) -> UInt32 {
    let number = try reader.u32()
    try reader.skip(4)
    return number
  }

  private static func monitors(_ reader: inout WireReader, _ version: OpenFlowVersion, _ form: MessageForm)
    throws(ErrorCode) -> [FlowMonitorRequest]
  {
    var monitors: [FlowMonitorRequest] = []
    while !reader.isAtEnd { monitors.append(try MonitorCodec.decodeRequest(&reader, version)) }
    return monitors
  }

  static func encode(_ request: MultipartRequest, _ version: OpenFlowVersion, _ xid: UInt32) throws(EncodeError)
    -> [[UInt8]]
  {
    guard let type = type(request.body, version, request.form) else {
      throw EncodeError(cause: "OpenFlow \(version.name) has no such question", remedy: "use a later version")
    }
    var writer = MultipartWriter(isReply: false, version, xid: xid, type, hasMore: request.hasMore)
    switch request.body {
    case .tableFeatures(let tables):
      for table in tables {
        try writer.entry { (part) throws(EncodeError) in try TableFeaturesCodec.encode(table, version, to: &part) }
      }
    case .flowMonitor(let monitors):
      for monitor in monitors {
        try writer.entry { (part) throws(EncodeError) in
          try MonitorCodec.encodeRequest(monitor, version, to: &part)
        }
      }
    default:
      try writer.entry { (part) throws(EncodeError) in
        try body(request.body, version, request.form, to: &part)
      }
    }
    return try writer.finish()
  }

  private static func body(
    _ body: MultipartRequest.Body, _ version: OpenFlowVersion, _ form: MessageForm, to writer: inout WireWriter
  ) throws(EncodeError) {
    func padded(_ number: UInt32) {
      writer.u32(number)
      writer.zeros(4)
    }
    switch body {
    case .flows(let flows), .flowStatistics(let flows), .aggregate(let flows):
      try FlowStatisticsCodec.encodeRequest(flows, version, form, to: &writer)
    case .ports(let port):
      if version == .v10 {
        writer.u16(port.wire10)
        writer.zeros(6)
      } else {
        padded(port.rawValue)
      }
    case .queues(let port, let queue):
      if version == .v10 {
        writer.u16((port == .any ? .all : port).wire10)
        writer.zeros(2)
      } else {
        writer.u32(port.rawValue)
      }
      writer.u32(queue)
    case .queueDescriptions(let port, let queue):
      writer.u32(port.rawValue)
      writer.u32(queue)
    case .groups(let group): padded(group)
    case .groupDescriptions(let group): if version == .v15 || version == .v10 { padded(group) }
    case .meters(let meter), .meterDescriptions(let meter): padded(meter)
    case .portDescriptions(let port): if version == .v15 { padded(port.rawValue) }
    case .bundleFeatures(let flags): padded(flags)
    case .description, .tables, .groupFeatures, .meterFeatures, .tableDescriptions, .controllerStatus, .ipfixBridge,
      .ipfixFlow, .tableFeatures, .flowMonitor:
      break
    }
  }

  private static func type(_ body: MultipartRequest.Body, _ version: OpenFlowVersion, _ form: MessageForm)
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
    case .ipfixBridge: .nicira(3)
    case .ipfixFlow: .nicira(4)
    }
  }
}
