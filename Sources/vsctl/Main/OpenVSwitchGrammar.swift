// The command line of ovs-vsctl(8), read as that program reads it: getopt_long(3) for the global options, which end at
// the first word that is none, then commands set apart by "--", each one with its own options before its verb. Pure.

/// Global options as getopt_long(3) has them.
struct GlobalOptionSyntax: Equatable {
  enum Value { case none, required, optional }

  /// Without dashes.
  var name: String
  var value = Value.none
  var short: Character?
  /// What it becomes among this program's own options; nil: accepted, without effect here.
  var isEffective = true

  /// In the order of `--options`.
  static let all: [GlobalOptionSyntax] = [
    .init(name: "db", value: .required), .init(name: "no-syslog", isEffective: false), .init(name: "no-wait"),
    .init(name: "dry-run"), .init(name: "oneline"), .init(name: "timeout", value: .required, short: "t"),
    .init(name: "retry"), .init(name: "help", short: "h"), .init(name: "commands"), .init(name: "options"),
    .init(name: "leader-only", isEffective: false), .init(name: "no-leader-only", isEffective: false),
    .init(name: "shuffle-remotes", isEffective: false), .init(name: "no-shuffle-remotes", isEffective: false),
    .init(name: "version", short: "V"), .init(name: "verbose", value: .optional, short: "v", isEffective: false),
    .init(name: "log-file", value: .optional, isEffective: false),
    .init(name: "syslog-method", value: .required, isEffective: false),
    .init(name: "syslog-target", value: .required, isEffective: false),
    .init(name: "format", value: .required, short: "f"), .init(name: "data", value: .required, short: "d"),
    .init(name: "no-headings"), .init(name: "pretty"), .init(name: "bare"),
    .init(name: "max-column-width", value: .required),
    .init(name: "private-key", value: .required, short: "p"),
    .init(name: "certificate", value: .required, short: "c"), .init(name: "ca-cert", value: .required, short: "C"),
    .init(name: "ssl-protocols", value: .required, isEffective: false),
    .init(name: "ssl-ciphers", value: .required, isEffective: false),
    .init(name: "bootstrap-ca-cert", value: .required), .init(name: "peer-ca-cert", value: .required),
  ]

  /// What `--options` prints.
  static var listing: String {
    all.map { option in
      "--\(option.name)\(option.value == .none ? "" : "=ARG")\n"
        + (option.short.map { "-\($0)\(option.value == .none ? "" : " ARG")\n" } ?? "")
    }.joined()
  }
}

/// Reads the command line of ovs-vsctl.
struct OpenVSwitchGrammar {
  private var result = Invocation()
  /// Options of the first command, which may stand among the global ones.
  private var local: [String: String?] = [:]

  /// Splits the words after the program's name.
  static func invocation(_ words: [String]) throws(CommandFault) -> Invocation {
    var grammar = OpenVSwitchGrammar()
    let rest = try grammar.globalOptions(words)
    if grammar.result.question == nil { try grammar.commands(rest) }
    return grammar.result
  }

  private init() {}

  // MARK: Global options

  /// - Returns: the words after them.
  private mutating func globalOptions(_ words: [String]) throws(CommandFault) -> [String] {
    var index = 0
    while index < words.count {
      let word = words[index]
      if word == "--" { return Array(words[(index + 1)...]) }
      guard word.hasPrefix("-"), word != "-" else { break }
      index += 1
      if word.hasPrefix("--") {
        try long(word, words, &index)
      } else {
        try short(word, words, &index)
      }
      if result.question != nil { break }
    }
    return Array(words[min(index, words.count)...])
  }

  private mutating func long(_ word: String, _ words: [String], _ index: inout Int) throws(CommandFault) {
    let body = word.dropFirst(2)
    let name = String(body.prefix { $0 != "=" })
    let value = body.count > name.count ? String(body.dropFirst(name.count + 1)) : nil
    typealias Candidate = (name: String, value: GlobalOptionSyntax.Value, isLocal: Bool)
    let all: [Candidate] =
      GlobalOptionSyntax.all.map { ($0.name, $0.value, false) }
      + VerbSyntax.optionNames.sorted { $0.key < $1.key }.map { ($0.key, $0.value ? .required : .none, true) }
    var found = all.filter { $0.name == name }
    if found.isEmpty {
      found = all.filter { $0.name.hasPrefix(name) }
      // Options that getopt(3) can't tell apart are one to it.
      let isAlike = found.allSatisfy { $0.isLocal && $0.value == found.first?.value }
      if found.count > 1 && !isAlike {
        let list = found.map { "'--\($0.name)'" }.joined(separator: " ")
        throw CommandFault("option '\(word)' is ambiguous; possibilities: \(list)")
      }
    }
    guard let option = found.first else { throw CommandFault("unrecognized option '\(word)'") }
    var argument = value
    switch option.value {
    case .none where value != nil: throw CommandFault("option '--\(option.name)' doesn't allow an argument")
    case .required where value == nil:
      guard index < words.count else { throw CommandFault("option '--\(option.name)' requires an argument") }
      argument = words[index]
      index += 1
    default: break
    }
    if option.isLocal { local["--" + option.name] = .some(argument) } else { try take(option.name, argument) }
  }

  private mutating func short(_ word: String, _ words: [String], _ index: inout Int) throws(CommandFault) {
    var rest = word.dropFirst()
    while let letter = rest.popFirst() {
      guard let option = GlobalOptionSyntax.all.first(where: { $0.short == letter }) else {
        throw CommandFault("invalid option -- '\(letter)'")
      }
      switch option.value {
      case .none: try take(option.name, nil)
      case .optional:
        try take(option.name, rest.isEmpty ? nil : String(rest))
        return
      case .required:
        var argument = String(rest)
        if rest.isEmpty {
          guard index < words.count else { throw CommandFault("option requires an argument -- '\(letter)'") }
          argument = words[index]
          index += 1
        }
        try take(option.name, argument)
        return
      }
    }
  }

  private mutating func take(_ name: String, _ value: String?) throws(CommandFault) {
    switch name {
    case "help": result.question = .init(words: ["--help"])
    case "version": result.question = .init(words: ["--version"])
    case "commands": result.question = .init(words: [], answer: VerbSyntax.listing)
    case "options": result.question = .init(words: [], answer: GlobalOptionSyntax.listing)
    case "timeout" where UInt32(value ?? "") == nil:
      throw CommandFault("value \(value ?? "") on -t or --timeout is invalid")
    case "format" where TableLayout(rawValue: value ?? "") == nil:
      throw CommandFault("unknown output format \"\(value ?? "")\"")
    case "data" where CellFormat(rawValue: value ?? "") == nil:
      throw CommandFault("unknown data format \"\(value ?? "")\"")
    case "max-column-width": result.globalOptions.append("--\(name)=\(Int(value ?? "") ?? 0)")
    case "verbose": try LogOption.check(value)
    default:
      guard GlobalOptionSyntax.all.first(where: { $0.name == name })?.isEffective == true else { return }
      result.globalOptions.append("--\(name)" + (value.map { "=\($0)" } ?? ""))
    }
  }

  // MARK: Commands

  private mutating func commands(_ words: [String]) throws(CommandFault) {
    for segment in words.split(separator: "--", omittingEmptySubsequences: false) {
      if segment.isEmpty {
        guard local.isEmpty else { throw Self.missingCommand }
        continue
      }
      result.commands.append(try command(Array(segment)))
    }
    guard !result.commands.isEmpty else { throw Self.missingCommand }
  }

  private static let missingCommand = CommandFault("missing command name (use --help for help)")

  private mutating func command(_ words: [String]) throws(CommandFault) -> CommandWords {
    var options = local
    local = [:]
    var index = 0
    while index < words.count, words[index].hasPrefix("-") {
      let word = words[index]
      let name = String(word.prefix { $0 != "=" })
      guard options[name] == nil else { throw CommandFault("'\(word)' option specified multiple times") }
      options[name] = .some(word.count > name.count ? String(word.dropFirst(name.count + 1)) : nil)
      index += 1
    }
    guard index < words.count else { throw Self.missingCommand }
    let verb = words[index]
    guard let syntax = VerbSyntax.byName[verb] else {
      throw CommandFault("unknown command '\(verb)'; use --help for help")
    }
    for (name, value) in options.sorted(by: { $0.key < $1.key }) {
      let takesValue = syntax.options.contains(name + "=")
      guard takesValue || syntax.options.contains(name) else {
        throw CommandFault("'\(verb)' command has no '\(name)' option")
      }
      if takesValue && value == nil {
        throw CommandFault("missing argument to '\(name)' option on '\(verb)' command")
      }
      if !takesValue && value != nil {
        throw CommandFault("'\(name)' option on '\(verb)' does not accept an argument")
      }
    }
    let arguments = Array(words[(index + 1)...])
    try Self.checkCount(arguments, syntax)
    return CommandWords(
      options: options.sorted { $0.key < $1.key }.map { name, value in value.map { "\(name)=\($0)" } ?? name },
      verb: verb, arguments: arguments)
  }

  private static func checkCount(_ arguments: [String], _ syntax: VerbSyntax) throws(CommandFault) {
    if arguments.count < syntax.minimum {
      throw CommandFault("'\(syntax.name)' command requires at least \(syntax.minimum) arguments")
    }
    guard arguments.count > syntax.maximum else { return }
    let hint =
      arguments.contains { $0.hasPrefix("-") }
      ? " (note that options must precede command names and follow a \"--\" argument)" : ""
    throw CommandFault("'\(syntax.name)' command takes at most \(syntax.maximum) arguments\(hint)")
  }
}

/// The argument of Open vSwitch's `-v`. It is checked and without effect: this program keeps no log.
enum LogOption {
  private static let destinations: Set<String> = ["syslog", "console", "file"]
  private static let levels: Set<String> = ["off", "emer", "err", "warn", "info", "dbg"]
  private static let modules: Set<String> = [
    "vsctl", "db_ctl_base", "ovsdb_idl", "ovsdb_cs", "reconnect", "jsonrpc", "poll_loop", "stream_ssl", "stream_fd",
    "stream_tcp", "stream", "fatal_signal", "timeval", "socket_util", "util", "vlog", "unixctl", "process", "backtrace",
  ]

  static func check(_ text: String?) throws(CommandFault) {
    guard let text, !text.isEmpty else { return }
    if text.hasPrefix("PATTERN:") || text.hasPrefix("FACILITY:") { return }
    for word in text.split(whereSeparator: { " ,:".contains($0) }) {
      let lowered = word.lowercased()
      guard
        destinations.contains(lowered) || levels.contains(lowered) || lowered == "any"
          || modules.contains(String(lowered.map { $0 == "-" ? "_" : $0 }))
      else {
        throw CommandFault("processing \"\(text)\": no destination, level, or module \"\(word)\"")
      }
    }
  }
}
