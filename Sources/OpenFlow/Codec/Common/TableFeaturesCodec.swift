// What tables can do: properties from 1.3 on (OpenFlow 1.3 §7.3.5.5, 1.5 §7.3.5.18). Fields and actions of others'
// extensions are passed over; an unknown field of the standard's class is refused, as Open vSwitch does.

import VSwitchCore

enum TableFeaturesCodec {
  /// Property types; each plus 1 is the table-miss rule's, but for match, wildcards and the synchronized tables.
  private static let instructions: UInt16 = 0
  private static let nextTables: UInt16 = 2
  private static let writeActions: UInt16 = 4
  private static let applyActions: UInt16 = 6
  private static let match: UInt16 = 8
  private static let wildcards: UInt16 = 10
  private static let writeSetField: UInt16 = 12
  private static let applySetField: UInt16 = 14
  private static let synchronizedFrom: UInt16 = 16
  private static let writeCopyField: UInt16 = 18
  private static let applyCopyField: UInt16 = 20

  static func decode(_ reader: inout WireReader, _ version: OpenFlowVersion) throws(ErrorCode) -> TableFeatures {
    let length = Int(try reader.u16())
    var entry = try reader.part(length - 2)
    var table = TableFeatures(table: try entry.u8())
    if version == .v15 {
      table.command = try entry.u8()
      table.features = try entry.u32()
    } else {
      try entry.skip(5)
    }
    table.name = try entry.text(32)
    table.metadataMatch = try entry.u64()
    table.metadataWrite = try entry.u64()
    table.capabilities = try entry.u32()
    table.maximumEntries = try entry.u32()
    table.hasProperties = !entry.isAtEnd
    var miss = TableFeatures.Rules()
    var hasMiss = false
    while !entry.isAtEnd {
      var type: UInt16 = 0
      var value = try entry.property(&type)
      switch type {
      case match: table.matchFields = try matchFields(&value, version)
      case wildcards: table.wildcards = try matchFields(&value, version).map(\.field)
      case synchronizedFrom: table.synchronizedFrom = value.rest()
      case 0...21 where type & 1 == 0 && type != 9 && type != 11: try rules(type, &value, version, &table.rules)
      case 0...21 where type != 9 && type != 11 && type != 17:
        hasMiss = true
        try rules(type - 1, &value, version, &miss)
      case 0xfffe, 0xffff, 22: break
      default: throw .badPropertyBadType
      }
    }
    if hasMiss { table.missRules = miss }
    return table
  }

  private static func rules(
    _ type: UInt16, _ value: inout WireReader, _ version: OpenFlowVersion, _ rules: inout TableFeatures.Rules
  ) throws(ErrorCode) {
    switch type {
    case instructions: rules.instructions = try numbers(&value)
    case nextTables: rules.nextTables = value.rest()
    case writeActions: rules.writeActions = try numbers(&value)
    case applyActions: rules.applyActions = try numbers(&value)
    case writeSetField: rules.writeSetFields = try matchFields(&value, version).map(\.field)
    case applySetField: rules.applySetFields = try matchFields(&value, version).map(\.field)
    case writeCopyField: rules.writeCopyFields = try matchFields(&value, version).map(\.field)
    case applyCopyField: rules.applyCopyFields = try matchFields(&value, version).map(\.field)
    default: throw .badPropertyBadType
    }
  }

  /// Types of instructions or actions as bits. Each has type and length; some write 4 bytes, some 8.
  private static func numbers(_ value: inout WireReader) throws(ErrorCode) -> UInt32 {
    var bits: UInt32 = 0
    while !value.isAtEnd {
      let type = try value.u16(.badPropertyBadLength)
      let length = Int(try value.u16(.badPropertyBadLength))
      guard length >= 4 else { throw .badPropertyBadLength }
      try value.skip(length - 4, .badPropertyBadLength)
      if type < 32 { bits |= 1 << UInt32(type) }
    }
    return bits
  }

  private static func matchFields(_ value: inout WireReader, _ version: OpenFlowVersion) throws(ErrorCode)
    -> [TableFeatures.MatchField]
  {
    var fields: [TableFeatures.MatchField] = []
    while !value.isAtEnd {
      let header = try FieldHeader(&value)
      if let code = header.anyLengthCode(version) {
        fields.append(TableFeatures.MatchField(code.field, isMaskable: header.hasMask))
      } else if header.fieldClass == FieldCode.openFlowBasic {
        throw .badMatchBadField
      }
    }
    return fields
  }

  static func encode(_ table: TableFeatures, _ version: OpenFlowVersion, to writer: inout WireWriter)
    throws(EncodeError)
  {
    let start = writer.count
    writer.u16(0)
    writer.u8(table.table)
    if version == .v15 {
      writer.u8(table.command)
      writer.u32(table.features)
    } else {
      writer.zeros(5)
    }
    writer.text(table.name, 32)
    writer.u64(table.metadataMatch)
    writer.u64(table.metadataWrite)
    writer.u32(version == .v13 ? 0 : table.capabilities)
    writer.u32(table.maximumEntries)
    if table.hasProperties {
      try encodeRules(table.rules, isMiss: false, version, to: &writer)
      if let miss = table.missRules { try encodeRules(miss, isMiss: true, version, to: &writer) }
      try encodeFields(match, table.matchFields, version, to: &writer)
      try encodeFields(wildcards, table.wildcards, version, to: &writer)
      if version > .v13, let tables = table.synchronizedFrom {
        writer.property(synchronizedFrom, exactLength: true) { $0.array(tables) }
      }
    }
    guard writer.count - start <= 0xffff else { throw EncodeError.tooLong }
    writer.patch16(UInt16(truncatingIfNeeded: writer.count - start), at: start)
  }

  private static func encodeRules(
    _ rules: TableFeatures.Rules, isMiss: Bool, _ version: OpenFlowVersion, to writer: inout WireWriter
  ) throws(EncodeError) {
    let miss: UInt16 = isMiss ? 1 : 0
    encodeNumbers(instructions + miss, rules.instructions, entryByteCount: 4, to: &writer)
    writer.property(nextTables + miss, exactLength: true) { $0.array(rules.nextTables) }
    // 1.3's action header has padding, which later versions leave out here.
    let actionByteCount: UInt16 = version == .v13 ? 8 : 4
    encodeNumbers(writeActions + miss, rules.writeActions, entryByteCount: actionByteCount, to: &writer)
    encodeNumbers(applyActions + miss, rules.applyActions, entryByteCount: actionByteCount, to: &writer)
    try encodeFields(writeSetField + miss, rules.writeSetFields, version, to: &writer)
    try encodeFields(applySetField + miss, rules.applySetFields, version, to: &writer)
    if version == .v15 {
      try encodeFields(writeCopyField + miss, rules.writeCopyFields, version, to: &writer)
      try encodeFields(applyCopyField + miss, rules.applyCopyFields, version, to: &writer)
    }
  }

  private static func encodeNumbers(_ type: UInt16, _ bits: UInt32, entryByteCount: UInt16, to writer: inout WireWriter)
  {
    writer.property(type, exactLength: true) {
      for number in 0..<UInt16(32) where bits & 1 << UInt32(number) != 0 {
        $0.u16(number)
        $0.u16(entryByteCount)
        $0.zeros(Int(entryByteCount) - 4)
      }
    }
  }

  private static func encodeFields(
    _ type: UInt16, _ fields: [Field], _ version: OpenFlowVersion, to writer: inout WireWriter
  ) throws(EncodeError) {
    try encodeFields(
      type, fields.map { TableFeatures.MatchField($0, isMaskable: false) }, version, to: &writer)
  }

  private static func encodeFields(
    _ type: UInt16, _ fields: [TableFeatures.MatchField], _ version: OpenFlowVersion, to writer: inout WireWriter
  ) throws(EncodeError) {
    var body = WireWriter()
    for field in fields {
      guard let code = FieldCode.code(field.field, version) else { throw EncodeError.field(field.field) }
      body.fieldHeader(code, hasMask: field.isMaskable)
    }
    writer.property(type, exactLength: true) { $0.array(body.bytes) }
  }
}

extension FieldHeader {
  /// The field, whatever length the header has: as a name it may have the length of a value, or of value and mask.
  func anyLengthCode(_ version: OpenFlowVersion) -> FieldCode? {
    if let experimenter { return FieldCodeTable.code(experimenter: experimenter, number: number) }
    return FieldCodeTable.code(fieldClass: fieldClass, number: number, version: version)
  }
}
