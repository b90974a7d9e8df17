// The levels of the log by module (a label of swift-log), and the language in which `vlog/set` changes them: that of
// ovs-appctl (ovs-vswitchd(8), "Logging options"). Pure.
//
// There is one log: standard error, or the file of --log-file. `console`, `file` and `ANY` all mean it; `syslog` is
// accepted and means nothing, as where nobody reads it.

import Logging

/// Levels of all modules; nil is off.
struct LogLevels: Sendable {
  private var all: Logger.Level?
  private var modules: [String: Logger.Level?] = [:]

  init(_ level: Logger.Level) { all = level }

  /// Adds a module, at the level that holds for all.
  mutating func register(_ module: String) {
    if modules[module] == nil { modules.updateValue(all, forKey: module) }
  }

  subscript(module: String) -> Logger.Level? { modules[module] ?? all }

  /// By name, in order.
  var listed: [(module: String, level: Logger.Level?)] { modules.sorted { $0.key < $1.key }.map { ($0.key, $0.value) } }

  /// One argument of `vlog/set`.
  enum Setting: Equatable {
    /// - Parameter module: nil for all.
    case level(Logger.Level?, module: String?)
    /// Accepted, and nothing to do.
    case nothing
  }

  mutating func apply(_ setting: Setting) {
    guard case .level(let level, let module) = setting else { return }
    if let module {
      modules.updateValue(level, forKey: module)
    } else {
      all = level
      for name in modules.keys { modules.updateValue(level, forKey: name) }
    }
  }

  /// Reads one argument: a module, a destination and a level, each once, in any order, divided by colons, commas or
  /// spaces; what is missing is any module, any destination, level DBG.
  /// - Throws: in Open vSwitch's words.
  func parse(_ text: String) throws(ControlError) -> Setting {
    let words = text.split(whereSeparator: { " ,:\t".contains($0) }).map(String.init)
    switch words.first?.uppercased() {
    case "PATTERN": return try pattern(words)
    case "FACILITY": return try facility(words)
    default: break
    }
    var (module, destination, level): (String?, String?, Logger.Level??) = (nil, nil, nil)
    for word in words where word.uppercased() != "ANY" {
      if Self.destinations.contains(word.lowercased()) {
        if destination != nil { throw ControlError("cannot specify multiple destinations\n") }
        destination = word.lowercased()
      } else if let found = Self.level(word) {
        if level != nil { throw ControlError("cannot specify multiple levels\n") }
        level = .some(found)
      } else if modules.keys.contains(word) {
        if module != nil { throw ControlError("cannot specify multiple modules\n") }
        module = word
      } else {
        throw ControlError("no destination, level, or module \"\(LogText.escaped(word))\"\n")
      }
    }
    if destination == "syslog" { return .nothing }
    return .level(level ?? .debug, module: module)
  }

  private static let destinations = ["syslog", "console", "file"]

  private func pattern(_ words: [String]) throws(ControlError) -> Setting {
    guard words.count > 1 else { throw ControlError("missing destination\n") }
    guard Self.destinations.contains(words[1].lowercased()) || words[1].uppercased() == "ANY" else {
      throw ControlError("unknown destination \"\(LogText.escaped(words[1]))\"\n")
    }
    if words[1].lowercased() == "syslog" { return .nothing }
    throw ControlError("the form of log lines is fixed: leave PATTERN away\n")
  }

  private func facility(_ words: [String]) throws(ControlError) -> Setting {
    guard words.count > 1 else { throw ControlError("missing facility\n") }
    let known = [
      "auth", "authpriv", "clock", "cron", "daemon", "ftp", "kern", "lpr", "mail", "news", "ntp", "syslog", "user",
      "uucp",
    ]
    guard known.contains(words[1]) || words[1].hasPrefix("local") && ("0"..."7").contains(words[1].dropFirst(5)) else {
      throw ControlError("invalid facility\n")
    }
    return .nothing
  }

  /// A level by Open vSwitch's name or swift-log's; nil within for off, nil for no level at all.
  static func level(_ word: String) -> Logger.Level?? {
    switch word.lowercased() {
    case "off": .some(nil)
    case "emer": .some(.critical)
    case "err": .some(.error)
    case "warn": .some(.warning)
    case "dbg": .some(.debug)
    case let name: Logger.Level(rawValue: name).map { .some($0) }
    }
  }

  /// Open vSwitch's name of a level.
  static func name(_ level: Logger.Level?) -> String {
    switch level {
    case nil: "OFF"
    case .critical: "EMER"
    case .error: "ERR"
    case .warning: "WARN"
    case .notice, .info: "INFO"
    case .debug: "DBG"
    case .trace: "TRACE"
    }
  }
}
