// Verbs of security groups on a workspace that begins empty.

import OVSDB
import TestSupport
import Testing

@testable import vsctl

@Suite(.blocking) struct SecurityGroupTests {
  private func lab() throws -> Bench {
    let bench = Bench()
    try bench.run("add-br br0 -- add-port br0 vm1 -- add-secgroup web -- add-secgroup db")
    return bench
  }

  @Test func rulesAreListedAsTheyAreWritten() throws {
    let bench = try lab()
    let rules = [
      "in tcp 22,8000-8080 from=10.0.0.0/8", "in tcp 5432 from=web name=sql", "out udp 53 to=2001:db8::/32",
      "in ipv6 icmp", "in proto=47",
    ]
    for rule in rules { try bench.run("add-secgroup-rule db \(rule)") }
    #expect(try bench.run("list-secgroup-rules db") == rules.sorted().joined(separator: "\n") + "\n")
    #expect(try bench.run("list-secgroups") == "db\nweb\n")
    #expect(bench.complaint("add-secgroup-rule db in ipv6 icmp").contains("has that rule already"))
    try bench.run("del-secgroup-rule db sql -- del-secgroup-rule db in ipv6 icmp")
    #expect(bench.complaint("del-secgroup-rule db sql").contains("has no rule sql"))
    try bench.run("--if-exists del-secgroup-rule db sql")
    #expect(bench.workspace.rows("Security_Group_Rule").count == 3)
  }

  @Test func servicesAreKnownByName() throws {
    let bench = try lab()
    try bench.run("add-secgroup-rule web in dns -- add-secgroup-rule web in web from=10.0.0.0/8")
    #expect(
      try bench.run("list-secgroup-rules web")
        == "in tcp 53 name=dns\nin tcp 80,443 from=10.0.0.0/8 name=web\nin udp 53 name=dns\n")
    try bench.run("del-secgroup-rule web dns")
    #expect(bench.workspace.rows("Security_Group_Rule").count == 1)
  }

  @Test func aGroupThatAPortHasStays() throws {
    let bench = try lab()
    try bench.run("set port vm1 secgroup=web,db")
    #expect(bench.complaint("del-secgroup web").contains("vsctl remove port vm1 secgroup web"))
    try bench.run("remove port vm1 secgroup web -- del-secgroup web")
    #expect(try bench.run("list-secgroups") == "db\n")
    #expect(try bench.run("get port vm1 secgroup") == "[db]\n")
  }

  @Test func columnsThatOpenVSwitchHasNotAreShownWhereSomethingIsInThem() throws {
    let bench = try lab()
    #expect(try !bench.run("list port vm1").contains("secgroup"))
    try bench.run("set port vm1 secgroup=web")
    #expect(try bench.run("list port vm1").contains("secgroup"))
    // Beginnings that are unique among Open vSwitch's columns stay so.
    #expect(try bench.run("get port vm1 p") == "false\n")
  }

  @Test(arguments: [
    "add-secgroup web", "add-secgroup a,b", "del-secgroup nosuch", "add-secgroup-rule nosuch in ssh",
    "add-secgroup-rule web ssh", "add-secgroup-rule web in nonsense", "add-secgroup-rule web sideways tcp 1",
    "list-secgroup-rules nosuch", "del-secgroup-rule web nosuch", "add-secgroup-rule web in family=ipx",
  ])
  func whatIsWrongIsSaidInOneLine(_ line: String) throws {
    let complaint = try lab().complaint(line)
    #expect(!complaint.hasPrefix("no complaint"), "\(complaint)")
    #expect(!complaint.contains("\n") && !complaint.isEmpty)
  }
}
