// Groups: 1.3 and 1.4 have fixed buckets, 1.5 has bucket ids and properties; Open vSwitch's form for 1.0 is 1.5's
// (1.3 §7.3.4.2, 1.5 §7.3.4.4, NXT_GROUP_MOD). Selection methods are Open vSwitch's extension (vendor 0x0000154d).

import VSwitchCore

enum GroupCodec {
  private static let bucketFirst: UInt32 = 0xffff_fffd
  private static let bucketLast: UInt32 = 0xffff_fffe
  private static let bucketAll: UInt32 = 0xffff_ffff
  private static let addOrModify: UInt16 = 0x8000

  // MARK: changes

  static func decodeMod(_ reader: inout WireReader, _ version: OpenFlowVersion) throws(ErrorCode) -> GroupMod {
    guard reader.remaining % 8 == 0 else { throw .badRequestBadLength }
    let commandNumber = try reader.u16()
    let kindNumber = try reader.u8()
    try reader.skip(1)
    let id = try reader.u32()
    let hasProperties = version == .v10 || version == .v15
    var bucketsByteCount = reader.remaining
    var commandBucket = bucketAll
    if hasProperties {
      bucketsByteCount = Int(try reader.u16())
      try reader.skip(2)
      commandBucket = try reader.u32()
    }
    let command = try command(commandNumber, commandBucket, hasBucketCommands: hasProperties)
    guard let kind = GroupDescription.Kind(rawValue: kindNumber) else { throw .groupModFailedBadType }
    var group = GroupDescription(id: id, kind: kind)
    var buckets = try reader.part(bucketsByteCount, .groupModFailedBadBucket)
    while !buckets.isAtEnd { group.buckets.append(try decodeBucket(&buckets, version, kind, command)) }
    if hasProperties { try decodeProperties(&reader, version, &group) }
    let mod = GroupMod(command, group)
    guard mod.describesGroup || group.selectionMethod == .standard && group.selectionParameter == 0 else {
      throw .badPropertyBadValue
    }
    try check(mod)
    return mod
  }

  private static func command(_ number: UInt16, _ bucket: UInt32, hasBucketCommands: Bool) throws(ErrorCode)
    -> GroupMod.Command
  {
    switch number {
    case 0: return .add
    case 1: return .modify
    case 2: return .delete
    case addOrModify: return .addOrModify
    case 3 where hasBucketCommands:
      switch bucket {
      case bucketFirst: return .insertBuckets(at: .first)
      case bucketLast: return .insertBuckets(at: .last)
      case ...GroupMod.maximumGroup: return .insertBuckets(at: .after(bucket))
      default: throw .groupModFailedUnknownBucket
      }
    case 5 where hasBucketCommands:
      switch bucket {
      case bucketFirst: return .removeBuckets(.first)
      case bucketLast: return .removeBuckets(.last)
      case bucketAll: return .removeBuckets(.all)
      case ...GroupMod.maximumGroup: return .removeBuckets(.id(bucket))
      default: throw .groupModFailedUnknownBucket
      }
    default: throw .groupModFailedBadCommand
    }
  }

  /// What needs no look at the groups there are.
  private static func check(_ mod: GroupMod) throws(ErrorCode) {
    let group = mod.group
    switch mod.command {
    case .delete:
      guard group.id <= GroupMod.maximumGroup || group.id == GroupMod.allGroups, group.buckets.isEmpty else {
        throw .groupModFailedInvalidGroup
      }
      return
    case .removeBuckets:
      guard group.id <= GroupMod.maximumGroup, group.buckets.isEmpty else { throw .groupModFailedInvalidGroup }
      return
    case .add, .modify, .addOrModify, .insertBuckets:
      guard group.id <= GroupMod.maximumGroup else { throw .groupModFailedInvalidGroup }
    }
    var ids: Set<UInt32> = []
    for case let id? in group.buckets.map(\.id) {
      guard ids.insert(id).inserted else { throw .groupModFailedBucketExists }
    }
    if case .insertBuckets = mod.command { return }
    guard group.kind != .indirect || group.buckets.count == 1 else { throw .groupModFailedInvalidGroup }
    for bucket in group.buckets {
      let isWatching = bucket.watchPort != nil || bucket.watchGroup != nil
      switch group.kind {
      case .all, .indirect: if isWatching { throw .groupModFailedWatchUnsupported }
      case .select: break
      case .fastFailover: if !isWatching { throw .groupModFailedInvalidGroup }
      }
    }
  }

  static func encode(_ mod: GroupMod, _ version: OpenFlowVersion, to writer: inout WireWriter) throws(EncodeError) {
    let hasProperties = version == .v10 || version == .v15
    let (command, bucket) = number(mod.command)
    guard hasProperties || command < 3 || command == addOrModify else {
      throw EncodeError.version("change of a group's single buckets", version, needs: .v15)
    }
    writer.u16(command)
    writer.u8(mod.group.kind.rawValue)
    writer.zeros(1)
    writer.u32(mod.group.id)
    let lengthAt = writer.count
    if hasProperties {
      writer.zeros(4)
      writer.u32(bucket)
    }
    let start = writer.count
    for bucket in numbered(mod.group.buckets) { try encodeBucket(bucket, version, mod.group.kind, to: &writer) }
    guard writer.count - start <= 0xffff else { throw EncodeError.tooLong }
    if hasProperties {
      writer.patch16(UInt16(truncatingIfNeeded: writer.count - start), at: lengthAt)
      if mod.describesGroup { try encodeProperties(mod.group, version, to: &writer) }
    }
  }

  /// Gives buckets that have no id the lowest ones that none has.
  private static func numbered(_ buckets: [GroupDescription.Bucket]) -> [GroupDescription.Bucket] {
    var used = Set(buckets.compactMap(\.id))
    guard used.count < buckets.count else { return buckets }
    var next: UInt32 = 0
    return buckets.map { bucket in
      var bucket = bucket
      if bucket.id == nil {
        while !used.insert(next).inserted { next += 1 }
        bucket.id = next
      }
      return bucket
    }
  }

  private static func number(_ command: GroupMod.Command) -> (command: UInt16, bucket: UInt32) {
    switch command {
    case .add: (0, bucketAll)
    case .modify: (1, bucketAll)
    case .delete: (2, bucketAll)
    case .addOrModify: (addOrModify, bucketAll)
    case .insertBuckets(.first): (3, bucketFirst)
    case .insertBuckets(.last): (3, bucketLast)
    case .insertBuckets(.after(let id)): (3, id)
    case .removeBuckets(.first): (5, bucketFirst)
    case .removeBuckets(.last): (5, bucketLast)
    case .removeBuckets(.all): (5, bucketAll)
    case .removeBuckets(.id(let id)): (5, id)
    }
  }

  // MARK: buckets

  private static func decodeBucket(
    _ reader: inout WireReader, _ version: OpenFlowVersion, _ kind: GroupDescription.Kind, _ command: GroupMod.Command?
  ) throws(ErrorCode) -> GroupDescription.Bucket {
    let length = Int(try reader.u16(.groupModFailedBadBucket))
    guard length >= 8, length % 8 == 0 else { throw .groupModFailedBadBucket }
    var body = try reader.part(length - 2, .groupModFailedBadBucket)
    var bucket = GroupDescription.Bucket()
    var weight: UInt16 = 0
    var decoder = ActionDecoder(version)
    if version == .v13 || version == .v14 {
      weight = try body.u16(.groupModFailedBadBucket)
      let port = PortNumber(try body.u32(.groupModFailedBadBucket))
      let group = try body.u32(.groupModFailedBadBucket)
      try body.skip(4, .groupModFailedBadBucket)
      bucket.watchPort = port == .any ? nil : port
      bucket.watchGroup = group == GroupMod.anyGroup ? nil : group
      bucket.actions = try decoder.list(&body)
      if kind == .select { bucket.weight = weight }
    } else {
      let actionsByteCount = Int(try body.u16(.groupModFailedBadBucket))
      bucket.id = try body.u32(.groupModFailedBadBucket)
      guard let id = bucket.id, id <= GroupMod.maximumGroup else { throw .groupModFailedBadBucket }
      var actions = try body.part(actionsByteCount, .groupModFailedBadBucket)
      bucket.actions = try decoder.list(&actions)
      while !body.isAtEnd {
        var type: UInt16 = 0
        var value = try body.property(&type)
        switch type {
        case 0:
          weight = try value.u16(.badPropertyBadLength)
          bucket.weight = weight
        case 1: bucket.watchPort = PortNumber(try value.u32(.badPropertyBadLength))
        case 2: bucket.watchGroup = try value.u32(.badPropertyBadLength)
        case 0xffff: throw .badPropertyBadExperimenter
        default: throw .badPropertyBadType
        }
      }
      if bucket.watchPort == .any { bucket.watchPort = nil }
      if bucket.watchGroup == GroupMod.anyGroup { bucket.watchGroup = nil }
    }
    guard decoder.metadata == nil else { throw .badActionBadType }
    if case .insertBuckets? = command { return bucket }
    guard weight == 0 || kind == .select || command == nil else { throw .groupModFailedInvalidGroup }
    if kind != .select { bucket.weight = 1 }
    return bucket
  }

  private static func encodeBucket(
    _ bucket: GroupDescription.Bucket, _ version: OpenFlowVersion, _ kind: GroupDescription.Kind,
    to writer: inout WireWriter
  ) throws(EncodeError) {
    let start = writer.count
    writer.u16(0)
    if version == .v13 || version == .v14 {
      writer.u16(kind == .select ? bucket.weight : 0)
      writer.u32((bucket.watchPort ?? .any).rawValue)
      writer.u32(bucket.watchGroup ?? GroupMod.anyGroup)
      writer.zeros(4)
      try ActionEncoder.write(bucket.actions, version, to: &writer)
    } else {
      writer.u16(0)
      writer.u32(bucket.id ?? 0)
      let actionsStart = writer.count
      try ActionEncoder.write(bucket.actions, version, to: &writer)
      writer.patch16(UInt16(truncatingIfNeeded: writer.count - actionsStart), at: start + 2)
      if kind == .select || bucket.weight != 1 { writer.property(0) { $0.u16(bucket.weight) } }
      if let port = bucket.watchPort { writer.property(1) { $0.u32(port.rawValue) } }
      if let group = bucket.watchGroup { writer.property(2) { $0.u32(group) } }
    }
    guard writer.count - start <= 0xffff else { throw EncodeError.tooLong }
    writer.patch16(UInt16(truncatingIfNeeded: writer.count - start), at: start)
  }

  // MARK: descriptions

  static func decodeDescription(_ reader: inout WireReader, _ version: OpenFlowVersion) throws(ErrorCode)
    -> GroupDescription
  {
    let length = Int(try reader.u16())
    var entry = try reader.part(length - 2)
    guard let kind = GroupDescription.Kind(rawValue: try entry.u8()) else { throw .groupModFailedBadType }
    try entry.skip(1)
    var group = GroupDescription(id: try entry.u32(), kind: kind)
    let hasProperties = version == .v10 || version == .v15
    var bucketsByteCount = entry.remaining
    if hasProperties {
      bucketsByteCount = Int(try entry.u16())
      try entry.skip(6)
    }
    var buckets = try entry.part(bucketsByteCount, .groupModFailedBadBucket)
    while !buckets.isAtEnd { group.buckets.append(try decodeBucket(&buckets, version, kind, nil)) }
    if hasProperties { try decodeProperties(&entry, version, &group) }
    return group
  }

  static func encodeDescription(_ group: GroupDescription, _ version: OpenFlowVersion, to writer: inout WireWriter)
    throws(EncodeError)
  {
    let start = writer.count
    writer.u16(0)
    writer.u8(group.kind.rawValue)
    writer.zeros(1)
    writer.u32(group.id)
    let hasProperties = version == .v10 || version == .v15
    let lengthAt = writer.count
    if hasProperties { writer.zeros(8) }
    let bucketsStart = writer.count
    for bucket in group.buckets { try encodeBucket(bucket, version, group.kind, to: &writer) }
    if hasProperties {
      writer.patch16(UInt16(truncatingIfNeeded: writer.count - bucketsStart), at: lengthAt)
      try encodeProperties(group, version, to: &writer)
    }
    guard writer.count - start <= 0xffff else { throw EncodeError.tooLong }
    writer.patch16(UInt16(truncatingIfNeeded: writer.count - start), at: start)
  }
}

extension GroupMod {
  /// Whether it says what the whole group is to be.
  var describesGroup: Bool {
    switch command {
    case .add, .modify, .addOrModify: true
    case .delete, .insertBuckets, .removeBuckets: false
    }
  }
}
