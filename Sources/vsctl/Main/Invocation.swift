// The grammar of the command line as a whole, that of ovs-vsctl with more freedom: global options may stand anywhere,
// a command's options after its verb, too. Commands are set apart by "--", each one `[options] verb arguments`.
// ArgumentParser parses the global options and each command; this splits them. Pure.

/// One command of the line.
struct CommandWords: Equatable {
  /// Options of the command, wherever they stood.
  var options: [String] = []
  /// "add-port", "fdb show".
  var verb = ""
  var arguments: [String] = []
}

struct Invocation: Equatable {
  /// What ArgumentParser answers by itself: help, version, completion script.
  struct Question: Equatable {
    var words: [String]
    /// What to print; nil: ArgumentParser's answer to the words.
    var answer: String?
  }

  var globalOptions: [String] = []
  var commands: [CommandWords] = []
  var question: Question?

  /// Global options; true for those that take a value.
  static let globalNames: [String: Bool] = [
    "--run-dir": true, "--db": true, "--timeout": true, "-t": true, "--no-wait": false, "--dry-run": false,
    "--oneline": false, "--json": false, "--format": true, "-f": true, "--data": true, "-d": true,
    "--no-headings": false, "--bare": false, "--retry": false, "--pretty": false, "--max-column-width": true,
    "--private-key": true, "-p": true, "--certificate": true, "-c": true, "--ca-cert": true, "-C": true,
    "--bootstrap-ca-cert": true, "--peer-ca-cert": true,
  ]
  /// Options of ovs-vsctl about logs and the choice of servers: accepted, without effect.
  static let ignoredNames: [String: GlobalOptionSyntax.Value] = Dictionary(
    GlobalOptionSyntax.all.filter { !$0.isEffective }.flatMap { option in
      [("--" + option.name, option.value)] + (option.short.map { [("-\($0)", option.value)] } ?? [])
    }, uniquingKeysWith: { first, _ in first })
  /// Options of single commands; true for those that take a value.
  static let commandNames: [String: Bool] = [
    "--may-exist": false, "--if-exists": false, "--columns": true, "--id": true, "--all": false, "--real": false,
    "--fake": false, "--with-iface": false, "--fake-iface": false, "--bootstrap": false, "--inactivity-probe": true,
    "-O": true, "--protocols": true, "--names": false, "--no-names": false, "--stats": false, "--no-stats": false,
    "--sort": true, "--rsort": true, "--strict": false, "--bundle": false, "--may-create": false,
    "--packet-in-format": true, "-P": true, "--packet": true, "--pcap": true, "--count": true,
  ]
  /// Options whose value may be left out, and what it is then.
  static let defaultValues = ["--sort": "priority", "--rsort": "priority"]
  static let questions: Set<String> = [
    "--help", "-h", "--version", "-V", "--generate-completion-script", "--experimental-dump-help", "--help-hidden",
  ]
  /// Verbs of two words.
  static let groups: Set<String> = ["fdb", "port", "datapath", "conntrack", "router"]
  /// Verbs whose arguments may be any text, so that nothing among them is an option.
  static let literalVerbs: Set<String> = ["br-set-external-id", "comment", "help"]

  init() {}

  /// Splits the words after the program's name.
  init(_ words: [String]) throws(CommandFault) {
    for segment in words.split(separator: "--", omittingEmptySubsequences: true) {
      guard let command = try command(Array(segment)) else { continue }
      commands.append(command)
    }
    if question != nil { return }
    guard !commands.isEmpty else {
      throw CommandFault("missing command name", remedy: "use --help for help")
    }
  }

  private mutating func command(_ segment: [String]) throws(CommandFault) -> CommandWords? {
    var command = CommandWords()
    var index = 0
    while index < segment.count {
      let word = segment[index]
      index += 1
      if Self.questions.contains(Self.name(of: word)) {
        let verb = command.verb.split(separator: " ").map(String.init)
        question = Question(words: verb + (word == "-V" ? ["--version"] : Array(segment[(index - 1)...])))
        return nil
      }
      if word.hasPrefix("-"), word.utf8.count > 1, !Self.literalVerbs.contains(command.verb),
        try takeOption(word, segment, &index, &command)
      {
        continue
      }
      if command.verb.isEmpty {
        if word == "help" {
          question = Question(words: Array(segment[(index - 1)...]))
          return nil
        }
        command.verb = word
        if Self.groups.contains(word), index < segment.count, !segment[index].hasPrefix("-") {
          command.verb += " \(segment[index])"
          index += 1
        }
      } else {
        command.arguments.append(word)
      }
    }
    guard command.verb.isEmpty else { return command }
    guard command.options.isEmpty else {
      throw CommandFault(
        "missing command name after \(command.options.joined(separator: " "))", remedy: "use --help for help")
    }
    return nil
  }

  /// Takes an option, with its value if that is a word of its own; false if the word is no option that may stand here.
  private mutating func takeOption(
    _ word: String, _ segment: [String], _ index: inout Int, _ command: inout CommandWords
  ) throws(CommandFault) -> Bool {
    let name = Self.name(of: word)
    if let value = Self.ignoredNames[name] {
      if value == .required && word == name { index = min(index + 1, segment.count) }
      return true
    }
    guard let takesValue = Self.globalNames[name] ?? Self.commandNames[name] else {
      // After the verb it is an argument, whatever it looks like.
      guard command.verb.isEmpty else { return false }
      let known = Array(Self.globalNames.keys) + Array(Self.commandNames.keys)
      throw CommandFault(
        "unrecognized option '\(word)'",
        remedy: Suggestion.nearest(to: name, among: known).map { "did you mean \($0)?" } ?? "see vsctl --help")
    }
    var words = [word]
    if let value = Self.defaultValues[word] {
      words = ["\(word)=\(value)"]
    } else if takesValue, word == name {
      guard index < segment.count else {
        throw CommandFault("option '\(word)' requires an argument", remedy: "write \(word)=VALUE")
      }
      words.append(segment[index])
      index += 1
    }
    if Self.globalNames[name] != nil { globalOptions += words } else { command.options += words }
    return true
  }

  /// `--timeout` of `--timeout=5`, `-t` of `-t5`.
  private static func name(of word: String) -> String {
    if word.hasPrefix("--") { return String(word.prefix { $0 != "=" }) }
    let short = String(word.prefix(2))
    return word.hasPrefix("-")
      && (globalNames[short] == true || commandNames[short] == true || ignoredNames[short] != nil) ? short : word
  }
}
