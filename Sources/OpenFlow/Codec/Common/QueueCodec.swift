// Queues: a message of its own up to 1.3, multipart with properties from 1.4 on (OpenFlow 1.0 §5.3.4, 1.4 §7.3.5.10).

import VSwitchCore

enum QueueCodec {
  private static let minimumRate: UInt16 = 1
  private static let maximumRate: UInt16 = 2

  static func decodeConfig(_ reader: inout WireReader, _ version: OpenFlowVersion) throws(ErrorCode) -> MessageBody {
    let port = version == .v10 ? PortNumber(wire10: try reader.u16()) : PortNumber(try reader.u32())
    try reader.skip(version == .v10 ? 6 : 4)
    var queues: [QueueDescription] = []
    while !reader.isAtEnd {
      let queue = try reader.u32()
      var queuePort = port
      if version > .v10 { queuePort = PortNumber(try reader.u32()) }
      let length = Int(try reader.u16())
      let headerByteCount = version == .v10 ? 8 : 16
      try reader.skip(version == .v10 ? 2 : 6)
      var properties = try reader.part(length - headerByteCount)
      var description = QueueDescription(port: queuePort, queue: queue)
      while !properties.isAtEnd {
        var type: UInt16 = 0
        var value = try properties.property(&type)
        try value.skip(4)
        try rate(type, &value, &description)
      }
      queues.append(description)
    }
    return .queueConfigReply(port, queues)
  }

  static func encodeConfig(
    _ port: PortNumber, _ queues: [QueueDescription], _ version: OpenFlowVersion, to writer: inout WireWriter
  ) {
    if version == .v10 { writer.u16(port.wire10) } else { writer.u32(port.rawValue) }
    writer.zeros(version == .v10 ? 6 : 4)
    for queue in queues {
      let start = writer.count
      writer.u32(queue.queue)
      if version > .v10 { writer.u32(queue.port.rawValue) }
      let lengthAt = writer.count
      writer.u16(0)
      writer.zeros(version == .v10 ? 2 : 6)
      for (type, rate) in [(minimumRate, queue.minimumRate), (maximumRate, queue.maximumRate)] {
        guard let rate else { continue }
        writer.u16(type)
        writer.u16(16)
        writer.zeros(4)
        writer.u16(rate)
        writer.zeros(6)
      }
      writer.patch16(UInt16(truncatingIfNeeded: writer.count - start), at: lengthAt)
    }
  }

  static func decodeDescription(_ reader: inout WireReader) throws(ErrorCode) -> QueueDescription {
    let port = PortNumber(try reader.u32())
    var description = QueueDescription(port: port, queue: try reader.u32())
    let length = Int(try reader.u16())
    var properties = try reader.part(length - 10)
    try properties.skip(6)
    while !properties.isAtEnd {
      var type: UInt16 = 0
      var value = try properties.property(&type)
      try rate(type, &value, &description)
    }
    return description
  }

  static func encodeDescription(_ queue: QueueDescription, to writer: inout WireWriter) {
    let start = writer.count
    writer.u32(queue.port.rawValue)
    writer.u32(queue.queue)
    writer.u16(0)
    writer.zeros(6)
    if let rate = queue.minimumRate { writer.property(minimumRate) { $0.u16(rate) } }
    if let rate = queue.maximumRate { writer.property(maximumRate) { $0.u16(rate) } }
    writer.patch16(UInt16(truncatingIfNeeded: writer.count - start), at: start + 8)
  }

  private static func rate(_ type: UInt16, _ value: inout WireReader, _ queue: inout QueueDescription)
    throws(ErrorCode)
  {
    switch type {
    case minimumRate: queue.minimumRate = try value.u16(.badPropertyBadLength)
    case maximumRate: queue.maximumRate = try value.u16(.badPropertyBadLength)
    default: break
    }
  }
}
