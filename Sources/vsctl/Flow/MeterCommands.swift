// Commands on meters: ovs-ofctl(8), "OpenFlow Switch Meter Table Commands". OpenFlow 1.0 has none.

import ArgumentParser
import OVSDB
import OpenFlow
import VSwitchCore

extension FlowSession {
  static let meterVersions = VersionSet([.v13, .v14, .v15])

  func send(_ text: String, _ command: MeterMod.Command) async throws {
    let input = try FlowInput(argument: text)
    try await change { parser in
      try input.read { line throws(FlowTextError) in try parser.meter(line, command: command) }.map { meter in
        FlowChange(
          body: .meterMod(meter.value), versions: Self.meterVersions, lineNumber: meter.line, text: meter.text)
      }
    }
  }

  /// The number of `1`, `meter=1`, `all`.
  static func meter(_ text: String) throws(CommandFault) -> UInt32 {
    let word = text.hasPrefix("meter=") ? text.dropFirst(6) : text[...]
    switch word {
    case "", "all": return MeterMod.allMeters
    case "controller": return 0xffff_fffe
    case "slowpath": return 0xffff_fffd
    default:
      if let number = UInt32(word), (1...MeterMod.maximumMeter).contains(number) { return number }
      throw CommandFault("\"\(text)\" is no meter", remedy: "give its number, or all")
    }
  }

  func reportMeters(
    _ request: MultipartRequest.Body, _ json: (MultipartReply.Body) -> [JSONValue]
  ) async throws {
    let versions = try connection.versions().intersection(Self.meterVersions)
    guard !versions.isEmpty else {
      throw CommandFault("OpenFlow 1.0 has no meters", remedy: "allow another version (-O OpenFlow13)")
    }
    try await connected(versions) { client in
      try await report(MultipartRequest(request), client, json: json)
    }
  }
}

struct AddMeterCommand: FlowVerb {
  static let configuration = CommandConfiguration(
    commandName: "add-meter", abstract: "Add a meter.",
    discussion: "For example: vsctl add-meter br0 meter=1,kbps,band=type=drop,rate=1000")

  @OptionGroup var connection: ConnectionOptions
  @Argument(help: "The meter as ovs-ofctl(8) writes it; - for standard input.") var meter: String

  func run(_ session: FlowSession) async throws -> Int32 {
    try await session.send(meter, .add)
    return 0
  }
}

struct ModifyMeterCommand: FlowVerb {
  static let configuration = CommandConfiguration(commandName: "mod-meter", abstract: "Change a meter.")

  @OptionGroup var connection: ConnectionOptions
  @Argument(help: "The meter; - for standard input.") var meter: String

  func run(_ session: FlowSession) async throws -> Int32 {
    try await session.send(meter, .modify)
    return 0
  }
}

struct DeleteMetersCommand: FlowVerb {
  static let configuration = CommandConfiguration(
    commandName: "del-meters", abstract: "Delete meters, all or one, and the flow rules that use them.",
    aliases: ["del-meter"])

  @OptionGroup var connection: ConnectionOptions
  @Argument(help: "meter=NUMBER (default: all); - for standard input.") var meter: String = ""

  func run(_ session: FlowSession) async throws -> Int32 {
    try await session.send(meter, .delete)
    return 0
  }
}

struct DumpMetersCommand: FlowVerb {
  static let configuration = CommandConfiguration(
    commandName: "dump-meters", abstract: "Print meters and their bands.", aliases: ["dump-meter"])

  @OptionGroup var connection: ConnectionOptions
  @Argument(help: "A meter's number (default: all).") var meter: String = "all"

  func run(_ session: FlowSession) async throws -> Int32 {
    try await session.reportMeters(.meterDescriptions(try FlowSession.meter(meter))) { body in
      guard case .meterDescriptions(let meters) = body else { return [] }
      return meters.map { FlowJSON.value($0) }
    }
    return 0
  }
}

struct MeterStatisticsCommand: FlowVerb {
  static let configuration = CommandConfiguration(commandName: "meter-stats", abstract: "Print meters' counters.")

  @OptionGroup var connection: ConnectionOptions
  @Argument(help: "A meter's number (default: all).") var meter: String = "all"

  func run(_ session: FlowSession) async throws -> Int32 {
    try await session.reportMeters(.meters(try FlowSession.meter(meter))) { body in
      guard case .meters(let meters) = body else { return [] }
      return meters.map { FlowJSON.value($0) }
    }
    return 0
  }
}

struct MeterFeaturesCommand: FlowVerb {
  static let configuration = CommandConfiguration(
    commandName: "meter-features", abstract: "Print what the meter table can do.")

  @OptionGroup var connection: ConnectionOptions

  func run(_ session: FlowSession) async throws -> Int32 {
    try await session.reportMeters(.meterFeatures) { body in
      guard case .meterFeatures(let features) = body else { return [] }
      return [
        [
          "max_meter": .integer(Int64(features.maximumMeters)), "max_bands": .integer(Int64(features.maximumBands)),
          "max_color": .integer(Int64(features.maximumColors)),
        ]
      ]
    }
    return 0
  }
}
