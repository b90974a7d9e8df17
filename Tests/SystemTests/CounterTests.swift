// Counters that add up at every moment, whatever is going on.

import Foundation
import TestSupport
import Testing

@Suite(.blocking, .enabled(if: TestEnvironment.canUseNamespaces, "needs root"))
struct CounterTests {
  @Test func everyPacketIsForwardedOrDroppedForAReasonAtEveryMoment() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0 -- add-br br1")
      let a = try daemon.host("a", "tag=10", addresses: ["10.1.0.1/24"])
      let b = try daemon.host("b", "tag=10", addresses: ["10.1.0.2/24"])
      try daemon.configure("add-port br0 p0 -- set interface p0 type=patch options:peer=p1")
      try daemon.configure("add-port br1 p1 -- set interface p1 type=patch options:peer=p0")
      _ = try daemon.host("c", bridge: "br1", "tag=10", addresses: ["10.1.0.3/24"])
      let serving = try lab.start(["iperf3", "-s", "-1", "-B", "10.1.0.2"], in: b)
      #expect(try eventually { try lab.run(["ss", "-Hltn"], in: b).contains(":5201") })
      let sending = try lab.start(["iperf3", "-c", "10.1.0.2", "-t", "4", "-P", "2"], in: a)
      let socket = try RawSocket(namespace: a, interface: "a")
      var random = SeededGenerator(seed: 1)
      var pollCount = 0
      var last: [String: Daemon.PortStatistics] = [:]
      while sending.isRunning {
        // Frames that the switch has to refuse, or flood, between those of the transfer.
        for number in 0..<30 {
          let tags = number % 2 == 0 ? [FrameTag(UInt16.random(in: 1...4000, using: &random))] : []
          try? socket.send(VLANTests.frame(UInt8(number), tags: tags))
        }
        for port in try daemon.portStatistics() {
          #expect(port.addsUp, "\(port)")
          if let before = last["\(port.bridge) \(port.port)"] {
            #expect(port.rxPackets >= before.rxPackets && port.txBytes >= before.txBytes, "counters do not go back")
          }
          last["\(port.bridge) \(port.port)"] = port
        }
        pollCount += 1
      }
      _ = serving.waitForExit(.seconds(5))
      #expect(pollCount > 10)
      let statistics = try daemon.portStatistics("a")
      #expect(statistics.rxDrops["tagged_on_access", default: 0] > 0)
      #expect(statistics.rxForwarded > 1000)
      #expect(try daemon.portStatistics("p1").rxPackets > 0)
    }
  }

  @Test func bytesAndPacketsAreThoseOfTheHosts() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0")
      for name in ["a", "b"] {
        try daemon.configure("add-port br0 \(name) -- set interface \(name) type=tap")
        try lab.run(["ip", "-n", daemon.namespace, "link", "set", "dev", name, "up"])
      }
      let a = try RawSocket(namespace: daemon.namespace, interface: "a")
      let b = try RawSocket(namespace: daemon.namespace, interface: "b")
      pauseThread(.milliseconds(300))
      let before = try [daemon.portStatistics("a"), daemon.portStatistics("b")]
      for number in 0..<100 { try a.send(VLANTests.frame(UInt8(number))) }
      let arrived = b.receiveAll(.milliseconds(400), where: VLANTests.isOurs)
      #expect(arrived.count == 100)
      let after = try [daemon.portStatistics("a"), daemon.portStatistics("b")]
      // Not less than ours: the kernel adds what it has to say to its neighbours.
      let size = UInt64(VLANTests.frame(0).count)
      #expect(after[0].rxPackets - before[0].rxPackets >= 100)
      #expect(after[0].rxBytes - before[0].rxBytes >= 100 * size)
      #expect(after[1].txPackets - before[1].txPackets >= 100)
      #expect(after[1].txBytes - before[1].txBytes >= 100 * size)
      #expect(after[0].rxForwarded - before[0].rxForwarded >= 100)
    }
  }

  @Test func dropsAreExplainedInPlainWords() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0")
      try daemon.configure("add-port br0 a tag=10 -- set interface a type=tap")
      try lab.run(["ip", "-n", daemon.namespace, "link", "set", "dev", "a", "up"])
      let socket = try RawSocket(namespace: daemon.namespace, interface: "a")
      try socket.send(VLANTests.frame(1, tags: [FrameTag(20)]))
      #expect(eventually { (try? daemon.configure("drops"))?.contains("vlan_mode=trunk") == true })
      let json = try JSONSerialization.jsonObject(with: Data(daemon.configure("drops --json").utf8))
      #expect("\(json)".contains("tagged_on_access"))
    }
  }
}
