// replace-flows and diff-flows: ovs-ofctl(8).

import ArgumentParser
import Glibc
import OVSDB
import OpenFlow
import Transport
import VSwitchCore

extension FlowSession {
  /// The rules of a file, and in which versions they can be said.
  func rules(_ input: FlowInput, _ parser: FlowTextParser) throws(CommandFault) -> ([FlowStatistics], VersionSet) {
    var versions = parser.versions
    let rules = try input.read { line throws(FlowTextError) in try parser.flow(line, command: .add) }.map { flow in
      versions.formIntersection(flow.value.versions)
      return FlowStatistics(flow.value.mod)
    }
    guard !versions.isEmpty else {
      throw CommandFault(
        "no version of OpenFlow that may be spoken has all of these rules", remedy: "allow others (-O)")
    }
    return (rules, versions)
  }
}

struct ReplaceFlowsCommand: FlowVerb {
  static let configuration = CommandConfiguration(
    commandName: "replace-flows", abstract: "Make a bridge's flow rules those of a file; counters of equal ones stay.")

  @OptionGroup var connection: ConnectionOptions
  @OptionGroup var options: BundleOption
  @Argument(help: "A file; - for standard input.", completion: .file()) var file: String

  func run(_ session: FlowSession) async throws -> Int32 {
    let input = try FlowInput(file: file)
    var allowed = try connection.versions()
    if options.bundle {
      allowed = allowed == VersionSet([.v10]) ? VersionSet([.v14]) : allowed.subtracting(VersionSet([.v10]))
    }
    // The version has to fit the rules, whose names the switch knows: a second connection, if it does not.
    for _ in 0..<2 {
      let usable: VersionSet? = try await session.connected(allowed) { client in
        let parser = FlowTextParser(names: try await session.names(client), versions: allowed)
        let (rules, versions) = try session.rules(input, parser)
        guard !versions.isDisjoint(with: VersionSet([client.version])) else { return versions }
        try await client.useExtendedRules()
        var difference = FlowTableDifference(client.version)
        difference.add(first: try await session.rules(FlowStatisticsRequest(), client))
        difference.add(second: rules)
        let printer = FlowPrinter(version: client.version)
        let changes = difference.changes.map { FlowChange(body: .flowMod($0), text: printer.request($0)) }
        try await session.make(changes, client)
        return nil
      }
      guard let usable else { return 0 }
      allowed = usable
    }
    return 0
  }
}

struct DiffFlowsCommand: FlowVerb {
  static let configuration = CommandConfiguration(
    commandName: "diff-flows", abstract: "Print how flow rules of two bridges or files differ.",
    discussion: """
      One of the sources is a bridge or a socket (unix:PATH), the other one such, or a file. "-" stands before what only \
      the first has, "+" before what only the second has. Exit status: 2 if there is any.
      """)

  @OptionGroup var connection: ConnectionOptions
  @OptionGroup var namesOptions: NamesOptions
  @Argument(help: "A file, or another bridge.", completion: .file()) var other: String

  private static func isSwitch(_ source: String, _ options: GlobalOptions) -> Bool {
    if Endpoint(source, defaultPort: Endpoint.openFlowPort) != nil { return true }
    guard !source.contains("/"), source != "-" else { return false }
    return unsafe access("\(options.runDirectory)/\(source).mgmt", F_OK) == 0
  }

  func run(_ session: FlowSession) async throws -> Int32 {
    let options = session.options
    // Names are those of the bridge; two files have none.
    let isFirst = Self.isSwitch(connection.bridge, options)
    let isSecond = Self.isSwitch(other, options)
    guard isFirst || isSecond else {
      let version = try connection.versions().highest ?? .v15
      let parser = FlowTextParser(versions: try connection.versions())
      var difference = FlowTableDifference(version)
      difference.add(first: try session.rules(try FlowInput(file: connection.bridge), parser).0)
      difference.add(second: try session.rules(try FlowInput(file: other), parser).0)
      return show(difference, NumberNames(), version, session)
    }
    var place = connection
    place.bridge = isFirst ? connection.bridge : other
    let bridge = FlowSession(place, options)
    var allowed = try connection.versions()
    for _ in 0..<3 {
      let (status, usable): (Int32, VersionSet) = try await bridge.connected(allowed) { client in
        let names = try await bridge.names(client)
        try await client.useExtendedRules()
        let own = try await bridge.rules(FlowStatisticsRequest(), client)
        let theirs: [FlowStatistics]
        if isFirst && isSecond {
          var place = connection
          place.bridge = other
          let session = FlowSession(place, options)
          theirs = try await session.connected(VersionSet([client.version])) { client in
            try await client.useExtendedRules()
            return try await session.rules(FlowStatisticsRequest(), client)
          }
        } else {
          let parser = FlowTextParser(names: names, versions: allowed)
          let (rules, versions) = try bridge.rules(try FlowInput(file: isFirst ? other : connection.bridge), parser)
          guard !versions.isDisjoint(with: VersionSet([client.version])) else { return (0, versions) }
          theirs = rules
        }
        var difference = FlowTableDifference(client.version)
        difference.add(first: isFirst ? own : theirs)
        difference.add(second: isFirst ? theirs : own)
        return (show(difference, namesOptions.showsNames ? names : NumberNames(), client.version, session), [])
      }
      if usable.isEmpty { return status }
      allowed = usable
    }
    return 0
  }

  private func show(
    _ difference: FlowTableDifference, _ names: NumberNames, _ version: OpenFlowVersion, _ session: FlowSession
  ) -> Int32 {
    let printer = FlowPrinter(names: names, version: version)
    var text = ""
    var only: [String: [JSONValue]] = ["first": [], "second": []]
    for pair in difference.differences {
      if let rule = pair.first { text += "-" + printer.difference(rule) + "\n" }
      if let rule = pair.second { text += "+" + printer.difference(rule) + "\n" }
      for (name, rule) in [("first", pair.first), ("second", pair.second)] {
        if let rule { only[name, default: []].append(.string(printer.difference(rule))) }
      }
    }
    session.print(text, json: .object(only.mapValues(JSONValue.array)))
    return text.isEmpty ? 0 : 2
  }
}
