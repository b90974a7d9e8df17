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

  /// One process has two devices; what it sends out of one comes in at the other, goes back with its addresses swapped, and so
  /// on.
  @Test(arguments: options) func framesOfAllSizesPass(options: String) throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0")
      for name in ["v0", "v1"] {
        try daemon.configure("add-port br0 \(name) -- set interface \(name) type=dpdkvhostuser")
      }
      for byteCount in wantsAll || options.isEmpty ? [64, 1518, 9000] : [64, 9000] {
        let before = try daemon.portStatistics("v0")
        let result = try runCommand(
          ["sh", "-c", "(sleep 2; echo start tx_first; sleep 1; echo stop; echo quit) | \"$@\"", "sh"]
            + testpmd(lab, daemon, options, byteCount), deadline: .seconds(60))
        let after = try daemon.portStatistics("v0")
        let sent = after.txPackets - before.txPackets
        #expect(
          sent > 1000 && after.rxPackets > before.rxPackets + 1000,
          "\(options) \(byteCount): \(after)\n\(result.output.suffix(2000))\(result.errorOutput.suffix(1000))")
        #expect(after.addsUp)
        // Frames without their checksum; some few of another length are the driver's own.
        let mean = Int((after.txBytes - before.txBytes) / max(sent, 1))
        #expect(abs(mean - (byteCount - 4)) <= 4, "\(mean)")
      }
    }
  }

  private func testpmd(_ lab: Lab, _ daemon: Daemon, _ options: String, _ byteCount: Int) -> [String] {
    let queues = options.contains("queues=2") ? 2 : 1
    var arguments = [
      "timeout", "40", "dpdk-testpmd", "--no-huge", "-m", "256", "--no-pci", "--no-telemetry", "--file-prefix",
      lab.name,
      "--lcores", "0@0,1@0",
    ]
    for number in 0..<2 {
      let device = "net_virtio_user\(number),mac=02:00:00:00:00:0\(number + 1),path=\(daemon.runDirectory)/v\(number)"
      arguments += ["--vdev", device + (options.isEmpty ? "" : "," + options)]
    }
    arguments += [
      "--", "-i", "--mbuf-size=10240", "--max-pkt-len=9018", "--nb-cores=1", "--forward-mode=macswap",
      "--port-topology=loop", "--eth-peer=0,02:00:00:00:00:02", "--eth-peer=1,02:00:00:00:00:01",
      "--txpkts=\(byteCount - 4)", "--rxq=\(queues)", "--txq=\(queues)", "--total-num-mbufs=4096",
    ]
    return arguments
  }
}
