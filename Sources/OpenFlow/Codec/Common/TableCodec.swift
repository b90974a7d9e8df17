// Tables: settings and counters (OpenFlow 1.0 §5.3.5, 1.3 §7.3.3, 1.4 §7.3.3, §7.3.5.18).

import VSwitchCore

enum TableCodec {
  private static let evicts: UInt32 = 1 << 2
  private static let vacancyEvents: UInt32 = 1 << 3
  private static let evictionProperty: UInt16 = 2
  private static let vacancyProperty: UInt16 = 3

  static func decodeMod(_ reader: inout WireReader, _ version: OpenFlowVersion) throws(ErrorCode) -> TableDescription {
    var table = TableDescription(table: try reader.u8())
    try reader.skip(3)
    let configuration = try reader.u32()
    if version == .v13 { return table }
    try decodeSettings(&reader, configuration, &table)
    return table
  }

  static func encodeMod(_ table: TableDescription, _ version: OpenFlowVersion, to writer: inout WireWriter) {
    writer.u8(table.table)
    writer.zeros(3)
    if version == .v13 { writer.u32(0) } else { encodeSettings(table, to: &writer) }
  }

  private static func decodeSettings(
    _ reader: inout WireReader, _ configuration: UInt32, _ table: inout TableDescription
  ) throws(ErrorCode) {
    table.evicts = configuration & evicts != 0
    table.sendsVacancyEvents = configuration & vacancyEvents != 0
    while !reader.isAtEnd {
      var type: UInt16 = 0
      var value = try reader.property(&type)
      switch type {
      case evictionProperty:
        guard value.remaining == 4 else { throw .badPropertyBadLength }
        table.evictionFlags = try value.u32()
      case vacancyProperty:
        guard value.remaining == 4 else { throw .badPropertyBadLength }
        var vacancy = TableDescription.Vacancy(downPercent: try value.u8(), upPercent: try value.u8())
        vacancy.currentPercent = try value.u8()
        guard vacancy.downPercent <= vacancy.upPercent, vacancy.upPercent <= 100 else { throw .badPropertyBadValue }
        table.vacancy = vacancy
      case 0xffff: throw .badPropertyBadExperimenter
      default: throw .badPropertyBadType
      }
    }
  }

  private static func encodeSettings(_ table: TableDescription, to writer: inout WireWriter) {
    writer.u32((table.evicts ? evicts : 0) | (table.sendsVacancyEvents ? vacancyEvents : 0))
    if let flags = table.evictionFlags { writer.property(evictionProperty) { $0.u32(flags) } }
    if let vacancy = table.vacancy {
      writer.property(vacancyProperty) {
        $0.u8(vacancy.downPercent)
        $0.u8(vacancy.upPercent)
        $0.u8(vacancy.currentPercent)
        $0.u8(0)
      }
    }
  }

  static func decodeDescription(_ reader: inout WireReader) throws(ErrorCode) -> TableDescription {
    let length = Int(try reader.u16())
    var entry = try reader.part(length - 2)
    var table = TableDescription(table: try entry.u8())
    try entry.skip(1)
    let configuration = try entry.u32()
    try decodeSettings(&entry, configuration, &table)
    return table
  }

  static func encodeDescription(_ table: TableDescription, to writer: inout WireWriter) {
    let start = writer.count
    writer.u16(0)
    writer.u8(table.table)
    writer.zeros(1)
    encodeSettings(table, to: &writer)
    writer.patch16(UInt16(truncatingIfNeeded: writer.count - start), at: start)
  }

  static func decodeStatus(_ reader: inout WireReader) throws(ErrorCode) -> TableStatus {
    guard let reason = TableStatus.Reason(rawValue: try reader.u8()) else { throw .niciraRequestBadReason }
    try reader.skip(7)
    return TableStatus(reason, try decodeDescription(&reader))
  }

  static func encode(_ status: TableStatus, to writer: inout WireWriter) {
    writer.u8(status.reason.rawValue)
    writer.zeros(7)
    encodeDescription(status.table, to: &writer)
  }

  static func decodeStatistics(_ reader: inout WireReader, _ version: OpenFlowVersion) throws(ErrorCode)
    -> TableCounters
  {
    var table = TableCounters(table: try reader.u8())
    try reader.skip(3)
    if version == .v10 {
      table.name = try reader.text(32)
      table.wildcards = try reader.u32()
      table.maximumEntries = try reader.u32()
    }
    table.activeCount = try reader.u32()
    table.lookupCount = try reader.u64()
    table.matchedCount = try reader.u64()
    return table
  }

  static func encodeStatistics(_ table: TableCounters, _ version: OpenFlowVersion, to writer: inout WireWriter) {
    writer.u8(table.table)
    writer.zeros(3)
    if version == .v10 {
      writer.text(table.name, 32)
      writer.u32(table.wildcards)
      writer.u32(table.maximumEntries)
    }
    writer.u32(table.activeCount)
    writer.u64(table.lookupCount)
    writer.u64(table.matchedCount)
  }
}
