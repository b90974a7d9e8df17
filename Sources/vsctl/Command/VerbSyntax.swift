// The verbs of ovs-vsctl 3.1 by their options and numbers of arguments: what its own grammar checks before anything is
// run, and what its `--commands` and `--options` print for completion scripts. Pure.

/// How one verb is written.
struct VerbSyntax: Equatable {
  var name: String
  var minimum: Int
  /// `Int.max`: any number.
  var maximum: Int
  /// With "=" at the end where a value follows.
  var options: [String] = []
  /// "!" required, "?" optional, "*" any number, "+" at least one.
  var arguments = ""

  init(_ name: String, _ count: ClosedRange<Int>, _ options: String..., arguments: String = "") {
    self.name = name
    minimum = count.lowerBound
    maximum = count.upperBound
    self.options = options
    self.arguments = arguments
  }

  init(_ name: String, _ count: PartialRangeFrom<Int>, _ options: String..., arguments: String = "") {
    self.init(name, count.lowerBound...Int.max, arguments: arguments)
    self.options = options
  }

  static let all: [VerbSyntax] = [
    .init("init", 0...0), .init("show", 0...0), .init("emer-reset", 0...0),
    .init("add-br", 1...3, "--may-exist", arguments: "!NEW-BRIDGE ?PARENT ?NEW-VLAN"),
    .init("del-br", 1...1, "--if-exists", arguments: "!BRIDGE"), .init("list-br", 0...0, "--real", "--fake"),
    .init("br-exists", 1...1, arguments: "!BRIDGE"), .init("br-to-vlan", 1...1, arguments: "!BRIDGE"),
    .init("br-to-parent", 1...1, arguments: "!BRIDGE"),
    .init("br-set-external-id", 2...3, arguments: "!BRIDGE !KEY ?VALUE"),
    .init("br-get-external-id", 1...2, arguments: "!BRIDGE ?KEY"),
    .init("list-ports", 1...1, arguments: "!BRIDGE"),
    .init("add-port", 2..., "--may-exist", arguments: "!BRIDGE !NEW-PORT *COLUMN?:KEY=VALUE"),
    .init("del-port", 1...2, "--if-exists", "--with-iface", arguments: "?BRIDGE !PORT|IFACE"),
    .init("port-to-br", 1...1, arguments: "!PORT"),
    .init("add-bond", 4..., "--may-exist", "--fake-iface", arguments: "!BRIDGE !BOND +IFACE *COLUMN?:KEY=VALUE"),
    .init("add-bond-iface", 2...2, "--may-exist", arguments: "!BOND !IFACE"),
    .init("del-bond-iface", 1...2, "--if-exists", arguments: "?BOND !IFACE"),
    .init("list-ifaces", 1...1, arguments: "!BRIDGE"), .init("iface-to-br", 1...1, arguments: "!IFACE"),
    .init("add-zone-tp", 2..., "--may-exist"), .init("del-zone-tp", 2...2, "--if-exists"),
    .init("list-zone-tp", 1...1), .init("list-dp-cap", 1...1),
    .init("get-controller", 1...1, arguments: "!BRIDGE"), .init("del-controller", 1...1, arguments: "!BRIDGE"),
    .init("set-controller", 1..., "--inactivity-probe=", arguments: "!BRIDGE +TARGET"),
    .init("get-fail-mode", 1...1, arguments: "!BRIDGE"), .init("del-fail-mode", 1...1, arguments: "!BRIDGE"),
    .init("set-fail-mode", 2...2, arguments: "!BRIDGE !MODE"),
    .init("get-manager", 0...0), .init("del-manager", 0...0),
    .init("set-manager", 1..., "--inactivity-probe=", arguments: "+TARGET"),
    .init("get-ssl", 0...0), .init("del-ssl", 0...0),
    .init("set-ssl", 3...3, "--bootstrap", arguments: "!PRIVATE-KEY !CERTIFICATE !CA-CERT"),
    .init("add-aa-mapping", 3...3, arguments: "!BRIDGE !ARG !ARG"),
    .init("del-aa-mapping", 3...3, arguments: "!BRIDGE !ARG !ARG"),
    .init("get-aa-mapping", 1...1, arguments: "!BRIDGE"),
    .init("comment", 0..., arguments: "*ARG"),
    .init("get", 2..., "--if-exists", "--id=", arguments: "!TABLE !RECORD *COLUMN?:KEY"),
    .init("list", 1..., "--if-exists", "--columns=", arguments: "!TABLE *RECORD"),
    .init("find", 1..., "--columns=", arguments: "!TABLE *COLUMN?:KEY=VALUE"),
    .init("set", 3..., "--if-exists", arguments: "!TABLE !RECORD +COLUMN?:KEY=VALUE"),
    .init("add", 4..., "--if-exists", arguments: "!TABLE !RECORD !COLUMN +?KEY=VALUE"),
    .init("remove", 4..., "--if-exists", arguments: "!TABLE !RECORD !COLUMN +KEY|VALUE|KEY=VALUE"),
    .init("clear", 3..., "--if-exists", arguments: "!TABLE !RECORD +COLUMN"),
    .init("create", 2..., "--id=", arguments: "!TABLE +COLUMN?:KEY=VALUE"),
    .init("destroy", 1..., "--if-exists", "--all", arguments: "!TABLE *RECORD"),
    .init("wait-until", 2..., arguments: "!TABLE !RECORD *COLUMN?:KEY=VALUE"),
  ]

  static let byName: [String: VerbSyntax] = Dictionary(
    all.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })

  /// Options of verbs without their dashes; true for those that take a value.
  static let optionNames: [String: Bool] = Dictionary(
    all.flatMap(\.options).map { option in
      option.hasSuffix("=") ? (String(option.dropFirst(2).dropLast()), true) : (String(option.dropFirst(2)), false)
    }, uniquingKeysWith: { first, _ in first })

  /// What `--commands` prints.
  static var listing: String {
    all.map { verb in
      verb.options.map { "[\($0)] " }.joined() + ",\(verb.name),\(verb.arguments)\n"
    }.joined()
  }
}
