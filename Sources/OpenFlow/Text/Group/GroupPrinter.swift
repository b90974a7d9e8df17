// Prints groups as dump-groups and dump-group-stats do.

import VSwitchCore

package struct GroupPrinter {
  var names: NumberNames
  var version: OpenFlowVersion

  package init(names: NumberNames = NumberNames(), version: OpenFlowVersion = .v15) {
    self.names = names
    self.version = version
  }

  /// Buckets have ids in OpenFlow 1.5, and in Nicira's extension to 1.0.
  private var showsBucketIDs: Bool { version == .v10 || version == .v15 }

  /// `group_id=1,type=select,bucket=…`
  package func text(_ group: GroupDescription) -> String {
    "group_id=\(group.id),type=" + GroupPrinter.name(group.kind) + selection(group) + buckets(group)
  }

  package static func name(_ kind: GroupDescription.Kind) -> String {
    switch kind {
    case .all: "all"
    case .select: "select"
    case .indirect: "indirect"
    case .fastFailover: "ff"
    }
  }

  private func selection(_ group: GroupDescription) -> String {
    guard showsBucketIDs else { return "" }
    var text = ""
    var fields = FlowMask()
    switch group.selectionMethod {
    case .standard: return ""
    case .dpHash: text = ",selection_method=dp_hash"
    case .hash(let mask):
      text = ",selection_method=hash"
      fields = mask
    }
    if group.selectionParameter != 0 { text += ",selection_method_param=\(group.selectionParameter)" }
    let parts = GroupPrinter.fields(fields, names: names)
    if parts.count == 1, !parts[0].contains("=") { return text + ",fields=" + parts[0] }
    return parts.isEmpty ? text : text + ",fields(" + parts.joined(separator: ",") + ")"
  }

  /// The fields of a mask, each named once: of several at one place the first.
  static func fields(_ mask: FlowMask, names: NumberNames) -> [String] {
    var rest = mask
    var parts: [String] = []
    for field in fieldOrder where rest[field] != 0 {
      if field == .vlanTCI || field == .innerVLANTCI, rest[field] != field.fullMask { continue }
      let bits = rest[field]
      rest[field] = 0
      let value =
        bits == field.fullMask ? "" : "=" + FieldValuePrinter(names: names).text(field, bits, mask: field.fullMask)
      parts.append(field.name + value)
    }
    return parts
  }

  /// Fields of ARP, ICMP and neighbour discovery lie where those of IP and TCP do, and come last.
  private static let fieldOrder: [Field] = {
    func isLate(_ field: Field) -> Bool {
      switch field.prerequisite {
      case .arp, .icmp, .icmpv6, .neighbourSolicitation, .neighbourAdvertisement: true
      default: false
      }
    }
    return Field.allCases.filter { !isLate($0) } + Field.allCases.filter(isLate)
  }()

  private func buckets(_ group: GroupDescription) -> String {
    group.buckets.enumerated().map { index, bucket in
      var text = ",bucket="
      if showsBucketIDs { text += "bucket_id:\(bucket.id ?? UInt32(index))," }
      if group.kind == .select, bucket.weight != 1 { text += "weight:\(bucket.weight)," }
      if let port = bucket.watchPort { text += "watch_port:" + names.text(port: port) + "," }
      if let watched = bucket.watchGroup { text += "watch_group:\(watched)," }
      return text + "actions=" + ActionPrinter(names: names, version: version).text(bucket.actions)
    }.joined()
  }

  /// What a group mod says, as behind "OFPT_GROUP_MOD (xid=0x1):\n ".
  package func request(_ mod: GroupMod) -> String {
    var position = ""
    let command: String
    switch mod.command {
    case .add: command = "ADD"
    case .modify: command = "MOD"
    case .addOrModify: command = "ADD_OR_MOD"
    case .delete:
      return "DEL group_id=" + (mod.group.id == GroupMod.allGroups ? "all" : "\(mod.group.id)")
    case .insertBuckets(let at):
      command = "INSERT_BUCKET"
      switch at {
      case .first: position = "command_bucket_id:first,"
      case .last: position = "command_bucket_id:last,"
      case .after(let id): position = "command_bucket_id:\(id),"
      }
      return "\(command) \(position)group_id=\(mod.group.id)" + buckets(mod.group)
    case .removeBuckets(let which):
      switch which {
      case .first: position = "first"
      case .last: position = "last"
      case .all: position = "all"
      case .id(let id): position = "\(id)"
      }
      return "REMOVE_BUCKET command_bucket_id:\(position),group_id=\(mod.group.id)"
    }
    return command + " " + text(mod.group)
  }
}

extension GroupPrinter {
  /// A line of dump-group-stats, without the space before it.
  package static func text(_ group: GroupCounters) -> String {
    var text = "group_id=\(group.group),duration=" + FlowPrinter.text(group.duration)
    text += ",ref_count=\(group.referenceCount),packet_count=\(group.packetCount),byte_count=\(group.byteCount)"
    for (index, bucket) in group.buckets.enumerated() {
      text += ",bucket\(index):packet_count=\(bucket.packetCount),byte_count=\(bucket.byteCount)"
    }
    return text
  }
}
