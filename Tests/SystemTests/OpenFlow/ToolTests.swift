// Debian's ovs-ofctl on a bridge's management socket, and hosts whose packets then go as its rules say.

import TestSupport
import Testing

@Suite(.enabled(if: TestEnvironment.canUseNamespaces, "needs root"))
struct OpenFlowToolTests {
  private func ofctl(_ daemon: Daemon, _ arguments: [String], version: String = "OpenFlow13") throws -> String {
    let socket = "unix:\(daemon.runDirectory)/br0.mgmt"
    return try TestSupport.require(
      ["ovs-ofctl", "-O", version, arguments[0], socket] + arguments.dropFirst())
  }

  @Test(arguments: ["OpenFlow10", "OpenFlow13", "OpenFlow14", "OpenFlow15"])
  func everyVersionIsSpoken(version: String) throws {
    try ConnectivityTests.withTwoHosts { _, daemon, _, _ throws in
      let shown = try ofctl(daemon, ["show"], version: version)
      #expect(shown.contains("n_tables:254") && shown.contains("(a): addr:"))
      #expect(try ofctl(daemon, ["dump-flows"], version: version).contains("priority=0 actions=NORMAL"))
      _ = try ofctl(daemon, ["add-flow", "priority=7,ip,nw_dst=192.0.2.0/24,actions=drop"], version: version)
      #expect(
        try ofctl(daemon, ["dump-flows"], version: version).contains("priority=7,ip,nw_dst=192.0.2.0/24 actions=drop"))
      #expect(try ofctl(daemon, ["dump-aggregate"], version: version).contains("flow_count=2"))
      #expect(try ofctl(daemon, ["dump-ports"], version: version).contains("3 ports"))
    }
  }

  @Test func packetsGoAsTheRulesSay() throws {
    try ConnectivityTests.withTwoHosts { lab, daemon, a, _ throws in
      #expect(try lab.canPing("10.1.0.2", from: a, count: 2))
      _ = try ofctl(daemon, ["del-flows"])
      #expect(try !lab.canPing("10.1.0.2", from: a, count: 1))
      let ports = try ofctl(daemon, ["show"])
      let number = { (name: String) -> String? in
        ports.split(separator: "\n").first { $0.contains("(\(name)):") }?.split(separator: "(").first.map {
          String($0.filter { $0 != " " })
        }
      }
      let one = try #require(number("a"))
      let two = try #require(number("b"))
      _ = try ofctl(daemon, ["add-flow", "in_port=\(one),actions=goto_table:5"])
      _ = try ofctl(daemon, ["add-flow", "table=5,actions=output:\(two)"])
      _ = try ofctl(daemon, ["add-flow", "in_port=\(two),actions=output:\(one)"])
      #expect(try lab.canPing("10.1.0.2", from: a, count: 5))
      let flows = try ofctl(daemon, ["dump-flows"])
      // Five echo requests and whatever the hosts said besides, in both tables the same.
      let counts = flows.split(separator: "\n").filter { $0.contains("goto_table") || $0.contains("table=5") }
        .compactMap {
          $0.split(separator: "n_packets=").last?.split(separator: ",").first.flatMap { Int($0) }
        }
      #expect(counts.count == 2 && counts[0] == counts[1] && counts[0] >= 5, "\(flows)")
      _ = try ofctl(daemon, ["add-flow", "priority=60000,icmp,actions=drop"])
      #expect(try !lab.canPing("10.1.0.2", from: a, count: 1))
      #expect(try ofctl(daemon, ["dump-flows", "icmp"]).contains("n_packets="))
    }
  }

  @Test func aRuleGoesWhenItsTimeIsOver() throws {
    try ConnectivityTests.withTwoHosts { _, daemon, _, _ throws in
      _ = try ofctl(daemon, ["add-flow", "hard_timeout=1,priority=9,udp,actions=drop"])
      #expect(try ofctl(daemon, ["dump-aggregate"]).contains("flow_count=2"))
      #expect(try eventually { try ofctl(daemon, ["dump-aggregate"]).contains("flow_count=1") })
    }
  }

  @Test func aRefusedRuleOrBundleLeavesNothing() throws {
    try ConnectivityTests.withTwoHosts { lab, daemon, a, _ throws in
      #expect(throws: (any Error).self) { try ofctl(daemon, ["add-flow", "priority=7,udp,actions=group:9"]) }
      #expect(throws: (any Error).self) { try ofctl(daemon, ["add-flow", "priority=7,ip,actions=ct(table=1)"]) }
      let file = "\(daemon.runDirectory)/flows"
      _ = try TestSupport.require(
        ["sh", "-c", "printf 'priority=9,udp,actions=drop\\npriority=8,udp,actions=group:9\\n' > '\(file)'"])
      #expect(throws: (any Error).self) { try ofctl(daemon, ["--bundle", "add-flows", file], version: "OpenFlow14") }
      #expect(try ofctl(daemon, ["dump-aggregate"]).contains("flow_count=1"))
      #expect(try lab.canPing("10.1.0.2", from: a, count: 2))
    }
  }
}
