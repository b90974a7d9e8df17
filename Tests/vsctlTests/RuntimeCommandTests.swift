// Commands of the running switch: what they ask, and how answers are laid out.

import OVSDB
import TestSupport
import Testing

@testable import vsctl

@Suite(.blocking) struct RuntimeCommandTests {
  private func verb(_ line: String) throws -> any ControlVerb {
    let invocation = try Invocation(line.split(separator: " ").map(String.init))
    return try #require(try VerbTable.parse(invocation.commands[0]) as? any ControlVerb)
  }

  private func layOut(_ line: String, _ json: String, coloured: Bool = false) throws -> String {
    let output = try verb(line).output(try JSONValue.parse(json))
    return Renderer(options: OutputOptions(), isColoured: coloured).text([output])
  }

  @Test(arguments: [
    ("fdb show br0", "fdb/show", ["br0"]), ("fdb flush br0", "fdb/flush", ["br0"]),
    ("fdb flush br0 vlan=10 port=p1", "fdb/flush", ["br0", "vlan=10", "port=p1"]),
    ("fdb add br0 p1 10 52:54:00:AA:BB:CC", "fdb/add", ["br0", "p1", "10", "52:54:00:aa:bb:cc"]),
    ("fdb del br0 10 52:54:00:aa:bb:cc", "fdb/del", ["br0", "10", "52:54:00:aa:bb:cc"]),
    ("port stats", "port/stats", []),
    ("port stats br0 p1", "port/stats", ["br0", "p1"]), ("drops br0", "drops/show", ["br0"]), ("status", "status", []),
  ])
  func eachVerbIsOneMethod(line: String, method: String, parameters: [String]) throws {
    #expect(try verb(line).request() == ControlRequest(method: method, parameters: parameters))
  }

  @Test(arguments: [
    ("fdb add br0 p1 4096 52:54:00:aa:bb:cc", "4096 is no VLAN: give a number from 0 to 4095"),
    ("fdb add br0 p1 1 52:54:00:aa:bb", "is no MAC address"), ("fdb flush br0 x", "write vlan=10 or port=p1"),
    ("fdb flush br0 vlan=9999", "9999 is no VLAN"),
  ])
  func badArgumentsAreRefusedBeforeTheDaemonIsAsked(line: String, complaint: String) throws {
    let verb = try verb(line)
    #expect {
      _ = try verb.request()
    } throws: {
      "\($0)".contains(complaint)
    }
  }

  @Test func theMACTableIsAligned() throws {
    let text = try layOut(
      "fdb show br0",
      """
      [{"port":"p1","port_number":1,"vlan":10,"mac":"52:54:00:aa:bb:cc","age":3,"static":false},
       {"port":"uplink","port_number":2,"vlan":0,"mac":"52:54:00:aa:bb:cd","age":null,"static":true}]
      """)
    #expect(
      text == """
        port    VLAN  MAC                   age
        ------  ----  -----------------  ------
        p1        10  52:54:00:aa:bb:cc       3
        uplink     0  52:54:00:aa:bb:cd  static

        """)
  }

  @Test func dropsAreSummedUpInPortStats() throws {
    let text = try layOut(
      "port stats",
      """
      [{"bridge":"br0","port":"p1","port_number":1,"rx_packets":5,"rx_bytes":500,"rx_errors":0,"tx_packets":7,
        "tx_bytes":9223372036854775807,"tx_errors":1,"rx_drops":{"a":2,"b":1},"tx_drops":{}}]
      """)
    let cells = text.split(separator: "\n").last?.split(separator: " ").map(String.init)
    #expect(cells == ["br0", "p1", "5", "500", "0", "3", "7", "9223372036854775807", "1", "0"])
  }

  @Test func statusNamesPortsThatRunOnEpoll() throws {
    let text = try layOut(
      "status",
      """
      {"version":"0.1.0","pid":7,"run_dir":"/run/vswitch","uptime_seconds":12,"io_engine":"io_uring","ports":[
       {"bridge":"br0","port":"p1","port_number":1,"link":"up","mtu":1500,"mac":"52:54:00:aa:bb:cc","io_engine":"io_uring","error":""},
       {"bridge":"br0","port":"p2","port_number":2,"link":"down","mtu":1500,"mac":"","io_engine":"epoll","error":"x\\ny"}]}
      """)
    #expect(text.contains("uptime seconds: 12\n"))
    #expect(!text.contains(" \n"))
    #expect(text.contains("x y; io_uring is refused here: runs on epoll"))
    #expect(text.split(separator: "\n").filter { $0.contains("epoll") }.count == 1)
  }

  @Test(arguments: ["[]", "{}", "null", "\"text\"", "[1,{\"mac\":[]}]"])
  func anyAnswerIsLaidOutWithoutTrapping(answer: String) throws {
    for line in ["fdb show br0", "port stats", "drops", "status", "fdb flush br0"] {
      #expect(!(try layOut(line, answer)).contains("\u{1b}"))
    }
  }

  @Test func coloursMarkHeadingsAndErrorsOnly() throws {
    #expect(try layOut("fdb show br0", "[]", coloured: true).hasPrefix("\u{1b}[1mport  VLAN  MAC  age\u{1b}[0m\n"))
    #expect(try !layOut("fdb show br0", "[]").contains("\u{1b}"))
  }

  @Test func aFailedInterfaceIsReportedWithWhatWouldMendIt() throws {
    let table = try DatabaseSchema.openVSwitch.table(matching: "Interface")
    func report(_ error: String, number: Int64 = -1) -> String? {
      InterfaceTrouble.report(
        Row(table, uuid: .zero, columns: ["name": .string("p1"), "error": .string(error), "ofport": .integer(number)]))
    }
    #expect(
      report("could not open network device p1 (No such device)")
        == "port p1: could not open network device p1 (No such device): create the device or set type=tap")
    #expect(
      report("p1: patch type requires valid 'peer' argument")?.hasSuffix("set interface p1 options:peer=NAME") == true)
    #expect(report("the name is taken: choose another") == "port p1: the name is taken: choose another")
    #expect(report("something odd")?.contains("del-port p1") == true)
    let working = Row(table, uuid: .zero, columns: ["name": .string("p1"), "ofport": .integer(1)])
    #expect(InterfaceTrouble.report(working) == nil)
  }

  @Test func completionKnowsEveryVerb() throws {
    for shell in ["bash", "zsh", "fish"] {
      var script = ""
      do {
        _ = try VSCtl.parseAsRoot(["--generate-completion-script", shell])
      } catch {
        script = VSCtl.fullMessage(for: error)
      }
      // Other names of a verb are not offered.
      let hidden =
        VerbTable.hidden.map { $0.configuration.commandName ?? "" } + VerbTable.all.flatMap { $0.configuration.aliases }
      for verb in VerbTable.byName.keys where !hidden.contains(verb) {
        for word in verb.split(separator: " ") { #expect(script.contains(word), "\(verb) in \(shell)") }
      }
      #expect(script.contains("vsctl list-br"))
    }
  }
}
