// Several workers: bridges on CPUs of their own, and connections that outlive every move between them.

import Foundation
import TestSupport
import Testing

@Suite(.blocking, .enabled(if: TestEnvironment.canUseNamespaces, "needs root"))
struct MovingBridgeTests {
  /// Bridges by worker, as `vsctl datapath workers` says.
  private func bridges(_ daemon: Daemon) throws -> [[String]] {
    struct Worker: Decodable {
      struct Bridge: Decodable { var name: String }
      var bridges: [Bridge]
    }
    let text = try daemon.configure("datapath workers --json")
    return try JSONDecoder().decode([Worker].self, from: Data(text.utf8)).map { $0.bridges.map(\.name) }
  }

  /// CPUs that the daemon's workers may run on, by their threads' names.
  private func affinities(_ daemon: Daemon) throws -> [String: String] {
    let tasks = "/proc/\(try #require(daemon.processID))/task"
    var found: [String: String] = [:]
    for task in try FileManager.default.contentsOfDirectory(atPath: tasks) {
      guard let name = try? String(contentsOfFile: "\(tasks)/\(task)/comm", encoding: .utf8), name.hasPrefix("worker-"),
        let status = try? String(contentsOfFile: "\(tasks)/\(task)/status", encoding: .utf8)
      else { continue }
      let line = status.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list:") }
      found[name.trimmingCharacters(in: CharacterSet.newlines)] =
        line?.split(separator: "\t").last.map(String.init) ?? ""
    }
    return found
  }

  /// Two bridges with a router each that masquerades, a transfer through each, and everything that makes bridges move.
  @Test(.enabled(if: ProcessInfo.processInfo.processorCount > 1, "needs two processors"))
  func translatedConnectionsOutliveEveryMove() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      let all = try affinities(daemon)["worker-0"]
      for name in ["a", "b"] {
        try daemon.configure("add-br br\(name) -- add-router r\(name)")
        for vlan in [10, 20] {
          try daemon.configure(
            "add-router-port r\(name) br\(name) tag=\(vlan) addresses=10.0.\(vlan).1/24 masquerade=\(vlan == 20)")
        }
      }
      try daemon.configure("set Open_vSwitch . other_config:pmd-cpu-mask=0x3")
      let apart = try bridges(daemon)
      #expect(apart.count == 2 && apart.allSatisfy { $0.count == 2 }, "each with its router: \(apart)")
      #expect(apart.map { $0.contains("bra") != $0.contains("brb") } == [true, true], "\(apart)")
      #expect(try affinities(daemon) == ["worker-0": "0", "worker-1": "1"])
      for name in ["a", "b"] {
        let inner = try daemon.host("in\(name)", bridge: "br\(name)", "tag=10", addresses: ["10.0.10.2/24"])
        let outer = try daemon.host("out\(name)", bridge: "br\(name)", "tag=20", addresses: ["10.0.20.2/24"])
        try lab.run(["ip", "-n", inner, "route", "add", "default", "via", "10.0.10.1"])
        _ = try lab.start(["iperf3", "-s", "-1", "-B", "10.0.20.2"], in: outer)
        #expect(try eventually { try lab.run(["ss", "-Hltn"], in: outer).contains(":5201") })
        // Until the lab ends.
        _ = try lab.start(["iperf3", "-c", "10.0.20.2", "-t", "600", "-b", "100M"], in: inner)
      }
      /// Whether both send on: what is not answered is sent again, but slowly, and given up in the end.
      func bothGoOn() throws -> Bool {
        let before = try ["ina", "inb"].map { try daemon.portStatistics($0).rxBytes }
        return try eventually(.seconds(30)) {
          try zip(["ina", "inb"], before).allSatisfy { try daemon.portStatistics($0).rxBytes > $1 + 3_000_000 }
        }
      }
      let list = "conntrack list"
      #expect(try eventually(.seconds(5)) { try daemon.configure(list).split(separator: "\n").count == 4 })
      let join =
        "add-port bra pa tag=30 -- set interface pa type=patch options:peer=pb "
        + "-- add-port brb pb tag=30 -- set interface pb type=patch options:peer=pa"
      for (line, workers, shared) in [
        (join, 2, true), ("set Open_vSwitch . other_config:pmd-cpu-mask=0x2", 1, true),
        ("del-port pa -- del-port pb", 1, true), ("set Open_vSwitch . other_config:pmd-cpu-mask=3", 2, false),
        ("remove Open_vSwitch . other_config pmd-cpu-mask", 1, true),
      ] {
        try daemon.configure(line)
        let now = try bridges(daemon)
        #expect(
          now.count == workers && now.contains { $0.contains("bra") && $0.contains("brb") } == shared, "\(line): \(now)"
        )
        // A control connection and one for data, each once.
        #expect(try daemon.configure(list).split(separator: "\n").count == 4, "\(line)")
        #expect(try bothGoOn(), "\(line)")
      }
      #expect(try affinities(daemon)["worker-0"] == all)
      for port in try daemon.portStatistics() { #expect(port.addsUp, "\(port)") }
    }
  }

  @Test func whatIsWrongWithAMaskIsLogged() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0 -- set Open_vSwitch . other_config:pmd-cpu-mask=two")
      #expect(eventually { daemon.log.contains("pmd-cpu-mask is \"two\", no hexadecimal number") }, "\(daemon.log)")
      try daemon.configure("set Open_vSwitch . other_config:pmd-cpu-mask=0x4000000000000001")
      #expect(eventually { daemon.log.contains("names CPU 62, which is ignored") }, "\(daemon.log)")
      #expect(
        try daemon.configure("datapath workers")
          == "worker  cpu  bridge  ports\n------  ---  ------  -----\n     0    0  br0     br0\n")
      let shown = try runCommand([
        "ovs-appctl", "--target=\(daemon.runDirectory)/ovs-vswitchd.\(daemon.processID ?? 0).ctl",
        "dpif-netdev/pmd-rxq-show",
      ])
      #expect(shown.output.hasPrefix("pmd thread numa_id 0 core_id 0:\n  isolated : false\n  port: br0 "), "\(shown)")
    }
  }
}
