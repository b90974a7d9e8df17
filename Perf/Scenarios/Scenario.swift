// One kind of traffic that is measured: a switch, what it has to know before, and the frames that come in at one port.
// Each is a worst or a typical case of one step of a packet's way.

import Datapath
import VSwitchCore

/// A kind of traffic through one bridge, `br0`, coming in at `p1`.
package struct Scenario: Sendable {
  package var name: String
  /// What is measured, for people.
  package var summary: String
  /// The ports of `br0`; the first is `p1`.
  var ports: [PortConfig]
  /// What the ports accept; absent ports accept everything.
  var capabilities: [String: OffloadCapabilities] = [:]
  var macTableLimit = 8192
  /// Changes of the flow tables before anything comes in.
  var changes: [TableChange] = []
  /// Frames that make stations known, with their ports.
  var introductions: [(port: String, frame: [UInt8])] = []
  /// Frames that come in again and again, in turn, all of one length.
  var frames: [[UInt8]]
  /// Checksum and segmentation work that comes with each frame.
  var offload = OffloadMetadata()
  /// Frames that leave for one that comes in.
  var copies = 1

  /// Every scenario, in the order of reports.
  package static var all: [Scenario] { forwarding + learning + offloads + flows + conntrack }
}

/// A scenario on a switch of its own.
package final class ScenarioRun {
  private let harness: DatapathHarness
  private let scenario: Scenario
  private let burst: Int
  private var roundCount = 0

  /// - Parameter burst: packets a round.
  package init(_ scenario: Scenario, burst: Int = 32) throws {
    self.scenario = scenario
    self.burst = burst
    var bridge = BridgeConfig(name: "br0")
    bridge.ports = scenario.ports
    bridge.macTableLimit = scenario.macTableLimit
    var config = SwitchConfig()
    config.bridges = [bridge]
    harness = try DatapathHarness(config, capabilities: scenario.capabilities, packetCount: 2048)
    try harness.changeFlows(bridge: "br0", scenario.changes)
    for (port, frame) in scenario.introductions { _ = harness.receive(bridge: "br0", port: port, frame: frame) }
    harness.replay(bridge: "br0", port: "p1", frames: scenario.frames, offload: scenario.offload, burst: burst)
    sentBefore = 0
    sentBefore = transmitted
  }

  private var sentBefore: UInt64

  private var transmitted: UInt64 {
    scenario.ports.dropFirst().reduce(0) { $0 + harness.counters(bridge: "br0", port: $1.name).transmittedPackets }
  }

  /// Lets `count` bursts come in, and what they cause leave.
  package func rounds(_ count: Int) {
    harness.run(rounds: count)
    roundCount += count
  }

  /// Frames that have left.
  package var sent: Int { Int(transmitted - sentBefore) }
  /// Frames that should have left.
  package var expected: Int { roundCount * burst * scenario.copies }
}
