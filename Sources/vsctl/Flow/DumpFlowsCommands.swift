// dump-flows and dump-aggregate: ovs-ofctl(8).

import ArgumentParser
import OVSDB
import OpenFlow
import VSwitchCore

extension FlowSession {
  /// What a filter means with the bridge's names.
  func filter(_ text: String, _ names: NumberNames) throws(CommandFault) -> FlowStatisticsRequest {
    do throws(FlowTextError) {
      return try FlowTextParser(names: names).filter(text)
    } catch {
      throw FlowInput.fault(error, in: text, at: "")
    }
  }

  /// Rules of the switch.
  func rules(_ request: FlowStatisticsRequest, _ client: OpenFlowClient) async throws -> [FlowStatistics] {
    var found: [FlowStatistics] = []
    try await client.ask(client.version.request(.flows(request))) { part, _ in
      if case .flows(let flows) = part.body { found += flows }
    }
    return found
  }
}

extension OpenFlowVersion {
  /// A question about rules: in 1.0 in the form of Open vSwitch's extension, which knows all fields.
  func request(_ body: MultipartRequest.Body) -> MultipartRequest {
    MultipartRequest(body, form: self == .v10 ? .extension : .standard)
  }
}

struct DumpFlowsCommand: FlowVerb {
  static let configuration = CommandConfiguration(
    commandName: "dump-flows", abstract: "Print flow rules: all, or those that match.",
    discussion: "What is printed can be given to add-flows, replace-flows and diff-flows, here and in ovs-ofctl.")

  @OptionGroup var connection: ConnectionOptions
  @OptionGroup var namesOptions: NamesOptions
  @Flag(inversion: .prefixedNo, help: "Print counters and ages.") var stats = true
  @Option(help: ArgumentHelp("Sort by a field, or by priority (default); may be repeated.", valueName: "field"))
  var sort: [String] = []
  @Option(help: ArgumentHelp("The same, the other way round.", valueName: "field")) var rsort: [String] = []
  @Argument(help: "What the rules match at least; table=, cookie=, out_port=, out_group= too.") var filter: String = ""

  func run(_ session: FlowSession) async throws -> Int32 {
    let order = try FlowOrder(sort, reversed: rsort)
    try await session.connected { client in
      let names = try await session.names(client)
      let request = try session.filter(filter, names)
      try await client.useExtendedRules()
      let shown = namesOptions.showsNames ? names : NumberNames()
      let printer = FlowPrinter(names: shown, version: client.version, showsStatistics: stats)
      if session.wantsJSON {
        let rules = order.sorted(try await session.rules(request, client))
        session.print(
          "", json: .array(rules.map { FlowJSON.value($0, FlowPrinter(names: names, version: client.version)) }))
      } else if order.isNone, !namesOptions.showsNames, stats {
        try await session.report(client.version.request(.flows(request)), client) { _ in [] }
      } else {
        let rules = order.sorted(try await session.rules(request, client))
        session.print(rules.map { " " + printer.line($0) + "\n" }.joined())
      }
    }
    return 0
  }
}

struct DumpAggregateCommand: FlowVerb {
  static let configuration = CommandConfiguration(
    commandName: "dump-aggregate", abstract: "Print the sums of flow rules' counters.")

  @OptionGroup var connection: ConnectionOptions
  @Argument(help: "What the rules match at least.") var filter: String = ""

  func run(_ session: FlowSession) async throws -> Int32 {
    try await session.connected { client in
      let request = try session.filter(filter, try await session.names(client))
      try await client.useExtendedRules()
      try await session.report(client.version.request(.aggregate(request)), client) { body in
        guard case .aggregate(let sum) = body else { return [] }
        return [
          [
            "packets": FlowJSON.number(sum.packetCount), "bytes": FlowJSON.number(sum.byteCount),
            "flows": .integer(Int64(sum.flowCount)),
          ]
        ]
      }
    }
    return 0
  }
}

/// By what rules are sorted.
struct FlowOrder {
  private struct Criterion {
    /// Nil: by priority.
    var field: Field?
    var isReversed: Bool
  }
  private let criteria: [Criterion]

  init(_ names: [String], reversed: [String]) throws(CommandFault) {
    var criteria: [Criterion] = []
    for (name, isReversed) in names.map({ ($0, false) }) + reversed.map({ ($0, true) }) {
      if name == "priority" {
        criteria.append(Criterion(field: nil, isReversed: isReversed))
        continue
      }
      guard let field = FlowTextParser.field(named: name) else {
        throw CommandFault("\(name) is no field to sort by", remedy: "give priority, or a field of ovs-fields(7)")
      }
      criteria.append(Criterion(field: field, isReversed: isReversed))
    }
    // As ovs-ofctl: what is equal goes by priority.
    if !criteria.isEmpty { criteria.append(Criterion(field: nil, isReversed: true)) }
    self.criteria = criteria
  }

  var isNone: Bool { criteria.isEmpty }

  /// Rules that say nothing of a field come last, whichever the direction.
  func sorted(_ rules: [FlowStatistics]) -> [FlowStatistics] {
    guard !isNone else { return rules }
    // Equal ones stay in their order.
    return rules.enumerated().sorted { a, b in
      for criterion in criteria {
        guard let field = criterion.field else {
          let (first, second) = (a.element.priority, b.element.priority)
          if first != second { return (first < second) != criterion.isReversed }
          continue
        }
        let (first, second) = (a.element.match.value(field)?.value, b.element.match.value(field)?.value)
        if first == second { continue }
        guard let first else { return false }
        guard let second else { return true }
        return (first < second) != criterion.isReversed
      }
      return a.offset < b.offset
    }.map(\.element)
  }
}
