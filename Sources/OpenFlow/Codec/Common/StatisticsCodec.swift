// Description of the switch, counters of ports, queues and groups (OpenFlow 1.0 §5.3.5, 1.3 §7.3.5, 1.4 §7.3.5).

import VSwitchCore

enum StatisticsCodec {
  static func decodeDescription(_ reader: inout WireReader) throws(ErrorCode) -> SwitchDescription {
    var description = SwitchDescription()
    description.manufacturer = try reader.text(256)
    description.hardware = try reader.text(256)
    description.software = try reader.text(256)
    description.serialNumber = try reader.text(32)
    description.datapath = try reader.text(256)
    return description
  }

  static func encodeDescription(_ description: SwitchDescription, to writer: inout WireWriter) {
    writer.text(description.manufacturer, 256)
    writer.text(description.hardware, 256)
    writer.text(description.software, 256)
    writer.text(description.serialNumber, 32)
    writer.text(description.datapath, 256)
  }

  // MARK: ports

  /// From 1.4 on the counters of Ethernet are a property; others (Open vSwitch has some) are passed over.
  static func decodePort(_ reader: inout WireReader, _ version: OpenFlowVersion) throws(ErrorCode) -> PortStatistics {
    if version > .v13 {
      let length = Int(try reader.u16())
      var entry = try reader.part(length - 2)
      try entry.skip(2)
      var port = PortStatistics(port: PortNumber(try entry.u32()))
      port.duration = ElapsedTime(seconds: try entry.u32(), nanoseconds: try entry.u32())
      try decodeCounters(&entry, &port)
      while !entry.isAtEnd {
        var type: UInt16 = 0
        var value = try entry.property(&type)
        guard type == 0 else { continue }
        try value.skip(4, .badPropertyBadLength)
        try decodeEthernet(&value, &port)
      }
      return port
    }
    var port: PortStatistics
    if version == .v10 {
      port = PortStatistics(port: PortNumber(wire10: try reader.u16()))
      try reader.skip(6)
    } else {
      port = PortStatistics(port: PortNumber(try reader.u32()))
      try reader.skip(4)
    }
    try decodeCounters(&reader, &port)
    try decodeEthernet(&reader, &port)
    if version == .v13 { port.duration = ElapsedTime(seconds: try reader.u32(), nanoseconds: try reader.u32()) }
    return port
  }

  private static func decodeCounters(_ reader: inout WireReader, _ port: inout PortStatistics) throws(ErrorCode) {
    port.rxPackets = try reader.u64()
    port.txPackets = try reader.u64()
    port.rxBytes = try reader.u64()
    port.txBytes = try reader.u64()
    port.rxDropped = try reader.u64()
    port.txDropped = try reader.u64()
    port.rxErrors = try reader.u64()
    port.txErrors = try reader.u64()
  }

  private static func decodeEthernet(_ reader: inout WireReader, _ port: inout PortStatistics) throws(ErrorCode) {
    port.rxFrameErrors = try reader.u64()
    port.rxOverErrors = try reader.u64()
    port.rxCRCErrors = try reader.u64()
    port.collisions = try reader.u64()
  }

  static func encodePort(_ port: PortStatistics, _ version: OpenFlowVersion, to writer: inout WireWriter) {
    switch version {
    case .v10:
      writer.u16(port.port.wire10)
      writer.zeros(6)
    case .v13:
      writer.u32(port.port.rawValue)
      writer.zeros(4)
    case .v14, .v15:
      writer.u16(120)
      writer.zeros(2)
      writer.u32(port.port.rawValue)
      writer.u32(port.duration.seconds)
      writer.u32(port.duration.nanoseconds)
    }
    for counter in [
      port.rxPackets, port.txPackets, port.rxBytes, port.txBytes, port.rxDropped, port.txDropped, port.rxErrors,
      port.txErrors,
    ] { writer.u64(counter) }
    if version > .v13 {
      writer.u16(0)
      writer.u16(40)
      writer.zeros(4)
    }
    for counter in [port.rxFrameErrors, port.rxOverErrors, port.rxCRCErrors, port.collisions] { writer.u64(counter) }
    if version == .v13 {
      writer.u32(port.duration.seconds)
      writer.u32(port.duration.nanoseconds)
    }
  }

  // MARK: queues

  static func decodeQueue(_ reader: inout WireReader, _ version: OpenFlowVersion) throws(ErrorCode) -> QueueStatistics {
    if version > .v13 {
      let length = Int(try reader.u16())
      var entry = try reader.part(length - 2)
      try entry.skip(6)
      return try decodeQueueBody(&entry, version)
    }
    return try decodeQueueBody(&reader, version)
  }

  private static func decodeQueueBody(_ reader: inout WireReader, _ version: OpenFlowVersion) throws(ErrorCode)
    -> QueueStatistics
  {
    let port: PortNumber
    if version == .v10 {
      port = PortNumber(wire10: try reader.u16())
      try reader.skip(2)
    } else {
      port = PortNumber(try reader.u32())
    }
    var queue = QueueStatistics(port: port, queue: try reader.u32())
    queue.txBytes = try reader.u64()
    queue.txPackets = try reader.u64()
    queue.txErrors = try reader.u64()
    if version > .v10 { queue.duration = ElapsedTime(seconds: try reader.u32(), nanoseconds: try reader.u32()) }
    return queue
  }

  static func encodeQueue(_ queue: QueueStatistics, _ version: OpenFlowVersion, to writer: inout WireWriter) {
    if version > .v13 {
      writer.u16(48)
      writer.zeros(6)
    }
    if version == .v10 {
      writer.u16(queue.port.wire10)
      writer.zeros(2)
    } else {
      writer.u32(queue.port.rawValue)
    }
    writer.u32(queue.queue)
    writer.u64(queue.txBytes)
    writer.u64(queue.txPackets)
    writer.u64(queue.txErrors)
    if version > .v10 {
      writer.u32(queue.duration.seconds)
      writer.u32(queue.duration.nanoseconds)
    }
  }

  // MARK: groups

  static func decodeGroup(_ reader: inout WireReader) throws(ErrorCode) -> GroupCounters {
    let length = Int(try reader.u16())
    var entry = try reader.part(length - 2)
    try entry.skip(2)
    var group = GroupCounters(group: try entry.u32())
    group.referenceCount = try entry.u32()
    try entry.skip(4)
    group.packetCount = try entry.u64()
    group.byteCount = try entry.u64()
    group.duration = ElapsedTime(seconds: try entry.u32(), nanoseconds: try entry.u32())
    while !entry.isAtEnd {
      group.buckets.append(GroupCounters.Counter(packetCount: try entry.u64(), byteCount: try entry.u64()))
    }
    return group
  }

  static func encodeGroup(_ group: GroupCounters, to writer: inout WireWriter) throws(EncodeError) {
    let start = writer.count
    writer.zeros(4)
    writer.u32(group.group)
    writer.u32(group.referenceCount)
    writer.zeros(4)
    writer.u64(group.packetCount)
    writer.u64(group.byteCount)
    writer.u32(group.duration.seconds)
    writer.u32(group.duration.nanoseconds)
    for bucket in group.buckets {
      writer.u64(bucket.packetCount)
      writer.u64(bucket.byteCount)
    }
    guard writer.count - start <= 0xffff else { throw EncodeError.tooLong }
    writer.patch16(UInt16(truncatingIfNeeded: writer.count - start), at: start)
  }

  static func decodeGroupFeatures(_ reader: inout WireReader) throws(ErrorCode) -> GroupFeatures {
    let kinds = try reader.u32()
    var features = GroupFeatures()
    features.capabilities = try reader.u32()
    let maxima = [try reader.u32(), try reader.u32(), try reader.u32(), try reader.u32()]
    let actions = [try reader.u32(), try reader.u32(), try reader.u32(), try reader.u32()]
    func kind(_ index: Int) -> GroupFeatures.PerKind? {
      kinds & 1 << UInt32(index) == 0
        ? nil : GroupFeatures.PerKind(maximumGroups: maxima[index], actions: actions[index])
    }
    features.all = kind(0)
    features.select = kind(1)
    features.indirect = kind(2)
    features.fastFailover = kind(3)
    return features
  }

  static func encodeGroupFeatures(_ features: GroupFeatures, to writer: inout WireWriter) {
    let kinds = [features.all, features.select, features.indirect, features.fastFailover]
    writer.u32(kinds.enumerated().reduce(0) { $1.element == nil ? $0 : $0 | 1 << UInt32($1.offset) })
    writer.u32(features.capabilities)
    for kind in kinds { writer.u32(kind?.maximumGroups ?? 0) }
    for kind in kinds { writer.u32(kind?.actions ?? 0) }
  }
}
