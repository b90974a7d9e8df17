// Verbs of NAT networks on a workspace that begins empty.

import OVSDB
import TestSupport
import Testing

@testable import vsctl

@Suite(.blocking) struct NATNetworkTests {
  private func lab() throws -> Bench {
    let bench = Bench()
    try bench.run("add-br br0 -- add-natnet lab 192.168.77.0/24,fd00:77::/64 tag=77 dns=off lease-time=600")
    return bench
  }

  private func row(_ bench: Bench, _ table: String = "NAT_Network") throws -> Row {
    try #require(bench.workspace.rows(table).first)
  }

  @Test func aNetworkIsAddedToTheOnlyBridge() throws {
    let row = try row(lab())
    #expect(row["bridge"].string == "br0" && row["tag"].integer == 77)
    #expect(row["subnets"].strings.sorted() == ["192.168.77.0/24", "fd00:77::/64"])
    #expect(row["dns"] == .boolean(false) && row["lease_time"].integer == 600)
  }

  @Test func withSeveralBridgesOneHasToBeNamed() throws {
    let bench = Bench()
    #expect(bench.complaint("add-natnet lab 10.0.0.0/24").contains("no bridge for the network yet"))
    try bench.run("add-br br0 -- add-br br1 -- add-br out")
    #expect(bench.complaint("add-natnet lab 10.0.0.0/24").contains("bridge=br0"))
    try bench.run("add-natnet lab 10.0.0.0/24 bridge=br1 uplink=out addresses=192.0.2.5/24,2001:db8::5/64")
    let row = try row(bench)
    #expect(row["bridge"].string == "br1")
    #expect(row["addresses"].strings.sorted() == ["192.0.2.5/24", "2001:db8::5/64"])
    // The bridge of the uplink is not meant.
    let other = Bench()
    try other.run("add-br br0 -- add-br out -- add-natnet lab 10.0.0.0/24 uplink=out addresses=192.0.2.5/24")
    #expect(try self.row(other)["bridge"].string == "br0")
  }

  @Test func forwardsAreAddedListedAndTakenAway() throws {
    let bench = try lab()
    try bench.run("forward lab tcp 8080 web:80 -- forward lab udp 5000-5010 192.168.77.9")
    try bench.run("forward lab tcp 22 [fd00:77::9]:2222 address=2001:db8::5")
    #expect(
      try bench.run("list-forwards lab")
        == "tcp [2001:db8::5]:22 [fd00:77::9]:2222\ntcp 8080 web:80\nudp 5000-5010 192.168.77.9\n")
    #expect(bench.complaint("forward lab tcp 8080 other:80").contains("is forwarded already"))
    try bench.run("unforward lab tcp 8080")
    #expect(bench.complaint("unforward lab tcp 8080").contains("does not forward"))
    try bench.run("--if-exists unforward lab tcp 8080")
    #expect(try row(bench)["forwards"].uuids.count == 2)
  }

  @Test func staticLeasesAreAddedAndDeletedByAnyOfTheirNames() throws {
    let bench = try lab()
    try bench.run("add-lease lab 52:54:00:12:34:56 192.168.77.20 web -- add-lease lab 52:54:00:12:34:57 db")
    let rows = bench.workspace.rows("Static_Lease")
    #expect(rows.compactMap { $0["name"].string }.sorted() == ["db", "web"])
    #expect(rows.compactMap { $0["address"].string } == ["192.168.77.20"])
    #expect(bench.complaint("add-lease lab 52:54:00:12:34:56 x").contains("has a static lease already"))
    for name in ["192.168.77.20", "52:54:00:12:34:57"] { try bench.run("del-lease lab \(name)") }
    #expect(bench.workspace.rows("Static_Lease").isEmpty)
    #expect(try row(bench)["static_leases"].uuids.isEmpty)
  }

  @Test func leasesAreListedInOrderOfTheirAddresses() throws {
    let bench = try lab()
    let table = try #require(bench.workspace.table("DHCP_Lease"))
    for (address, name) in [("192.168.77.100", "b"), ("192.168.77.20", "a")] {
      bench.workspace.insert(
        table,
        columns: [
          "network": .string("lab"), "address": .string(address), "mac": .string("52:54:00:00:00:01"),
          "name": .string(name), "expires": .integer(1_000_000_000),
        ])
    }
    let lines = try bench.run("leases lab").split(separator: "\n")
    #expect(lines.count == 4 && lines[2].hasPrefix("lab     192.168.77.20 "))
    #expect(lines[3].hasSuffix("2001-09-09T01:46:40Z"))
    try bench.run("del-natnet lab")
    #expect(bench.workspace.rows("DHCP_Lease").isEmpty && bench.workspace.rows("NAT_Network").isEmpty)
  }

  @Test(arguments: [
    "add-natnet lab 10.0.0.0/24", "add-natnet br0 10.0.0.0/24", "add-natnet x nonsense", "add-natnet x 10.0.0.0",
    "add-natnet x 10.0.0.0/24 bridge=nosuch", "add-natnet x 10.0.0.0/24 nosuch=1", "add-natnet x 10.0.0.0/24 dns=maybe",
    "del-natnet x", "forward x tcp 80 a:80", "forward lab icmp 80 a:80", "forward lab tcp 0 a:80",
    "forward lab tcp 80 a:b", "forward lab tcp 80 a_b:80", "forward lab tcp 99999 a", "add-lease lab x y",
    "add-lease lab 52:54:00:12:34:56", "add-lease lab 52:54:00:12:34:56 a b", "del-lease lab x", "leases x",
    "show-natnet x", "list-forwards x",
  ])
  func whatIsWrongIsSaidInOneLine(_ line: String) throws {
    let complaint = try lab().complaint(line)
    #expect(!complaint.hasPrefix("no complaint"), "\(complaint)")
    #expect(!complaint.contains("\n") && !complaint.isEmpty)
  }

  @Test func whatANetworkIsIsShown() throws {
    let bench = try lab()
    try bench.run("forward lab tcp 8080 web:80")
    let text = try bench.run("show-natnet lab")
    #expect(text.contains("bridge: br0 tag 77\n") && text.contains("forward: tcp 8080 web:80\n"))
    #expect(try bench.run("show-natnet lab", json: true).contains("\"forward\":[\"tcp 8080 web:80\"]"))
    #expect(try bench.run("list-natnets") == "lab\n")
  }
}
