// Commands on a workspace that begins empty: what they print, refuse, and send.

import TestSupport
import Testing

@testable import OVSDB
@testable import vsctl

/// Runs lines of commands on one workspace, without a server.
struct Bench {
  let workspace: Workspace

  /// - Parameter hasRoot: the database has its root row already.
  init(hasRoot: Bool = false) {
    var snapshot = DatabaseSnapshot(schema: .openVSwitch)
    if hasRoot, let table = snapshot.schema.table("Open_vSwitch") {
      let row = Row(table, uuid: RowUUID(high: 1, low: 1))
      var changes = Changes()
      changes.append(RowChange(table: table, uuid: row.uuid, old: nil, new: row))
      snapshot.apply(changes)
    }
    workspace = Workspace(snapshot, symbols: SymbolTable(generator: SplitMix(state: 1)))
  }

  /// The outputs of a line, as they would be printed.
  @discardableResult
  func run(_ line: String, json: Bool = false) throws -> String {
    let invocation = try Invocation(line.split(separator: " ").map(String.init))
    var options = try Main.globalOptions(invocation.globalOptions).output
    options.json = options.json || json
    var outputs: [CommandOutput] = []
    for words in invocation.commands {
      let verb = try #require(try VerbTable.parse(words) as? any Verb)
      _ = try verb.needs(.openVSwitch)
      outputs.append(try verb.run(on: workspace))
    }
    return Renderer(options: options).text(outputs)
  }

  func complaint(_ line: String) -> String {
    do {
      return "no complaint, but: \(try run(line))"
    } catch {
      return "\(error)"
    }
  }
}

@Suite(.blocking) struct CommandTests {
  private func lab() throws -> Bench {
    let bench = Bench()
    try bench.run(
      "add-br br0 -- add-port br0 p1 tag=10 trunks=10,20 vlan_mode=access -- set interface p1 type=tap options:netns=foo"
    )
    try bench.run("add-port br0 p2 -- add-br br1 br0 30 -- add-port br1 f1")
    return bench
  }

  @Test func showPrintsAsOpenVSwitchDoes() throws {
    let bench = Bench()
    try bench.run("add-br br0 -- set interface br0 error=broken -- set bridge br0 fail_mode=secure")
    let uuid = bench.workspace.root.description
    #expect(
      try bench.run("show") == """
        \(uuid)
            Bridge br0
                fail_mode: secure
                Port br0
                    Interface br0
                        type: internal
                        error: broken

        """)
    let other = Bench()
    try other.run(
      "add-br a/b -- add-port a/b p1 tag=10 trunks=10,20 -- set interface p1 type=tap options:netns=foo -- del-port p1 -- --may-exist add-br a/b"
    )
    #expect(
      try other.run("show").contains(
        "    Bridge \"a/b\"\n        Port \"a/b\"\n            Interface \"a/b\"\n                type: internal\n"))
  }

  @Test func showNamesVLANsAndOptionsOfPorts() throws {
    let text = try lab().run("show")
    #expect(
      text.contains(
        """
                Port p1
                    tag: 10
                    trunks: [10, 20]
                    Interface p1
                        type: tap
                        options: {netns=foo}

        """))
  }

  @Test func showAsJSONNestsBridgesPortsAndInterfaces() throws {
    let value = try JSONValue.parse(try lab().run("show", json: true))
    let bridge = try #require(value["bridges"]?[0])
    #expect(bridge["name"]?.string == "br0")
    let ports = try #require(bridge["ports"]?.array)
    #expect(ports.map { $0["name"]?.string ?? "" } == ["br0", "br1", "f1", "p1", "p2"])
    #expect(ports[3]["tag"]?.integer == 10)
    #expect(ports[3]["interfaces"]?[0]?["options"]?["netns"]?.string == "foo")
  }

  @Test(arguments: [
    ("list-br", "br0\nbr1\n"), ("--fake list-br", "br1\n"), ("--real list-br", "br0\n"), ("list-ports br0", "p1\np2\n"),
    ("list-ports br1", "f1\n"), ("list-ifaces br0", "p1\np2\n"), ("port-to-br f1", "br1\n"),
    ("iface-to-br p1", "br0\n"),
    ("br-to-vlan br1", "30\n"), ("br-to-parent br1", "br0\n"), ("br-to-vlan br0", "0\n"),
    ("get port p1 tag trunks", "10\n[10, 20]\n"), ("get interface p1 options:netns", "foo\n"),
    ("--if-exists get interface p1 options:x", "\n"), ("--if-exists get port nosuch tag", ""),
    (
      "--columns=name,tag find port tag!=10",
      "name                : br0\ntag                 : []\n\n"
        + "name                : br1\ntag                 : 30\n\nname                : f1\ntag                 : 30\n\n"
        + "name                : p2\ntag                 : []\n"
    ),
    ("-f table --columns=name,trunks find port tag=10", "name trunks\n---- --------\np1   [10, 20]\n"),
    ("-f csv --columns=name,trunks find port tag=10", "name,trunks\np1,\"[10, 20]\"\n"),
    (
      "-f json --columns=name,trunks find port tag=10",
      "{\"data\":[[\"p1\",[\"set\",[10,20]]]],\"headings\":[\"name\",\"trunks\"]}\n"
    ),
    ("--bare --columns=name,trunks find port tag=10", "p1\n10 20\n"),
    ("--no-headings -f table --columns=name,tag find port tag>10", "br1 30\nf1  30\n"),
    ("--columns=name find port trunks{>=}20", "name                : p1\n"),
    ("--columns=name find interface options:netns=foo", "name                : p1\n"),
    ("--columns=name find interface options:netns!=foo", ""),
    ("list qos -- --columns=name list bridge", "\nname                : br0\n"),
    ("--oneline list-br -- list-ports br0", "br0\\nbr1\np1\\np2\n"),
    ("list-br --json", "[\"br0\",\"br1\"]\n"),
    ("--json --columns=name,tag find port tag=10", "[{\"name\":\"p1\",\"tag\":10}]\n"),
    ("--json get port p1 tag trunks", "{\"tag\":10,\"trunks\":[10,20]}\n"),
  ])
  func questionsAreAnsweredAsOpenVSwitchDoes(line: String, answer: String) throws {
    #expect(try lab().run(line) == answer)
  }

  @Test(arguments: [
    ("list-por br0", "unknown command 'list-por': did you mean list-ports?"),
    (
      "add-br br0",
      "cannot create a bridge named br0 because a bridge named br0 already exists: choose another name, or give --may-exist if it may be there already"
    ),
    ("add-port br0 p1", "cannot create a port named p1 because a port named p1 already exists on bridge br0"),
    ("add-port br0 br0", "cannot create a port named br0 because a bridge named br0 already exists"),
    ("add-port bt0 p9", "no bridge named bt0: did you mean br0?"),
    ("del-br nosuch", "no bridge named nosuch: bridges are br0, br1"),
    ("del-port p3", "no port named p3: did you mean p1?"),
    ("del-port br0", "it is the local port for bridge br0: delete the entire bridge: del-br br0"),
    (
      "del-port br0 f1",
      "bridge br0 does not have a port f1 (although its child bridge br1 does): write del-port br1 f1"
    ),
    ("--may-exist add-port br1 p1", "but p1 is actually attached to bridge br0"),
    ("--may-exist add-br br1", "br1 is a VLAN bridge for VLAN 30"),
    ("--may-exist add-br br1 br0 31", "br1 is a VLAN bridge for the wrong VLAN 30"),
    ("add-br br2 br0 30", "bridge br0 already has a child VLAN bridge br1 on VLAN 30"),
    ("add-br br2 br1 30", "cannot create bridge with fake bridge as parent"),
    ("add-br br2 br0 4096", "4096 is no VLAN: vlan must be between 0 and 4095"),
    ("add-br br2 br0", "exactly 1 or 3 arguments"),
    (
      "set port p1 tag=4096",
      "tag=4096: constraint violation: 4096 is not in the valid range: give a number from 0 to 4095"
    ),
    ("add-port br0 p9 tag=4096", "4096 is not in the valid range"),
    ("add-port br0 p9 tga=1", "Port does not contain a column whose name matches \"tga\": did you mean tag?"),
    ("set port p1 name=x", "cannot modify read-only column name in table Port"),
    ("set port nosuch tag=1", "no row \"nosuch\" in table Port"),
    ("set port p1 tag", "does not end in \"=\" followed by a value"),
    ("set port p1 tag:x=1", "cannot specify key to set for non-map column tag"),
    ("get interface p1 options:nets", "no key \"nets\" in Interface record \"p1\" column options: did you mean netns?"),
    ("get port p1 b", "more than one column whose name matches \"b\""),
    ("clear interface p1 name", "read-only column name"),
    ("add port p1 tag 11", "would put 2 values in column tag of table Port but the maximum number is 1"),
    ("find port tag", "does not end in"), ("--columns=, list port", "must specify at least one column name"),
    ("list-br x", "unexpected argument 'x': usage: vsctl list-br [--real] [--fake]"),
    ("add-port br0", "missing expected argument '<port>': usage: vsctl add-port"),
    ("--may-exist list-br", "unknown option '--may-exist'"),
    ("fdb", "write one of: fdb add, fdb del, fdb flush, fdb show"),
    ("set-fail-mode br0 xx", "fail-mode must be \"standalone\" or \"secure\""),
    ("--id=q create qos type=a", "does not begin with \"@\": write --id=@q"),
  ])
  func badInputIsRefusedInOneLineWithItsRemedy(line: String, complaint: String) throws {
    let bench = try lab()
    let before = try bench.run("show")
    let said = bench.complaint(line)
    #expect(said.contains(complaint), "\(said)")
    #expect(!said.contains("\n"))
    #expect(try bench.run("show") == before)
  }

  @Test func missingBridgeEndsTheLineWithStatus2() throws {
    let bench = try lab()
    let verb = try #require(try VerbTable.parse(CommandWords(verb: "br-exists", arguments: ["nosuch"])) as? any Verb)
    #expect(try verb.run(on: bench.workspace).exitCode == 2)
  }

  @Test func rowsMayBeNamedBeforeTheyAreMade() throws {
    let bench = try lab()
    let printed = try bench.run("set port p1 qos=@q -- --id=@q create qos type=linux-htb")
    try bench.workspace.symbols.checkDefined()
    #expect(try bench.run("get port p1 qos") == printed)
    try bench.run("set port p2 qos=@none")
    #expect(throws: CommandFault.self) { try bench.workspace.symbols.checkDefined() }
  }

  @Test func addRemoveAndClearChangeSetsAndMaps() throws {
    let bench = try lab()
    try bench.run("add port p2 trunks 5 6 7,8 -- remove port p2 trunks 5 99")
    #expect(try bench.run("get port p2 trunks") == "[6, 7, 8]\n")
    try bench.run(
      "add interface p2 external_ids a=1,b=2 {c=3} -- add interface p2 external_ids a=9 -- remove interface p2 external_ids b c=4"
    )
    #expect(try bench.run("get interface p2 external_ids") == "{a=\"9\", c=\"3\"}\n")
    try bench.run("clear interface p2 external_ids -- clear port p1 tag trunks -- remove port p2 tag 1")
    #expect(try bench.run("get interface p2 external_ids -- get port p1 tag trunks") == "{}\n[]\n[]\n")
  }

  @Test func aVLANBridgeTakesItsPortsWithIt() throws {
    let bench = try lab()
    #expect(try bench.run("get port f1 tag") == "30\n")
    try bench.run("del-br br1")
    #expect(try bench.run("list-ports br0 -- list-br") == "p1\np2\nbr0\n")
    try bench.run("del-br br0")
    #expect(try bench.run("list-br -- list port -- list bridge") == "\n")
  }

  @Test func externalIDsOfBridgesAreKept() throws {
    let bench = try lab()
    try bench.run("br-set-external-id br0 k v -- br-set-external-id br1 k w")
    #expect(
      try bench.run("br-get-external-id br0 k -- br-get-external-id br1 -- get port br1 external_ids")
        == "v\nk=w\n{fake-bridge-k=w}\n")
    try bench.run("br-set-external-id br0 k")
    #expect(try bench.run("br-get-external-id br0 k") == "")
  }

  @Test func manyPortsInOneLineStayCheap() throws {
    let bench = Bench()
    let commands = (0..<400).map { "-- add-port br0 p\($0) tag=\($0) -- set interface p\($0) type=tap" }.joined(
      separator: " ")
    let clock = ContinuousClock()
    let time = try clock.measure { try bench.run("add-br br0 \(commands)") }
    #expect(time < .seconds(30))
    #expect(try bench.run("list-ports br0").split(separator: "\n").count == 400)
  }
}
