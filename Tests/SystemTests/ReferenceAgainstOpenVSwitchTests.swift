// The reference switch is only worth something if it is right: it has to do what Open vSwitch 3.1 does, byte for byte.

import Foundation
import ReferenceSwitch
import TestSupport
import Testing
import VSwitchCore

@Suite(
  .blocking,
  .enabled(if: OpenVSwitch.isInstalled || TestEnvironment.isContinuousIntegration, "needs openvswitch-switch"))
struct ReferenceAgainstOpenVSwitchTests {
  /// What Open vSwitch can express and where it keeps to its documentation. Left out is what it does against it, or says
  /// nothing of: VLAN 0 as native VLAN is not always trunked; trunks show priorities of VLAN 0 with
  /// `priority-tags=never`, too; a known destination is reached even on a port that does not carry the frame's VLAN; a
  /// priority tag before another tag takes that along; behind a patch port more tags of a frame are known than on the
  /// wire, but not one of VLAN 0; the drop eligible bit stays or not depending on the order in which ports are served.
  static func limits(manyTags: Bool, patches: Bool) -> RandomScenario.Limits {
    var limits = RandomScenario.Limits()
    limits.shortestFrame = 14
    limits.reservedMulticastPerPort = false
    limits.hasVLANZero = false
    limits.bridgeCount = patches ? 2...2 : 1...1
    limits.tagCount = manyTags ? 0...3 : 0...1
    limits.hasTunnels = manyTags
    limits.hasKnownDestinations = !manyTags
    limits.hasPriorityTags = !manyTags && !patches
    limits.hasPriorityTaggedFrames = !manyTags && !patches
    limits.trunksHidePriorities = !limits.hasPriorityTaggedFrames
    limits.hasDropEligible = false
    return limits
  }

  static let seeds = testSeeds(Int(ProcessInfo.processInfo.environment["VSWITCH_ORACLE_SEEDS"] ?? "") ?? 24)

  @Test(arguments: stride(from: 0, to: seeds.count, by: 12).map { Array(seeds[$0..<min($0 + 12, seeds.count)]) })
  func theReferenceForwardsAsOpenVSwitchDoes(seeds: [UInt64]) throws {
    try withDirectory { directory throws in
      let oracle = try OpenVSwitch(directory: directory)
      for seed in seeds {
        // Its main loop has no end that one could wait for, so on a busy machine an entry may age, or a copy leave, one
        // turn later than looked at. A real difference is there again; one that is not is shown, and no failure.
        guard let first = try difference(seed, oracle) else { continue }
        let second = try difference(seed, oracle)
        #expect(second == nil)
        if second == nil { print("seed \(seed) differed once and not again:\n\(first)") }
      }
    }
  }

  /// Sends the frames of a seed through both.
  /// - Returns: the first difference.
  private func difference(_ seed: UInt64, _ oracle: OpenVSwitch) throws -> String? {
    var random = SeededGenerator(seed: seed)
    let limits = Self.limits(manyTags: seed % 3 == 0, patches: seed % 3 == 1)
    let config = RandomScenario.config(limits, using: &random)
    var reference = ReferenceSwitch(config)
    try oracle.apply(config)
    let entries = config.bridges.flatMap { bridge in
      bridge.ports.filter { $0.interface.kind != .patch }.map { (bridge.name, $0) }
    }
    var now = 0
    for step in 0..<60 {
      guard let (bridge, port) = entries.randomElement(using: &random) else { return nil }
      let seconds = [0, 0, 0, 1, 14, 15, 16, 301].randomElement(using: &random) ?? 0
      now += seconds
      try oracle.advance(seconds: seconds)
      if Int.random(in: 0..<20, using: &random) == 0,
        let address = RandomScenario.stations.randomElement(using: &random),
        port.vlan.mode != .trunk || port.vlan.trunks.isEmpty || port.vlan.trunks.contains(0)
      {
        try oracle.addStatic(bridge: bridge, vlan: port.vlan.tag, address: address, port: port.name)
        reference.addStatic(bridge: bridge, vlan: port.vlan.tag, address: address, port: port.name)
      }
      var frame = RandomScenario.frame(limits, using: &random)
      // Two tags are all that it keeps, the service tag included, and half a tag is payload to it.
      var isPlain = limits
      isPlain.tagCount = 0...1
      while port.vlan.mode == .dot1qTunnel && frame.tagCount > 1 || frame.endsInsideTag {
        frame = RandomScenario.frame(isPlain, using: &random)
      }
      var expected = try oracle.receive(frame: frame, port: port.name)
      let actual = reference.receive(frame: frame, bridge: bridge, port: port.name, now: now)
      // Copies may be a little late on a busy machine.
      for _ in 0..<10 where expected.count < actual.outputs.count {
        pauseThread(.milliseconds(20))
        expected = try (expected + oracle.newFrames()).sorted()
      }
      guard actual.outputs == expected else {
        return """
          seed \(seed) step \(step) at \(now) s: \(port.name) (\(port.vlan)) got \(frame.hexadecimal)
          Open vSwitch: \(expected)
          reference:    \(actual)
          \(config.text)
          reference's table: \(reference.macTable(bridge: bridge, now: now))
          \(oracle.trace(frame: frame, bridge: bridge, port: port.name))
          """
      }
    }
    for bridge in config.bridges {
      let theirs = try oracle.macTable(bridge: bridge.name)
      let ours = reference.macTable(bridge: bridge.name, now: now).map { "\($0.vlan) \($0.address)" }.sorted()
      if theirs != ours { return "seed \(seed): Open vSwitch knows \(theirs), the reference \(ours)" }
    }
    return nil
  }

  private func withDirectory(_ body: (String) throws -> Void) throws {
    let directory = "/tmp/vswo\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    try body(directory)
  }
}

extension [UInt8] {
  private func isTag(at offset: Int) -> Bool {
    count >= offset + 2
      && (self[offset] == 0x81 && self[offset + 1] == 0 || self[offset] == 0x88 && self[offset + 1] == 0xa8)
  }

  /// Tags in the frame, whole or not.
  fileprivate var tagCount: Int {
    var count = 0
    while isTag(at: 12 + 4 * count) { count += 1 }
    return count
  }

  /// One of the first two tags has no EtherType behind it.
  fileprivate var endsInsideTag: Bool { tagCount > 0 && count < 14 + 4 * Swift.min(tagCount, 2) }
}
