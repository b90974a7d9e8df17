// The switch that the packet fuzzer sends its frames through: for each entry port rules that read or change other headers.
// Thread: one.

import Datapath
import VSwitchCore

/// A bridge whose port 1 learns, and whose other ports have rules of their own.
final class FuzzedBridge {
  private let harness: DatapathHarness
  private let packetCount: Int
  private static let portCount: UInt8 = 8

  init() {
    do {
      // One exit finishes checksums and cuts, the other takes everything as it is.
      harness = try .bridge(
        portCount: Int(Self.portCount) + 2, FuzzedRules.all, capabilities: ["p9": []], packetCount: 8192)
    } catch { fatalError("\(error)") }
    packetCount = harness.availablePackets
  }

  /// Sends a frame twice, the second time by what was cached of the first.
  func receive(_ frame: [UInt8], _ offload: OffloadMetadata, port choice: UInt8) {
    let number = 1 + choice % Self.portCount
    let port = "p\(number)"
    harness.forgetCachedFlows(bridge: "br0")
    let before = harness.counters(bridge: "br0", port: port)
    let first = harness.receive(bridge: "br0", port: port, frame: frame, offload: offload)
    let second = harness.receive(bridge: "br0", port: port, frame: frame, offload: offload)
    _ = harness.takeControllerPackets()
    let after = harness.counters(bridge: "br0", port: port)
    // What NORMAL has learned of the first may send the second elsewhere. Fragments that are cut here have numbers of their
    // own each time: of them only ports and lengths are the same.
    let isSame =
      offload.segmentationType == OffloadMetadata.gsoUFO
      ? first.map { "\($0.port) \($0.frame.count)" } == second.map { "\($0.port) \($0.frame.count)" } : first == second
    if number != 1, !isSame { fatalError("cached: \(second)\nnot cached: \(first)") }
    let ended =
      after.forwardedPackets - before.forwardedPackets + after.receiveDrops.values.reduce(0, +)
      - before.receiveDrops.values.reduce(0, +)
    if ended != 2 || after.receivedPackets != before.receivedPackets + 2 { fatalError("2 packets, \(ended) ends") }
    if harness.availablePackets != packetCount {
      fatalError("\(harness.availablePackets) of \(packetCount) packets are left")
    }
  }
}
