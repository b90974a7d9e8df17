// Commands on groups: ovs-ofctl(8), "Group Table Commands".

import ArgumentParser
import OVSDB
import OpenFlow
import VSwitchCore

extension FlowSession {
  /// Sends the groups of an input.
  /// - Parameter command: of each; nil: lines may begin with theirs.
  func send(groups input: FlowInput, _ command: GroupCommand?, wantsBundle: Bool) async throws {
    try await change(wantsBundle: wantsBundle) { parser in
      try input.read { line throws(FlowTextError) in try parser.group(line, command: command) }.map { group in
        var versions = VersionSet.all
        switch group.value.command {
        case .insertBuckets, .removeBuckets: versions = VersionSet([.v10, .v15])
        case .add, .modify, .addOrModify, .delete: break
        }
        return FlowChange(
          body: .groupMod(group.value), versions: versions, lineNumber: group.line, text: group.text)
      }
    }
  }

  /// The number of `1`, `group_id=1`, `all`.
  static func group(_ text: String) throws(CommandFault) -> UInt32 {
    let word = text.hasPrefix("group_id=") ? text.dropFirst(9) : text[...]
    if word.isEmpty || word == "all" { return GroupMod.allGroups }
    if let number = UInt32(word), number <= GroupMod.maximumGroup { return number }
    throw CommandFault("\"\(text)\" is no group", remedy: "give its number, or all")
  }
}

struct AddGroupCommand: FlowVerb {
  static let configuration = CommandConfiguration(
    commandName: "add-group", abstract: "Add a group.",
    discussion:
      "For example: vsctl add-group br0 group_id=1,type=select,bucket=actions=output:p1,bucket=actions=output:p2")

  @OptionGroup var connection: ConnectionOptions
  @OptionGroup var options: BundleOption
  @Argument(help: "The group as ovs-ofctl(8) writes it; - for standard input.") var group: String

  func run(_ session: FlowSession) async throws -> Int32 {
    try await session.send(groups: try FlowInput(argument: group), .add, wantsBundle: options.bundle)
    return 0
  }
}

struct AddGroupsCommand: FlowVerb {
  static let configuration = CommandConfiguration(
    commandName: "add-groups", abstract: "Add groups from a file, one in a line.",
    discussion: "A line may begin with add, modify, add_or_mod, delete, insert_bucket or remove_bucket.")

  @OptionGroup var connection: ConnectionOptions
  @OptionGroup var options: BundleOption
  @Argument(help: "A file; - for standard input.", completion: .file()) var file: String

  func run(_ session: FlowSession) async throws -> Int32 {
    try await session.send(groups: try FlowInput(file: file), nil, wantsBundle: options.bundle)
    return 0
  }
}

struct ModifyGroupCommand: FlowVerb {
  static let configuration = CommandConfiguration(commandName: "mod-group", abstract: "Change a group.")

  @OptionGroup var connection: ConnectionOptions
  @OptionGroup var options: BundleOption
  @Flag(help: "Add the group if there is none.") var mayCreate = false
  @Argument(help: "The group; - for standard input.") var group: String

  func run(_ session: FlowSession) async throws -> Int32 {
    try await session.send(
      groups: try FlowInput(argument: group), mayCreate ? .addOrModify : .modify, wantsBundle: options.bundle)
    return 0
  }
}

struct DeleteGroupsCommand: FlowVerb {
  static let configuration = CommandConfiguration(
    commandName: "del-groups", abstract: "Delete groups, all or one, and the flow rules that use them.")

  @OptionGroup var connection: ConnectionOptions
  @OptionGroup var options: BundleOption
  @Argument(help: "group_id=NUMBER (default: all); - for standard input.") var group: String = ""

  func run(_ session: FlowSession) async throws -> Int32 {
    try await session.send(groups: try FlowInput(argument: group), .delete, wantsBundle: options.bundle)
    return 0
  }
}

struct InsertBucketsCommand: FlowVerb {
  static let configuration = CommandConfiguration(
    commandName: "insert-buckets", abstract: "Insert buckets into a group.",
    discussion:
      "For example: vsctl insert-buckets br0 group_id=1,command_bucket_id=last,bucket=bucket_id:7,actions=output:p3")

  @OptionGroup var connection: ConnectionOptions
  @Argument(help: "The group, the place and the buckets; - for standard input.") var group: String

  func run(_ session: FlowSession) async throws -> Int32 {
    try await session.send(groups: try FlowInput(argument: group), .insertBuckets, wantsBundle: false)
    return 0
  }
}

struct RemoveBucketsCommand: FlowVerb {
  static let configuration = CommandConfiguration(
    commandName: "remove-buckets", abstract: "Remove buckets of a group.",
    discussion: "For example: vsctl remove-buckets br0 group_id=1,command_bucket_id=7")

  @OptionGroup var connection: ConnectionOptions
  @Argument(help: "The group and which bucket; - for standard input.") var group: String

  func run(_ session: FlowSession) async throws -> Int32 {
    try await session.send(groups: try FlowInput(argument: group), .removeBuckets, wantsBundle: false)
    return 0
  }
}

struct DumpGroupsCommand: FlowVerb {
  static let configuration = CommandConfiguration(
    commandName: "dump-groups", abstract: "Print groups and their buckets.", aliases: ["dump-group-desc"])

  @OptionGroup var connection: ConnectionOptions
  @OptionGroup var namesOptions: NamesOptions
  @Argument(help: "A group's number (default: all).") var group: String = "all"

  func run(_ session: FlowSession) async throws -> Int32 {
    let id = try FlowSession.group(group)
    try await session.connected { client in
      let names = namesOptions.showsNames || session.wantsJSON ? try await session.names(client) : NumberNames()
      try await session.report(MultipartRequest(.groupDescriptions(id)), client, names: names) { body in
        guard case .groupDescriptions(let groups) = body else { return [] }
        return groups.map { FlowJSON.value($0, names, client.version) }
      }
    }
    return 0
  }
}

struct DumpGroupStatisticsCommand: FlowVerb {
  static let configuration = CommandConfiguration(
    commandName: "dump-group-stats", abstract: "Print groups' counters.")

  @OptionGroup var connection: ConnectionOptions
  @Argument(help: "A group's number (default: all).") var group: String = "all"

  func run(_ session: FlowSession) async throws -> Int32 {
    let id = try FlowSession.group(group)
    try await session.connected { client in
      try await session.report(MultipartRequest(.groups(id)), client) { body in
        guard case .groups(let groups) = body else { return [] }
        return groups.map { FlowJSON.value($0) }
      }
    }
    return 0
  }
}

struct DumpGroupFeaturesCommand: FlowVerb {
  static let configuration = CommandConfiguration(
    commandName: "dump-group-features", abstract: "Print what the group table can do.")

  @OptionGroup var connection: ConnectionOptions

  func run(_ session: FlowSession) async throws -> Int32 {
    try await session.connected { client in
      try await session.report(MultipartRequest(.groupFeatures), client) { body in
        guard case .groupFeatures(let features) = body else { return [] }
        let kinds = [
          ("all", features.all), ("select", features.select), ("indirect", features.indirect),
          ("fast_failover", features.fastFailover),
        ]
        return kinds.compactMap { name, kind in
          kind.map { ["type": .string(name), "max_groups": .integer(Int64($0.maximumGroups))] }
        }
      }
    }
    return 0
  }
}
