// A command of the control socket: name, arguments, and what it does. The socket speaks the protocol of ovs-appctl
// (JSON-RPC, parameters are strings): by default the result is text for people; where the first parameter is `--json`
// it is structured.

import OVSDB
import VSwitchCore

/// Why a command failed: the text that the caller shows.
struct ControlError: Error, Equatable {
  var text: String

  init(_ text: String) { self.text = text }
  init(_ error: ConfigError) { text = error.description }
}

/// What a command gives.
enum ControlResult: Sendable {
  case text(String)
  case json(JSONValue)

  var value: JSONValue {
    switch self {
    case .text(let text): .string(text)
    case .json(let value): value
    }
  }
}

/// The parameters of one call, `--json` taken away.
struct ControlCall: Sendable, Equatable {
  var arguments: [String]
  var wantsJSON: Bool
}

/// A command.
struct ControlCommand: Sendable {
  let name: String
  /// As `list-commands` shows them.
  let usage: String
  /// How many arguments it takes, `--json` not counted.
  let argumentCount: ClosedRange<Int>
  let run: @Sendable (ControlCall) async throws(ControlError) -> ControlResult

  init(
    _ name: String, _ usage: String, _ argumentCount: ClosedRange<Int>,
    run: @escaping @Sendable (ControlCall) async throws(ControlError) -> ControlResult
  ) {
    self.name = name
    self.usage = usage
    self.argumentCount = argumentCount
    self.run = run
  }
}

/// All commands of the socket by name.
struct ControlCommandTable: Sendable {
  private let commands: [String: ControlCommand]

  init(_ commands: [ControlCommand]) {
    var table = Dictionary(commands.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    let listing = Self.listing(
      commands + [ControlCommand("list-commands", "", 0...0) { _ throws(ControlError) in .text("") }])
    table["list-commands"] = ControlCommand("list-commands", "", 0...0) { call throws(ControlError) in
      call.wantsJSON ? .json(.array(listing.names.map(JSONValue.string))) : .text(listing.text)
    }
    self.commands = table
  }

  /// Runs a command as a request names it; the errors are those of Open vSwitch's programs.
  func run(_ method: String, _ params: JSONValue) async throws(ControlError) -> ControlResult {
    guard let command = commands[method] else {
      throw ControlError(
        "\"\(LogText.escaped(method))\" is not a valid command (use \"list-commands\" to see a list of valid commands)\n"
      )
    }
    guard let parameters = params.array, parameters.count == parameters.compactMap(\.string).count else {
      throw ControlError("\"\(method)\" command: parameters must be an array of strings\n")
    }
    var call = ControlCall(arguments: parameters.compactMap(\.string), wantsJSON: false)
    if call.arguments.first == "--json" {
      call.wantsJSON = true
      call.arguments.removeFirst()
    }
    if call.arguments.count < command.argumentCount.lowerBound {
      throw ControlError(
        "\"\(method)\" command requires at least \(command.argumentCount.lowerBound) arguments\n")
    }
    if call.arguments.count > command.argumentCount.upperBound {
      throw ControlError("\"\(method)\" command takes at most \(command.argumentCount.upperBound) arguments\n")
    }
    return try await command.run(call)
  }

  private static func listing(_ commands: [ControlCommand]) -> (names: [String], text: String) {
    let sorted = commands.sorted { $0.name < $1.name }
    let lines = sorted.map { command in
      "  " + TextTable.padded(command.name, to: 23) + " " + command.usage
    }
    return (sorted.map(\.name), "The available commands are:\n" + lines.joined(separator: "\n") + "\n")
  }
}
