// What a bridge says of itself, its tables and ports, by OpenFlow, and a port's settings: ovs-ofctl(8). ovs-ofctl's `show` is
// called show-features here: `show` is the database's.

import ArgumentParser
import OVSDB
import OpenFlow
import VSwitchCore

struct ShowFeaturesCommand: FlowVerb {
  static let configuration = CommandConfiguration(
    commandName: "show-features", abstract: "Print what a bridge can do, and its ports, as ovs-ofctl show does.")

  @OptionGroup var connection: ConnectionOptions

  func run(_ session: FlowSession) async throws -> Int32 {
    try await session.connected { client in
      let report = ReplyReport(version: client.version)
      let reply = try await client.ask(.featuresRequest)
      guard case .featuresReply(let features) = reply.body else { throw OpenFlowClientError.closed }
      var text = report.text(features, xid: reply.xid)
      var ports: [PortDescription] = []
      try await client.ask(MultipartRequest(.portDescriptions(.any))) { part, xid in
        if client.version > .v10 { text += report.text(part, xid: xid) }
        if case .portDescriptions(let found) = part.body { ports += found }
      }
      let second = try await client.ask(.getConfigRequest)
      guard case .getConfigReply(let configuration) = second.body else { throw OpenFlowClientError.closed }
      text += report.text(configuration, xid: second.xid)
      let digits = String(features.datapathID, radix: 16)
      session.print(
        text,
        json: [
          "version": .string(client.version.name),
          "datapath_id": .string(String(repeating: "0", count: 16 - digits.count) + digits),
          "tables": .integer(Int64(features.tableCount)), "buffers": .integer(Int64(features.bufferCount)),
          "fragments": .string(SwitchReport.name(configuration.fragments)),
          "miss_send_len": .integer(Int64(configuration.missSendByteCount)),
          "ports": .array(ports.map { FlowJSON.value($0) }),
        ])
    }
    return 0
  }
}

struct DumpTablesCommand: FlowVerb {
  static let configuration = CommandConfiguration(
    commandName: "dump-tables", abstract: "Print the flow tables' counters.")

  @OptionGroup var connection: ConnectionOptions

  func run(_ session: FlowSession) async throws -> Int32 {
    try await session.connected { client in
      try await session.report(MultipartRequest(.tables), client) { body in
        guard case .tables(let tables) = body else { return [] }
        return tables.map { FlowJSON.value($0) }
      }
    }
    return 0
  }
}

struct DumpPortsCommand: FlowVerb {
  static let configuration = CommandConfiguration(commandName: "dump-ports", abstract: "Print ports' counters.")

  @OptionGroup var connection: ConnectionOptions
  @OptionGroup var namesOptions: NamesOptions
  @Argument(help: "A port (default: all).", completion: NameCompletion.port) var port: String?

  func run(_ session: FlowSession) async throws -> Int32 {
    try await session.connected { client in
      let names = namesOptions.showsNames ? try await session.names(client) : NumberNames()
      var number = PortNumber.any
      if let port { number = try await session.port(port, client).number }
      try await session.report(MultipartRequest(.ports(number)), client, names: names) { body in
        guard case .ports(let ports) = body else { return [] }
        return ports.map { FlowJSON.value($0) }
      }
    }
    return 0
  }
}

struct DumpPortDescriptionsCommand: FlowVerb {
  static let configuration = CommandConfiguration(
    commandName: "dump-ports-desc", abstract: "Print ports, their settings and their links.")

  @OptionGroup var connection: ConnectionOptions
  @Argument(help: "A port (default: all).", completion: NameCompletion.port) var port: String?

  func run(_ session: FlowSession) async throws -> Int32 {
    try await session.connected { client in
      var number = PortNumber.any
      if let port { number = try await session.port(port, client).number }
      try await session.report(MultipartRequest(.portDescriptions(number)), client) { body in
        guard case .portDescriptions(let ports) = body else { return [] }
        return ports.map { FlowJSON.value($0) }
      }
    }
    return 0
  }
}

struct ModifyPortCommand: FlowVerb {
  static let configuration = CommandConfiguration(
    commandName: "mod-port", abstract: "Change what a port lets through.",
    discussion: """
      ACTION is up or down, or one of stp, receive, receive-stp, flood, forward, packet-in, with no- before it to turn \
      it off.
      """)

  @OptionGroup var connection: ConnectionOptions
  @Argument(completion: NameCompletion.port) var port: String
  @Argument var action: String

  /// The bit that an action sets or clears.
  private static let actions: [(name: String, bit: PortDescription.Configuration, isSet: Bool)] = [
    ("up", .down, false), ("down", .down, true), ("stp", .noSTP, false), ("no-stp", .noSTP, true),
    ("receive", .noReceive, false), ("no-receive", .noReceive, true), ("receive-stp", .noReceiveSTP, false),
    ("no-receive-stp", .noReceiveSTP, true), ("flood", .noFlood, false), ("no-flood", .noFlood, true),
    ("forward", .noForward, false), ("no-forward", .noForward, true), ("packet-in", .noPacketIn, false),
    ("no-packet-in", .noPacketIn, true),
  ]

  func run(_ session: FlowSession) async throws -> Int32 {
    guard let action = Self.actions.first(where: { $0.name == action.lowercased() }) else {
      throw CommandFault(
        "unknown mod-port command '\(action)'",
        remedy: "give one of \(Self.actions.map(\.name).joined(separator: ", "))")
    }
    try await session.connected { client in
      let description = try await session.port(port, client)
      var change = PortMod(port: description.number, hardwareAddress: description.hardwareAddress)
      change.mask = action.bit
      if action.isSet { change.configuration = action.bit }
      try await session.make([FlowChange(body: .portMod(change), text: "\(port) \(self.action)")], client)
    }
    return 0
  }
}

struct GetFragmentsCommand: FlowVerb {
  static let configuration = CommandConfiguration(
    commandName: "get-frags", abstract: "Print what a bridge does with IP fragments.")

  @OptionGroup var connection: ConnectionOptions

  func run(_ session: FlowSession) async throws -> Int32 {
    try await session.connected { client in
      guard case .getConfigReply(let configuration) = try await client.ask(.getConfigRequest).body else {
        throw OpenFlowClientError.closed
      }
      let name = SwitchReport.name(configuration.fragments)
      session.print(name + "\n", json: .string(name))
    }
    return 0
  }
}

struct SetFragmentsCommand: FlowVerb {
  static let configuration = CommandConfiguration(
    commandName: "set-frags", abstract: "Say what a bridge does with IP fragments: normal, drop or nx-match.")

  @OptionGroup var connection: ConnectionOptions
  @Argument var mode: String

  func run(_ session: FlowSession) async throws -> Int32 {
    guard let wanted = SwitchConfiguration.FragmentHandling.allCases.first(where: { SwitchReport.name($0) == mode })
    else {
      throw CommandFault("unknown fragment handling mode \(mode)", remedy: "give normal, drop or nx-match")
    }
    try await session.connected { client in
      guard case .getConfigReply(var configuration) = try await client.ask(.getConfigRequest).body else {
        throw OpenFlowClientError.closed
      }
      guard configuration.fragments != wanted else { return }
      configuration.fragments = wanted
      try await session.make([FlowChange(body: .setConfig(configuration), text: mode)], client)
    }
    return 0
  }
}
