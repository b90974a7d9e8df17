// Reads descriptions of groups (ovs-ofctl(8), "Group Syntax").

import VSwitchCore

/// Which of ovs-ofctl's group commands a description is for.
package enum GroupCommand: String, CaseIterable, Sendable {
  case add
  case modify
  case addOrModify = "add_or_mod"
  case delete
  case insertBuckets = "insert_bucket"
  case removeBuckets = "remove_bucket"
}

extension FlowTextParser {
  /// A group to add, change or delete.
  /// - Parameter command: nil: the text may begin with add, modify, add_or_mod, delete, insert_bucket or remove_bucket.
  package func group(_ text: String, command: GroupCommand? = .add) throws(FlowTextError) -> GroupMod {
    let slice = TextSlice(text)
    guard command == nil else { return try group(slice, command: command ?? .add) }
    let (found, rest) = FlowTextParser.firstWord(slice)
    if let word = found.flatMap({ GroupCommand(rawValue: $0.string) }) { return try group(rest, command: word) }
    return try group(slice, command: .add)
  }

  /// The first word and what lies behind it.
  static func firstWord(_ text: TextSlice) -> (TextSlice?, TextSlice) {
    let trimmed = text.trimmed
    var end = trimmed.lower
    while end < trimmed.upper, trimmed.bytes[end] != UInt8(ascii: ","), !TextSlice.isSpace(trimmed.bytes[end]) {
      end += 1
    }
    return (end > trimmed.lower ? trimmed.from(trimmed.lower, to: end) : nil, text.from(end, to: text.upper))
  }

  func group(_ text: TextSlice, command: GroupCommand) throws(FlowTextError) -> GroupMod {
    var reader = GroupReader(names: names, command: command)
    var pairs = KeyValueReader(text)
    while let pair = try pairs.next() {
      if pair.key.equals("bucket"), pair.delimiter == UInt8(ascii: "=") {
        for bucket in FlowTextParser.buckets(text.from(pair.value.lower, to: text.upper)) {
          try reader.take(bucket: bucket)
        }
        break
      }
      try reader.take(pair)
    }
    return try reader.finish(text)
  }

  /// The texts between one `bucket=` and the next.
  private static func buckets(_ text: TextSlice) -> [TextSlice] {
    var result: [TextSlice] = []
    var start = text.lower
    var i = text.lower
    while i < text.upper {
      let begins = i > text.lower && (text.bytes[i - 1] == UInt8(ascii: ",") || TextSlice.isSpace(text.bytes[i - 1]))
      if begins, text.from(i, to: text.upper).hasPrefix("bucket=") {
        result.append(text.from(start, to: i))
        start = i + 7
        i = start
      } else {
        i += 1
      }
    }
    return result + [text.from(start, to: text.upper)]
  }
}

/// The parts of a group's description.
private struct GroupReader {
  let names: NumberNames
  let command: GroupCommand
  var group = GroupDescription(id: GroupMod.anyGroup, kind: .all)
  var hasID = false
  var hasKind = false
  var position: GroupMod.BucketPosition?
  var selection: GroupMod.BucketSelection?
  var fields = FlowMask()
  var fieldsAt: TextSlice?
  var weightAt: TextSlice?

  init(names: NumberNames, command: GroupCommand) {
    self.names = names
    self.command = command
  }

  var takesKind: Bool { command == .add || command == .modify || command == .addOrModify }

  mutating func take(_ pair: KeyValue) throws(FlowTextError) {
    let value = pair.value
    switch pair.key.string {
    case "group_id":
      hasID = true
      if value.equals("all") {
        guard command == .delete else {
          throw value.error("\"all\" is no group here", remedy: "give the group's number")
        }
        group.id = GroupMod.allGroups
      } else {
        group.id = try value.number("group", in: 0...GroupMod.maximumGroup)
      }
    case "type" where takesKind:
      group.kind = try ActionParser.named(
        value,
        [
          ("all", .all), ("select", .select), ("indirect", .indirect), ("ff", .fastFailover),
          ("fast_failover", .fastFailover),
        ],
        "type of a group")
      hasKind = true
    case "command_bucket_id" where command == .insertBuckets:
      switch value.string {
      case "first": position = .first
      case "last": position = .last
      default: position = .after(try value.number("bucket", in: 0...0xffff_ff00))
      }
    case "command_bucket_id" where command == .removeBuckets:
      switch value.string {
      case "first": selection = .first
      case "last": selection = .last
      case "all": selection = .all
      default: selection = .id(try value.number("bucket", in: 0...0xffff_ff00))
      }
    case "selection_method" where takesKind:
      switch value.string {
      case "hash": group.selectionMethod = .hash(fields: FlowMask())
      case "dp_hash": group.selectionMethod = .dpHash
      case "": group.selectionMethod = .standard
      default: throw value.error("there is no selection method \(value.quoted)", remedy: "give hash or dp_hash")
      }
    case "selection_method_param" where takesKind: group.selectionParameter = try value.number("selection_method_param")
    case "fields" where takesKind:
      fieldsAt = pair.key
      try take(fields: value)
    default:
      throw pair.key.error("a group has no \(pair.key.quoted) here", remedy: "see ovs-ofctl(8), Group Syntax")
    }
  }

  private mutating func take(fields text: TextSlice) throws(FlowTextError) {
    var pairs = KeyValueReader(text)
    while let pair = try pairs.next() {
      let field = try SubfieldText.field(pair.key).field
      var mask = field.fullMask
      if !pair.value.isEmpty { mask = try FieldValueParser(names: names).value(field, pair.value) }
      fields[field] = mask
    }
  }

  mutating func take(bucket text: TextSlice) throws(FlowTextError) {
    guard command != .delete, command != .removeBuckets else {
      throw text.error("a bucket can't stand here", remedy: "leave it out")
    }
    var bucket = GroupDescription.Bucket()
    var isEmpty = true
    var actions = ActionParser(names: names)
    var pairs = KeyValueReader(text)
    while let pair = try pairs.next() {
      let value = pair.value
      let key = pair.key.string
      switch key {
      case "weight":
        bucket.weight = try value.number("weight")
        weightAt = pair.key
      case "watch_port":
        let port = try names.port(value, for: "watch_port")
        bucket.watchPort = port == .any ? nil : port
      case "watch_group":
        let id: UInt32 = try value.number("group")
        guard id <= GroupMod.maximumGroup || id == GroupMod.anyGroup else {
          throw value.error("\(value.quoted) is no group", remedy: "give 0 to \(GroupMod.maximumGroup)")
        }
        bucket.watchGroup = id == GroupMod.anyGroup ? nil : id
      case "bucket_id": bucket.id = try value.number("bucket", in: 0...0xffff_ff00)
      default:
        isEmpty = false
        let isList = key == "actions" || key == "action"
        let word = isList ? value : text.from(pair.key.lower, to: pairs.position)
        bucket.actions += try actions.actions(word, place: .bucketOrPacket)
      }
    }
    guard !isEmpty else { throw text.error("the bucket has no actions", remedy: "add actions=…, as actions=drop") }
    if let id = bucket.id, group.buckets.contains(where: { $0.id == id }) {
      throw text.error("two buckets have the id \(id)", remedy: "give each its own")
    }
    group.buckets.append(bucket)
  }

  mutating func finish(_ text: TextSlice) throws(FlowTextError) -> GroupMod {
    if !hasID {
      guard command == .delete else { throw text.error("the group has no number", remedy: "add group_id=NUMBER") }
      group.id = GroupMod.allGroups
    }
    guard !takesKind || hasKind else {
      throw text.error("the group has no type", remedy: "add type=all, select, indirect or ff")
    }
    if takesKind {
      try checkKind(text)
    } else if command == .insertBuckets, position == nil {
      throw text.error(
        "it is not said where the buckets go", remedy: "add command_bucket_id=first, last or a bucket's id")
    } else if command == .removeBuckets, selection == nil {
      throw text.error(
        "it is not said which bucket goes", remedy: "add command_bucket_id=first, last, all or a bucket's id")
    }
    let change: GroupMod.Command =
      switch command {
      case .add: .add
      case .modify: .modify
      case .addOrModify: .addOrModify
      case .delete: .delete
      case .insertBuckets: .insertBuckets(at: position ?? .last)
      case .removeBuckets: .removeBuckets(selection ?? .all)
      }
    return GroupMod(change, group)
  }

  private mutating func checkKind(_ text: TextSlice) throws(FlowTextError) {
    if group.kind != .select, let weightAt {
      throw weightAt.error("only select groups have weights", remedy: "leave it out, or write type=select")
    }
    if group.kind != .select, group.selectionMethod != .standard {
      throw text.error("only select groups have a selection method", remedy: "leave it out, or write type=select")
    }
    if let fieldsAt {
      guard case .hash = group.selectionMethod else {
        throw fieldsAt.error("fields needs selection_method=hash", remedy: "add it, or leave fields out")
      }
      group.selectionMethod = .hash(fields: fields)
    }
    if group.selectionParameter != 0, group.selectionMethod == .standard {
      throw text.error("selection_method_param needs a selection_method", remedy: "add selection_method=hash")
    }
    if group.kind == .indirect, group.buckets.count != 1 {
      throw text.error("an indirect group has \(group.buckets.count) buckets", remedy: "give exactly one bucket=…")
    }
    if group.kind == .fastFailover {
      for bucket in group.buckets where bucket.watchPort == nil && bucket.watchGroup == nil {
        throw text.error(
          "a bucket of a fast failover group watches nothing", remedy: "add watch_port or watch_group to each")
      }
    }
  }
}
