// Statistics as sequences of fields (OXS, OpenFlow 1.5 §7.2.4): header 0x8002, number, length, value.

enum OXSCodec {
  static let openFlowBasic: UInt16 = 0x8002
  private static let duration: UInt8 = 0
  private static let idleTime: UInt8 = 1
  private static let flowCount: UInt8 = 3
  private static let packetCount: UInt8 = 4
  private static let byteCount: UInt8 = 5

  /// What the fields can say.
  struct Statistics: Equatable {
    var duration: ElapsedTime?
    var idleTime: ElapsedTime?
    var flowCount: UInt32?
    var packetCount: UInt64?
    var byteCount: UInt64?
  }

  static func decode(_ reader: inout WireReader) throws(ErrorCode) -> Statistics {
    try reader.skip(2)
    let length = Int(try reader.u16())
    var fields = try reader.part(length - 4)
    try reader.skip((8 - length % 8) % 8)
    var statistics = Statistics()
    while !fields.isAtEnd {
      let fieldClass = try fields.u16()
      let number = try fields.u8() >> 1
      let valueByteCount = Int(try fields.u8())
      var value = try fields.part(valueByteCount)
      guard fieldClass == openFlowBasic else { continue }
      switch (number, valueByteCount) {
      case (duration, 8): statistics.duration = ElapsedTime(seconds: try value.u32(), nanoseconds: try value.u32())
      case (idleTime, 8): statistics.idleTime = ElapsedTime(seconds: try value.u32(), nanoseconds: try value.u32())
      case (flowCount, 4): statistics.flowCount = try value.u32()
      case (packetCount, 8): statistics.packetCount = try value.u64()
      case (byteCount, 8): statistics.byteCount = try value.u64()
      default: throw .badMatchBadField
      }
    }
    return statistics
  }

  static func encode(_ statistics: Statistics, to writer: inout WireWriter) {
    let start = writer.count
    writer.u16(0)
    writer.u16(0)
    if let time = statistics.duration { write(time, duration, &writer) }
    if let time = statistics.idleTime { write(time, idleTime, &writer) }
    if let count = statistics.flowCount {
      header(flowCount, 4, &writer)
      writer.u32(count)
    }
    if let count = statistics.packetCount {
      header(packetCount, 8, &writer)
      writer.u64(count)
    }
    if let count = statistics.byteCount {
      header(byteCount, 8, &writer)
      writer.u64(count)
    }
    writer.patch16(UInt16(truncatingIfNeeded: writer.count - start), at: start + 2)
    writer.pad8(from: start)
  }

  private static func write(_ time: ElapsedTime, _ number: UInt8, _ writer: inout WireWriter) {
    header(number, 8, &writer)
    writer.u32(time.seconds)
    writer.u32(time.nanoseconds)
  }

  private static func header(_ number: UInt8, _ byteCount: UInt8, _ writer: inout WireWriter) {
    writer.u16(openFlowBasic)
    writer.u8(number << 1)
    writer.u8(byteCount)
  }
}
