// Random switches and frames through the naive switch and through the real forwarding path: the same copies with the same
// bytes leave the same ports, for the same reasons nothing does, and both know the same stations.
// A failure prints its seed; VSWITCH_SEED repeats it.

import Datapath
import Foundation
import ReferenceSwitch
import TestSupport
import Testing
import VSwitchCore

struct ForwardingTests {
  static let seeds = testSeeds(Int(ProcessInfo.processInfo.environment["VSWITCH_DIFFERENTIAL_SEEDS"] ?? "") ?? 400)

  @Test(arguments: stride(from: 0, to: seeds.count, by: 50).map { Array(seeds[$0..<min($0 + 50, seeds.count)]) })
  func theFastPathForwardsAsTheReferenceDoes(seeds: [UInt64]) throws {
    for seed in seeds {
      var random = SeededGenerator(seed: seed)
      let config = RandomScenario.config(using: &random)
      guard try compare(seed, config, stepCount: 150, random: &random) else { return }
    }
  }

  /// The same few headers again and again, as hosts send them: what is kept of a decision must not outlive its reasons.
  @Test(arguments: stride(from: 0, to: seeds.count, by: 50).map { Array(seeds[$0..<min($0 + 50, seeds.count)]) })
  func repeatedFramesAreForwardedAsTheReferenceDoes(seeds: [UInt64]) throws {
    for seed in seeds {
      var random = SeededGenerator(seed: seed ^ 0x5eed)
      let config = RandomScenario.config(using: &random)
      let frames = (0..<8).map { _ in RandomScenario.frame(using: &random) }
      guard try compare(seed, config, frames: frames, stepCount: 150, random: &random) else { return }
    }
  }

  /// Feeds both with random frames, or with some of `frames`; records the first difference.
  /// - Returns: whether they agree.
  private func compare(
    _ seed: UInt64, _ config: SwitchConfig, frames: [[UInt8]] = [], stepCount: Int, random: inout SeededGenerator
  ) throws -> Bool {
    let real = try DatapathHarness(config, seed: seed)
    let packetCount = real.availablePackets
    var reference = ReferenceSwitch(config)
    let ports = config.bridges.flatMap { bridge in
      bridge.ports.filter { $0.interface.kind != .patch }.map { (bridge.name, $0) }
    }
    for step in 0..<stepCount {
      guard let (bridge, port) = ports.randomElement(using: &random) else { return true }
      real.now += [0, 0, 0, 0, 0, 1, 14, 15, 16, 301].randomElement(using: &random) ?? 0
      let now = Int(real.now)
      if Int.random(in: 0..<20, using: &random) == 0, let vlan = RandomScenario.vlans.randomElement(using: &random),
        let address = RandomScenario.stations.randomElement(using: &random)
      {
        #expect(real.addStation(bridge: bridge, vlan: vlan, address: address, port: port.name))
        reference.addStatic(bridge: bridge, vlan: vlan, address: address, port: port.name)
      }
      let frame = frames.randomElement(using: &random) ?? RandomScenario.frame(using: &random)
      // Now and then: it takes longer than all else here.
      let isTraced = step % 8 == 0 && !hasThreeTags(frame)
      let trace = isTraced ? real.trace(bridge: bridge, port: port.name, frame: frame) : nil
      let before = real.counters(bridge: bridge, port: port.name)
      let outputs = real.receive(bridge: bridge, port: port.name, frame: frame).map {
        ReferenceSwitch.Output(bridge: $0.bridge, port: $0.port, frame: $0.frame)
      }.sorted()
      let after = real.counters(bridge: bridge, port: port.name)
      let drop = DropReason.allCases.first { after.receiveDrops[$0, default: 0] > before.receiveDrops[$0, default: 0] }
      let expected = reference.receive(frame: frame, bridge: bridge, port: port.name, now: now)
      // What left through a patch port is forwarded; its end is counted at the port where it came in again.
      let sameDrop = config.bridges.count > 1 || drop == expected.drop
      let addsUp =
        after.receivedPackets == before.receivedPackets + 1
        && after.receivedPackets == after.forwardedPackets + after.receiveDrops.values.reduce(0, +)
      let traceFits = !isTraced || fits(trace, outputs, config.bridges.count > 1 ? nil : drop)
      guard outputs == expected.outputs, sameDrop, addsUp, traceFits, real.availablePackets == packetCount else {
        Issue.record(
          """
          seed \(seed) step \(step) at \(now) s: \(port.name) got \(frame.hexadecimal)
          fast path: \(outputs) \(drop.map { "dropped: \($0.name)" } ?? "")
          reference: \(expected.outputs) \(expected.drop.map { "dropped: \($0.name)" } ?? "")
          trace: \(trace?.description ?? "none")
          counters: \(after)
          packets left in the pool: \(real.availablePackets) of \(packetCount)
          \(config.text)
          reference's table: \(reference.macTable(bridge: bridge, now: now))
          """)
        return false
      }
    }
    for bridge in config.bridges {
      let known = real.stations(bridge: bridge.name).map { "\($0.vlan) \($0.address) \($0.port)" }.sorted()
      let expected = reference.macTable(bridge: bridge.name, now: Int(real.now)).map {
        "\($0.vlan) \($0.address) \($0.port)"
      }.sorted()
      #expect(known == expected, "seed \(seed)")
      if known != expected { return false }
    }
    return true
  }

  /// A third tag is no part of a flow key: a trace does not know it where the first one was taken off.
  private func hasThreeTags(_ frame: [UInt8]) -> Bool {
    frame.count >= 26 && [12, 16, 20].allSatisfy { [[0x81, 0], [0x88, 0xa8]].contains(Array(frame[$0..<($0 + 2)])) }
  }

  /// Whether a trace, made before the frame came in, says what then happened to it.
  private func fits(_ trace: Trace?, _ outputs: [ReferenceSwitch.Output], _ drop: DropReason?) -> Bool {
    guard let trace else { return outputs.isEmpty }
    var exits = trace.outcome.exits.sorted { ($0.bridge, $0.port) < ($1.bridge, $1.port) }
    // Copies that go round a loop of patches may come out of a port several times, in any order.
    for output in outputs {
      let index = exits.firstIndex { exit in
        guard exit.bridge == output.bridge, exit.port == output.port else { return false }
        guard exit.tag != 0, output.frame.count >= 16 else { return exit.tag == 0 }
        let tag = output.frame[12..<16].reduce(0) { $0 << 8 | UInt32($1) }
        // The drop eligible bit is no part of a flow key.
        return tag & 0xffff_efff == exit.tag & 0xffff_efff
      }
      guard let index else { return false }
      exits.remove(at: index)
    }
    return exits.isEmpty && (drop == nil || trace.outcome.drop == drop?.name)
  }

  @Test(arguments: testSeeds(20))
  func aFullTableEvictsFromTheFullestPort(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    var config = SwitchConfig()
    var bridge = BridgeConfig(name: "br1")
    bridge.macTableLimit = Int.random(in: 10...40, using: &random)
    bridge.macAgeingSeconds = 3600
    for number in 1...3 {
      bridge.ports.append(PortConfig(name: "p\(number)", interface: InterfaceConfig(name: "p\(number)", kind: .tap)))
    }
    config.bridges = [bridge]
    let real = try DatapathHarness(config, seed: seed)
    var reference = ReferenceSwitch(config)
    // A few stations behind two ports that are heard again and again; a flood of others behind the third.
    for step in 0..<600 {
      real.now += UInt32.random(in: 0...1, using: &random)
      let isFlood = step >= 6
      let port = isFlood ? "p3" : step % 2 == 0 ? "p1" : "p2"
      let number = isFlood ? UInt32.random(in: 100...500, using: &random) : UInt32(step + 1)
      let frame = FrameBuilder.ethernet(
        to: FrameBuilder.address(UInt32.random(in: 1...6, using: &random)), from: FrameBuilder.address(number),
        etherType: 0x1234, [1, 2, 3])
      let outputs = real.receive(bridge: "br1", port: port, frame: frame).map {
        ReferenceSwitch.Output(bridge: $0.bridge, port: $0.port, frame: $0.frame)
      }
      let expected = reference.receive(frame: frame, bridge: "br1", port: port, now: Int(real.now))
      #expect(outputs.sorted() == expected.outputs, "seed \(seed) step \(step) limit \(bridge.macTableLimit)")
      if outputs.sorted() != expected.outputs { return }
    }
    let learned = real.stations(bridge: "br1").map { "\($0.address) \($0.port)" }.sorted()
    let expected = reference.macTable(bridge: "br1", now: Int(real.now)).map { "\($0.address) \($0.port)" }.sorted()
    #expect(learned == expected)
    #expect(learned.count == bridge.macTableLimit)
    #expect(learned.filter { $0.hasSuffix("p1") || $0.hasSuffix("p2") }.count == 6)
  }
}
