// One command by OpenFlow: the connection to the bridge's management socket, its names, what is printed, and what is said
// when it fails. Thread: the command's task.

import Glibc
import OVSDB
import OpenFlow
import Transport
import VSwitchCore

/// What a command runs in.
final class FlowSession {
  let options: GlobalOptions
  let connection: ConnectionOptions
  private let renderer: Renderer

  init(_ connection: ConnectionOptions, _ options: GlobalOptions) {
    self.options = options
    self.connection = connection
    renderer = Renderer(options: options.output, isColoured: false)
  }

  /// A target as ovs-ofctl has it, or a bridge's `<run dir>/<bridge>.mgmt`.
  private var endpoint: Endpoint {
    Endpoint(connection.bridge, defaultPort: Endpoint.openFlowPort)
      ?? .unix(path: "\(options.runDirectory)/\(connection.bridge).mgmt")
  }

  // MARK: the connection

  /// Runs `body` on a connection that speaks one of these versions.
  func connected<Result>(
    _ versions: VersionSet? = nil, _ body: (OpenFlowClient) async throws -> Result
  ) async throws -> Result {
    let versions = try versions ?? connection.versions()
    let prepare = try TLSFiles.preparation(options.tlsFiles, for: endpoint)
    let address: OpenFlowClient.Address
    switch endpoint {
    case .unix(let path):
      try checkSocket(path)
      address = .unix(path: path)
    case .tcp(let host, let port), .ssl(let host, let port): address = .tcp(host: host, port: port)
    }
    return try await OpenFlowClient.connected(to: address, versions: versions, prepare: prepare, body)
  }

  private func checkSocket(_ path: String) throws(CommandFault) {
    let bridge = connection.bridge
    guard bridge.hasPrefix("unix:") || !bridge.isEmpty && !bridge.contains("/") else {
      throw CommandFault(
        "\"\(bridge)\" is no name of a bridge", remedy: "give a bridge, or unix:PATH, tcp:HOST:PORT, ssl:HOST:PORT")
    }
    let isMissing = unsafe access(path, F_OK) != 0 && errno == ENOENT
    let hasDaemon = unsafe access("\(options.runDirectory)/vswitchd.pid", F_OK) == 0
    if isMissing, hasDaemon, !connection.bridge.hasPrefix("unix:") {
      throw CommandFault(
        "there is no bridge \"\(connection.bridge)\"", remedy: "see the bridges with vsctl list-br")
    }
    try Reachability.checkSocket(path, options)
  }

  /// The bridge's ports by name.
  func names(_ client: OpenFlowClient) async throws -> NumberNames {
    var ports: [PortNumber: String] = [:]
    try await client.ask(MultipartRequest(.portDescriptions(.any))) { part, _ in
      if case .portDescriptions(let found) = part.body { for port in found { ports[port.number] = port.name } }
    }
    return NumberNames(ports: ports)
  }

  /// One port by its name or number.
  func port(_ text: String, _ client: OpenFlowClient) async throws -> PortDescription {
    var found: [PortDescription] = []
    try await client.ask(MultipartRequest(.portDescriptions(.any))) { part, _ in
      if case .portDescriptions(let ports) = part.body { found += ports }
    }
    let number = Self.number(text)
    if let port = found.first(where: { $0.name == text || $0.number == number }) { return port }
    throw CommandFault(
      "bridge \(connection.bridge) has no port \"\(text)\"",
      remedy: Suggestion.remedy(for: text, among: found.map(\.name), listedAs: "ports"))
  }

  /// A port's number as it is written; nil if it is none.
  static func number(_ text: String) -> PortNumber? {
    if text.uppercased() == "LOCAL" { return .local }
    guard let number = UInt32(text) else { return nil }
    return number < 0x1_0000 ? PortNumber(openFlow10: UInt16(number)) : PortNumber(number)
  }

  // MARK: output

  var wantsJSON: Bool { options.json }

  func print(_ text: String, json: JSONValue? = nil) {
    let kept = TextSafety.escaped(text, keeping: ["\n", "\t"])
    Terminal.print(renderer.text([CommandOutput(body: .text(kept), json: json)]))
  }

  /// Asks, and prints the answer: as text part by part as it comes, as JSON at the end.
  /// - Parameter json: the values of a part.
  func report(
    _ request: MultipartRequest, _ client: OpenFlowClient, names: NumberNames = NumberNames(),
    json: (MultipartReply.Body) -> [JSONValue]
  ) async throws {
    let report = ReplyReport(names: names, version: client.version)
    var values: [JSONValue] = []
    try await client.ask(request) { part, xid in
      if wantsJSON { values += json(part.body) } else { print(report.text(part, xid: xid)) }
    }
    if wantsJSON { print("", json: .array(values)) }
  }

  // MARK: faults

  func fault(_ error: any Error) -> CommandFault {
    switch error {
    case let fault as CommandFault: return fault
    case let error as EncodeError: return CommandFault(error.cause, remedy: error.remedy)
    case OpenFlowClientError.refused(let refusal, _): return Self.fault(refusal, of: "the request")
    case OpenFlowClientError.noCommonVersion(let theirs):
      let names = OpenFlowVersion.allCases.filter { !theirs.isDisjoint(with: VersionSet([$0])) }.map(\.name)
      return CommandFault(
        "the switch speaks none of the versions asked for",
        remedy: names.isEmpty ? "it speaks none that vsctl does" : "it speaks \(names.joined(separator: ", "))")
    case OpenFlowClientError.noHello, OpenFlowClientError.unreadable:
      return CommandFault("\(endpoint) does not speak OpenFlow as it should", remedy: "see what listens there")
    case OpenFlowClientError.closed:
      return CommandFault(
        "the switch closed the connection before it had answered", remedy: "see its log; run the command again")
    case let error as TransportError: return CommandFault("\(error)")
    default: return Reachability.fault(error, endpoint, options)
    }
  }

  /// What the switch refused, in words.
  /// - Parameter what: as a subject of the sentence.
  static func fault(_ refusal: ErrorMessage, of what: String) -> CommandFault {
    switch refusal.reason {
    case .known(let code):
      var meaning = code.meaning
      if meaning.hasSuffix(".") { meaning.removeLast() }
      return CommandFault("the switch refused \(what): \(meaning) (\(code))", remedy: remedy(code))
    case .unknown(_, let type, let code):
      return CommandFault("the switch refused \(what): error \(type)/\(code)", remedy: "see the switch's documentation")
    }
  }

  /// What usually helps.
  private static func remedy(_ code: ErrorCode) -> String {
    switch code {
    case .badActionBadOutGroup, .groupModFailedUnknownGroup: "add the group first (add-group)"
    case .groupModFailedGroupExists: "change it (mod-group), or delete it first (del-groups)"
    case .meterModFailedMeterExists: "change it (mod-meter), or delete it first (del-meters)"
    case .meterModFailedUnknownMeter, .meterModFailedInvalidMeter, .badActionBadMeter: "add the meter first (add-meter)"
    case .flowModFailedOverlap: "choose another priority, or leave check_overlap out"
    case .flowModFailedTableFull: "delete rules first"
    case .flowModFailedBadTableID, .badRequestBadTableID, .badInstructionBadTableID, .tableModFailedBadTable:
      "name a table from 0 to 253"
    case .badRequestBadType, .badRequestBadMultipart, .badRequestBadExperimenter, .badRequestBadExperimenterType,
      .badActionBadType, .badActionBadExperimenter, .badActionBadExperimenterType:
      "this switch can't do it; see Docs/openflow.md"
    case .badRequestIsSlave: "another controller is the primary one: ask there"
    default: "change it"
    }
  }
}
