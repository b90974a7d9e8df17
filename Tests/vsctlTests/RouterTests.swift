// Verbs of virtual routers on a workspace that begins empty.

import OVSDB
import TestSupport
import Testing

@testable import vsctl

@Suite(.blocking) struct RouterTests {
  private func router() throws -> Bench {
    let bench = Bench()
    try bench.run(
      "add-br br0 -- add-router r1 default_policy=drop -- add-router-port r1 br0 tag=10 addresses=10.0.10.1/24,fd00:10::1/64 -- add-router-port r1 br0 tag=20 addresses=10.0.20.1/24 masquerade=true"
    )
    return bench
  }

  private func row(_ bench: Bench, _ table: String = "Router") throws -> Row {
    try #require(bench.workspace.rows(table).first)
  }

  @Test func aRouterIsAddedWithItsPorts() throws {
    let bench = try router()
    #expect(try row(bench)["default_policy"].string == "drop" && row(bench)["ports"].uuids.count == 2)
    let ports = bench.workspace.rows("Router_Port")
    #expect(ports.map(\.name) == ["r1-10", "r1-20"])
    #expect(ports.map { $0["tag"].integer } == [10, 20] && ports.allSatisfy { $0["bridge"].string == "br0" })
    #expect(ports[0]["addresses"].strings.sorted() == ["10.0.10.1/24", "fd00:10::1/64"])
    #expect(ports.map { $0["masquerade"] } == [.boolean(false), .boolean(true)])
    #expect(try bench.run("list-routers") == "r1\n")
    try bench.run("--may-exist add-router r1 -- --may-exist add-router-port r1 br0 tag=10 name=r1-10")
    #expect(bench.workspace.rows("Router_Port").count == 2)
    try bench.run("del-router-port r1-10")
    #expect(try row(bench)["ports"].uuids.count == 1)
  }

  @Test func routesAreAddedListedAndDeleted() throws {
    let bench = try router()
    try bench.run("add-route r1 default via 10.0.20.254 -- add-route r1 10.9.0.0/16 via 10.0.10.2 metric 5")
    try bench.run("add-route r1 blackhole 10.8.0.0/16 -- add-route r1 fe80::/10 via fe80::1 dev r1-10")
    let lines = try bench.run("list-routes r1").split(separator: "\n").map(String.init)
    #expect(lines.count == 4, "\(lines)")
    #expect(
      lines.contains { $0.contains("via 10.0.20.254") } && lines.contains { $0.contains("blackhole 10.8.0.0/16") })
    #expect(bench.complaint("del-route r1 10.7.0.0/16").contains("no such route"))
    try bench.run("del-route r1 10.9.0.0/16")
    #expect(try row(bench)["routes"].uuids.count == 3 && bench.workspace.rows("Route").count == 3)
  }

  @Test func policiesAreAddedListedAndDeleted() throws {
    let bench = try router()
    try bench.run("add-router-policy r1 accept in=r1-20 dst=10.0.10.5 proto=tcp dport=80,8000-8010 priority=200")
    try bench.run("add-router-policy r1 reject in=r1-20")
    let text = try bench.run("list-router-policies r1")
    #expect(text.contains("accept priority=200 in=r1-20 dst=10.0.10.5") && text.hasSuffix("drop all else\n"), "\(text)")
    try bench.run("del-router-policy r1 reject")
    #expect(bench.workspace.rows("Router_Policy").count == 1)
  }

  @Test func forwardsAreTheRoutersAndGoWithIt() throws {
    let bench = try router()
    try bench.run(
      "forward r1 tcp 8080 10.0.10.5:80 -- forward r1 tcp 8080 [fd00:10::5]:80 -- forward r1 udp 53 10.0.10.5")
    #expect(
      try bench.run("list-forwards r1") == "tcp 8080 10.0.10.5:80\ntcp 8080 [fd00:10::5]:80\nudp 53 10.0.10.5\n"
        || bench.run("list-forwards r1") == "tcp 8080 [fd00:10::5]:80\ntcp 8080 10.0.10.5:80\nudp 53 10.0.10.5\n")
    #expect(bench.complaint("forward r1 tcp 8080 10.0.10.6:80").contains("is forwarded already"))
    try bench.run("unforward r1 udp 53")
    #expect(try row(bench)["forwards"].uuids.count == 2)
    try bench.run("del-router r1")
    for table in ["Router", "Router_Port", "Forward"] { #expect(bench.workspace.rows(table).isEmpty, "\(table)") }
  }

  @Test func aNameIsABridgesOrARoutersOrANetworks() throws {
    let bench = try router()
    #expect(bench.complaint("add-br r1").contains("there is a router r1"))
    #expect(bench.complaint("add-br r1 br0 5").contains("there is a router r1"))
    #expect(bench.complaint("--may-exist add-br r1").contains("there is a router r1"))
    #expect(bench.complaint("add-router br0").contains("there is a bridge br0"))
    try bench.run("add-natnet lab 192.168.77.0/24")
    #expect(bench.complaint("add-br lab").contains("there is a NAT network lab"))
    #expect(bench.complaint("add-router lab").contains("there is a NAT network lab"))
  }

  @Test(arguments: [
    "add-router r1", "add-router r2 nosuch=1", "del-router r9", "add-router-port r9 br0", "add-router-port r1 br9",
    "add-router-port r1 br0 tag=10", "add-router-port r1 br0 tag=30 addresses=10.0.0.1", "del-router-port nosuch",
    "add-route r1 10.0.0.1/8 via 10.0.10.2", "add-route r9 default via 10.0.10.2",
    "add-router-policy r1 in=x", "add-router-policy r1 drop colour=red", "forward r1 icmp 80 10.0.10.5",
    "forward r1 tcp 80 a_b:80", "unforward r1 tcp 80", "list-routes r9", "list-forwards r9",
  ])
  func whatIsWrongIsSaidInOneLine(_ line: String) throws {
    let complaint = try router().complaint(line)
    #expect(!complaint.hasPrefix("no complaint"), "\(complaint)")
    #expect(!complaint.contains("\n") && !complaint.isEmpty)
  }
}
