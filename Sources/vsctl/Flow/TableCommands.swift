// What a bridge says of itself, the settings of its flow tables, its queues: dump-desc, dump-table-desc, mod-table, queue-stats,
// queue-get-config of ovs-ofctl(8); and bundle, changes of several kinds from a file at one step.

import ArgumentParser
import OVSDB
import OpenFlow
import VSwitchCore

struct DumpDescriptionCommand: FlowVerb {
  static let configuration = CommandConfiguration(
    commandName: "dump-desc", abstract: "Print what a bridge says that it is.")

  @OptionGroup var connection: ConnectionOptions

  func run(_ session: FlowSession) async throws -> Int32 {
    try await session.connected { client in
      try await session.report(MultipartRequest(.description), client) { body in
        guard case .description(let description) = body else { return [] }
        return [
          [
            "manufacturer": .string(description.manufacturer), "hardware": .string(description.hardware),
            "software": .string(description.software), "serial_number": .string(description.serialNumber),
            "datapath": .string(description.datapath),
          ]
        ]
      }
    }
    return 0
  }
}

extension FlowSession {
  /// Versions of OpenFlow that know settings of tables.
  func tableVersions(_ what: String) throws(CommandFault) -> VersionSet {
    let known: VersionSet = [VersionSet([.v14]), VersionSet([.v15])]
    let versions = try connection.versions().intersection(known)
    guard versions.isEmpty else { return versions }
    throw CommandFault("\(what) needs OpenFlow 1.4 or later", remedy: "allow it: -O OpenFlow14")
  }
}

struct DumpTableDescriptionsCommand: FlowVerb {
  static let configuration = CommandConfiguration(
    commandName: "dump-table-desc", abstract: "Print the settings of flow tables (OpenFlow 1.4 and later).")

  @OptionGroup var connection: ConnectionOptions

  func run(_ session: FlowSession) async throws -> Int32 {
    try await session.connected(try session.tableVersions("dump-table-desc")) { client in
      try await session.report(MultipartRequest(.tableDescriptions), client) { body in
        guard case .tableDescriptions(let tables) = body else { return [] }
        return tables.map { table in
          [
            "table": .integer(Int64(table.table)), "eviction": .boolean(table.evicts),
            "vacancy_events": .boolean(table.sendsVacancyEvents),
            "free_percent": table.vacancy.map { .integer(Int64($0.currentPercent)) } ?? .null,
          ]
        }
      }
    }
    return 0
  }
}

struct ModifyTableCommand: FlowVerb {
  static let configuration = CommandConfiguration(
    commandName: "mod-table", abstract: "Say what a full flow table does (OpenFlow 1.4 and later).",
    discussion: """
      SETTING is evict or noevict, whether rules with timeouts give way to new ones; vacancy:LOW,HIGH, controllers are \
      told when less than LOW or again more than HIGH percent are free; novacancy. How many rules a table may have says \
      flow_limit of the database's table Flow_Table.
      """)

  @OptionGroup var connection: ConnectionOptions
  @Argument(help: "Its number.") var table: String
  @Argument var setting: String

  func run(_ session: FlowSession) async throws -> Int32 {
    guard let number = UInt8(table), number < 254 else {
      throw CommandFault("\"\(table)\" is no flow table", remedy: "give a number from 0 to 253")
    }
    let change = try Self.change(setting)
    try await session.connected(try session.tableVersions("mod-table")) { client in
      var description = TableDescription(table: number)
      try await client.ask(MultipartRequest(.tableDescriptions)) { part, _ in
        guard case .tableDescriptions(let tables) = part.body else { return }
        if let found = tables.first(where: { $0.table == number }) { description = found }
      }
      change(&description)
      // What is not on is not said.
      description.evictionFlags = nil
      if !description.sendsVacancyEvents { description.vacancy = nil }
      try await session.make([FlowChange(body: .tableMod(description), text: "\(table) \(setting)")], client)
    }
    return 0
  }

  /// What a setting changes about a table.
  static func change(_ setting: String) throws(CommandFault) -> (inout TableDescription) -> Void {
    switch setting {
    case "evict": return { $0.evicts = true }
    case "noevict": return { $0.evicts = false }
    case "novacancy": return { $0.sendsVacancyEvents = false }
    default: break
    }
    guard setting.hasPrefix("vacancy:") else {
      throw CommandFault(
        "\"\(setting)\" is no setting of a table", remedy: "give evict, noevict, vacancy:LOW,HIGH or novacancy")
    }
    let numbers = setting.dropFirst(8).split(separator: ",", omittingEmptySubsequences: false).map { UInt8($0) }
    guard numbers.count == 2, let low = numbers[0], let high = numbers[1], low <= high, high <= 100 else {
      throw CommandFault(
        "\"\(setting)\" names no two percentages, the lower one first", remedy: "write it as vacancy:20,80")
    }
    return { table in
      table.sendsVacancyEvents = true
      table.vacancy = TableDescription.Vacancy(downPercent: low, upPercent: high)
    }
  }
}

// MARK: queues

struct QueueStatisticsCommand: FlowVerb {
  static let configuration = CommandConfiguration(
    commandName: "queue-stats", abstract: "Print queues' counters (this switch has no queues).")

  @OptionGroup var connection: ConnectionOptions
  @Argument(help: "A port, or ALL (default).", completion: NameCompletion.port) var port: String?
  @Argument(help: "A queue's number, or ALL (default).") var queue: String?

  func run(_ session: FlowSession) async throws -> Int32 {
    let number = try QueueSelection.queue(queue)
    try await session.connected { client in
      let port = try await QueueSelection.port(port, session, client)
      try await session.report(MultipartRequest(.queues(port: port, queue: number)), client) { body in
        guard case .queues(let queues) = body else { return [] }
        return queues.map { queue in
          [
            "port": .integer(Int64(queue.port.rawValue)), "queue": .integer(Int64(queue.queue)),
            "tx_bytes": .integer(Int64(clamping: queue.txBytes)),
            "tx_packets": .integer(Int64(clamping: queue.txPackets)),
            "tx_errors": .integer(Int64(clamping: queue.txErrors)),
          ]
        }
      }
    }
    return 0
  }
}

struct QueueConfigurationCommand: FlowVerb {
  static let configuration = CommandConfiguration(
    commandName: "queue-get-config", abstract: "Print queues' settings (this switch has no queues).")

  @OptionGroup var connection: ConnectionOptions
  @Argument(help: "A port, or ANY (default).", completion: NameCompletion.port) var port: String?
  @Argument(help: "A queue's number, or ANY (default); from OpenFlow 1.4 on.") var queue: String?

  func run(_ session: FlowSession) async throws -> Int32 {
    let number = try QueueSelection.queue(queue)
    try await session.connected { client in
      if client.version == .v10, QueueSelection.isAll(port ?? "ALL") {
        // 1.0 has no word for all ports.
        guard case .featuresReply(let features) = try await client.ask(.featuresRequest).body else {
          throw OpenFlowClientError.closed
        }
        for port in features.ports.map(\.number) where port != .local {
          try await Self.ask(port, session, client)
        }
        return
      }
      let port = try await QueueSelection.port(port, session, client)
      guard client.version < .v14 else {
        try await session.report(MultipartRequest(.queueDescriptions(port: port, queue: number)), client) { body in
          guard case .queueDescriptions(let queues) = body else { return [] }
          return queues.map(Self.json)
        }
        return
      }
      try await Self.ask(port, session, client)
    }
    return 0
  }

  /// Up to 1.3.
  private static func ask(_ port: PortNumber, _ session: FlowSession, _ client: OpenFlowClient) async throws {
    let reply = try await client.ask(.queueConfigRequest(port))
    guard case .queueConfigReply(_, let queues) = reply.body else { throw OpenFlowClientError.closed }
    session.print(
      ReplyReport(version: client.version).text(queues: queues, xid: reply.xid), json: .array(queues.map(Self.json)))
  }

  private static func json(_ queue: QueueDescription) -> JSONValue {
    var values: [String: JSONValue] = [
      "port": .integer(Int64(queue.port.rawValue)), "queue": .integer(Int64(queue.queue)),
    ]
    // In percent of the port's rate.
    if let rate = queue.minimumRate { values["min_rate"] = .real(Double(rate) / 10) }
    if let rate = queue.maximumRate { values["max_rate"] = .real(Double(rate) / 10) }
    return .object(values)
  }
}

/// Which queues a command is about.
private enum QueueSelection {
  static func isAll(_ text: String) -> Bool { ["ALL", "ANY"].contains(text.uppercased()) }

  static func queue(_ text: String?) throws(CommandFault) -> UInt32 {
    guard let text, !isAll(text) else { return MultipartRequest.allQueues }
    guard let number = UInt32(text) else {
      throw CommandFault("\"\(text)\" is no queue", remedy: "give its number, or ALL")
    }
    return number
  }

  static func port(_ text: String?, _ session: FlowSession, _ client: OpenFlowClient) async throws -> PortNumber {
    guard let text, !isAll(text) else { return client.version == .v10 ? .all : .any }
    return try await session.port(text, client).number
  }
}

// MARK: bundles

struct BundleCommand: FlowVerb {
  static let configuration = CommandConfiguration(
    commandName: "bundle", abstract: "Make changes of rules and groups, and send packets, all at one step or none.",
    discussion: "A line begins with flow, group or packet-out, for flows and groups with a command behind: flow add …")

  @OptionGroup var connection: ConnectionOptions
  @Argument(help: "A file; - for standard input.", completion: .file()) var file: String

  func run(_ session: FlowSession) async throws -> Int32 {
    let input = try FlowInput(file: file)
    try await session.change(wantsBundle: true) { parser in
      try input.read { line throws(FlowTextError) in try parser.bundleEntry(line) }.map { entry in
        switch entry.value {
        case .flow(let flow):
          FlowChange(
            body: .flowMod(flow.mod), versions: flow.versions, namesTable: flow.namesTable, lineNumber: entry.line,
            text: entry.text)
        case .group(let group): FlowChange(body: .groupMod(group), lineNumber: entry.line, text: entry.text)
        case .packetOut(let packet): FlowChange(body: .packetOut(packet), lineNumber: entry.line, text: entry.text)
        }
      }
    }
    return 0
  }
}
