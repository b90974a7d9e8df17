// What is sent: one transaction, RFC 7047 §5.2.

import OVSDB
import TestSupport
import Testing

@testable import vsctl

@Suite(.blocking) struct TransactionTests {
  @Test func theFirstCommandMakesTheRootRow() throws {
    let bench = Bench()
    try bench.run("add-br br0")
    let transaction = try #require(bench.workspace.transaction(asksForConfig: true, comment: "c"))
    let operations = transaction.operations
    #expect(
      operations.map { $0["op"]?.string ?? "" } == [
        "wait", "insert", "insert", "insert", "insert", "mutate", "select", "comment",
      ])
    #expect(
      operations[0].serialized()
        == "{\"op\":\"wait\",\"rows\":[],\"table\":\"Open_vSwitch\",\"timeout\":0,\"until\":\"==\",\"where\":[]}")
    let tables = operations[1...4].map { $0["table"]?.string ?? "" }
    #expect(tables == ["Interface", "Port", "Bridge", "Open_vSwitch"])
    #expect(operations[1]["row"]?.serialized() == "{\"name\":\"br0\",\"type\":\"internal\"}")
    let interfaceName = try #require(operations[1]["uuid-name"]?.string)
    #expect(operations[2]["row"]?["interfaces"]?[1]?[0]?[1]?.string == interfaceName)
    #expect(operations[5]["mutations"]?.serialized() == "[[\"next_cfg\",\"+=\",1]]")
    #expect(transaction.nextConfigIndex == 6)
    #expect(transaction.insertIndexes.values.sorted() == [1, 2, 3])
  }

  @Test func questionsSendNothing() throws {
    let bench = Bench(hasRoot: true)
    try bench.run("list-br -- list port -- show -- --if-exists del-br br9")
    #expect(bench.workspace.transaction(asksForConfig: true, comment: "") == nil)
  }

  @Test func withoutWaitingNoConfigNumberIsAskedFor() throws {
    let bench = Bench()
    try bench.run("add-br br0")
    let transaction = try #require(bench.workspace.transaction(asksForConfig: false, comment: ""))
    #expect(transaction.nextConfigIndex == nil)
    #expect(!transaction.operations.contains { $0["op"]?.string == "select" })
  }

  @Test func whatWasMadeAndDeletedInOneLineIsNotSent() throws {
    let bench = Bench()
    try bench.run("add-br br0 -- add-port br0 p1 -- del-port p1 -- add-port br0 p1 tag=5")
    let transaction = try #require(bench.workspace.transaction(asksForConfig: false, comment: ""))
    let ports = transaction.operations.filter { $0["op"]?.string == "insert" && $0["table"]?.string == "Port" }
    #expect(ports.map { $0["row"]?["name"]?.string ?? "" } == ["br0", "p1"])
    #expect(ports[1]["row"]?["tag"]?.integer == 5)
  }
}

extension Workspace.Transaction: Equatable {
  public static func == (a: Self, b: Self) -> Bool { a.operations == b.operations }
}
