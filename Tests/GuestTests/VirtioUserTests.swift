import Foundation
import TestSupport
import Testing

/// DPDK's virtio-user, the second real driver: no interrupts, its own order of messages, all sizes of frames.
@Suite(
  .enabled(
    if: TestEnvironment.isContinuousIntegration
      || (TestEnvironment.canUseNamespaces && TestEnvironment.hasProgram("dpdk-testpmd")), "needs root and dpdk-testpmd"
  ),
  .serialized)
struct VirtioUserTests {
  static let options =
    wantsAll
    ? [
      "", "packed_vq=1", "mrg_rxbuf=0", "packed_vq=1,mrg_rxbuf=0", "in_order=0", "packed_vq=1,in_order=0",
      "queues=2", "packed_vq=1,queues=2",
    ] : ["", "packed_vq=1,in_order=0", "mrg_rxbuf=0,queues=2"]
  /// With the checksum that no port of ours carries.
  static let byteCounts =
    wantsAll ? [64, 65, 128, 256, 260, 512, 1024, 1518, 2048, 4096, 9000] : [64, 260, 1518, 9000]

  /// One process has two devices; what it sends out of one comes in at the other, goes back with its addresses swapped, and so
  /// on.
  @Test(arguments: options) func framesOfAllSizesGoToAndFro(options: String) throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0")
      for name in ["v0", "v1"] {
        try daemon.configure("add-port br0 \(name) -- set interface \(name) type=dpdkvhostuser")
      }
      let program = try Testpmd(lab, daemon, ports: [0, 1], options, "macswap")
      for byteCount in Self.byteCounts {
        let before = try daemon.portStatistics("v0")
        try program.say("set txpkts \(byteCount - 4)", "start tx_first")
        _ = try eventually(.seconds(10), every: .milliseconds(50)) {
          let now = try daemon.portStatistics("v0")
          return now.txPackets > before.txPackets + 1000 && now.rxPackets > before.rxPackets + 1000
        }
        let after = try daemon.portStatistics("v0")
        #expect(after.txPackets > before.txPackets + 1000, "\(options) \(byteCount): \(after)\n\(program.output)")
        #expect(after.rxPackets > before.rxPackets + 1000)
        try expectMean(byteCount - 4, before, after)
        // What is still under way must not go on with the next size.
        try program.say("stop", "set fwd rxonly", "start")
        try daemon.waitUntilQuiet("v0")
        try program.say("stop", "set fwd macswap")
      }
      for port in try daemon.portStatistics() { #expect(port.addsUp, "\(port)") }
    }
  }

  /// One process sends, another one takes.
  @Test(arguments: ["", "packed_vq=1"]) func framesOfAllSizesGoOneWay(options: String) throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0")
      for name in ["v0", "v1"] {
        try daemon.configure("add-port br0 \(name) -- set interface \(name) type=dpdkvhostuser")
      }
      // The receiver's address is known, so that nothing is flooded.
      try daemon.configure("fdb add br0 v1 0 02:00:00:00:00:02")
      let receiver = try Testpmd(lab, daemon, ports: [1], options, "rxonly")
      try receiver.say("start")
      let sender = try Testpmd(lab, daemon, ports: [0], options, "txonly")
      var expected: UInt64 = 0
      for byteCount in Self.byteCounts {
        let before = try daemon.portStatistics("v1")
        try sender.say("set txpkts \(byteCount - 4)", "start")
        _ = try eventually(.seconds(10), every: .milliseconds(50)) {
          try daemon.portStatistics("v1").txPackets > before.txPackets + 1000
        }
        try sender.say("stop")
        try daemon.waitUntilQuiet("v1")
        let after = try daemon.portStatistics("v1")
        expected = after.txPackets
        #expect(after.txPackets > before.txPackets + 1000, "\(options) \(byteCount): \(after)\n\(sender.output)")
        try expectMean(byteCount - 4, before, after)
      }
      for port in try daemon.portStatistics() { #expect(port.addsUp, "\(port)") }
      // What the switch says that it gave is what the driver has got.
      try receiver.say("stop", "show port stats all", "quit")
      let said = receiver.waitForEnd()
      #expect(said.contains("RX-packets: \(expected) "), "\(expected): \(said)")
    }
  }

  /// Some few frames of another length are the driver's own.
  private func expectMean(_ byteCount: Int, _ before: Daemon.PortStatistics, _ after: Daemon.PortStatistics) throws {
    let mean = Int((after.txBytes - before.txBytes) / max(after.txPackets - before.txPackets, 1))
    #expect(abs(mean - byteCount) <= 4, "\(mean)")
  }
}

extension Daemon {
  /// Waits until a port passes nothing any more.
  fileprivate func waitUntilQuiet(_ port: String) throws {
    var last = try portStatistics(port)
    _ = try eventually(.seconds(5), every: .milliseconds(60)) {
      let now = try portStatistics(port)
      defer { last = now }
      return now.txPackets == last.txPackets && now.rxPackets == last.rxPackets
    }
  }
}

/// A running testpmd that takes commands.
private final class Testpmd {
  private let command: BackgroundCommand
  private let input: FileHandle

  /// - Parameter ports: numbers of the switch's ports v0, v1; a device's peer is the other one.
  init(_ lab: Lab, _ daemon: Daemon, ports: [Int], _ options: String, _ mode: String) throws {
    let queues = options.contains("queues=2") ? 2 : 1
    let name = "\(lab.name)-\(ports[0])"
    let pipe = "\(lab.directory)/\(name)"
    try lab.run(["mkfifo", pipe])
    var arguments = [
      "sh", "-c", "pipe=$1; shift; exec \"$@\" < $pipe", "sh", pipe, "timeout", "60", "dpdk-testpmd", "--no-huge", "-m",
      "256", "--no-pci", "--no-telemetry", "--file-prefix", name, "--lcores", "0@0,1@0",
    ]
    for (device, number) in ports.enumerated() {
      let text = "net_virtio_user\(device),mac=02:00:00:00:00:0\(number + 1),path=\(daemon.runDirectory)/v\(number)"
      arguments += ["--vdev", text + (options.isEmpty ? "" : "," + options)]
    }
    arguments += [
      "--", "-i", "--mbuf-size=10240", "--max-pkt-len=9018", "--nb-cores=1", "--forward-mode=\(mode)",
      "--port-topology=loop", "--rxq=\(queues)", "--txq=\(queues)", "--total-num-mbufs=4096",
    ]
    for (device, number) in ports.enumerated() {
      arguments.append("--eth-peer=\(device),02:00:00:00:00:0\(2 - number)")
    }
    command = try lab.start(arguments)
    // Waits for the reader.
    guard let input = FileHandle(forWritingAtPath: pipe) else { throw TestFailure("no \(pipe)") }
    self.input = input
    let isReady = eventually(.seconds(20)) { output.contains("testpmd>") }
    guard isReady else { throw TestFailure("testpmd is not ready: \(output)\(command.errorOutput)") }
  }

  func say(_ lines: String...) throws {
    guard command.isRunning else { throw TestFailure("testpmd has ended: \(output)\(command.errorOutput)") }
    for line in lines { try input.write(contentsOf: Data((line + "\n").utf8)) }
  }

  /// Waits until it has done what it was told last, which is to quit: only then it has said all.
  func waitForEnd() -> String {
    _ = command.waitForExit(.seconds(10))
    return output
  }

  /// The end of what it says.
  var output: String { String(command.output.suffix(3000)) }
}
