// The reference switch is only worth something if it is right: it has to do what Open vSwitch 3.1 does, byte for byte.

import Foundation
import ReferenceSwitch
import TestSupport
import Testing
import VSwitchCore

@Suite(.enabled(if: OpenVSwitch.isInstalled || TestEnvironment.isContinuousIntegration, "needs openvswitch-switch"))
struct ReferenceAgainstOpenVSwitchTests {
  /// What Open vSwitch can express and where it keeps to its documentation. Left out is what it does against it, or says
  /// nothing of: VLAN 0 as native VLAN is not always trunked; trunks show priorities of VLAN 0 with `priority-tags=never`, too; a known destination is reached even on
  /// a port that does not carry the frame's VLAN; a priority tag before another tag takes that along; behind a patch
  /// port more tags of a frame are known than `vlan-limit`, but not one of VLAN 0; the drop eligible bit stays or not
  /// depending on the order in which the ports are served.
  static func limits(manyTags: Bool, hasLimitOfTwo: Bool, patches: Bool) -> RandomScenario.Limits {
    var limits = RandomScenario.Limits()
    limits.shortestFrame = 14
    limits.reservedMulticastPerPort = false
    limits.hasVLANZero = false
    limits.bridgeCount = patches ? 2...2 : 1...1
    limits.tagCount = manyTags ? 0...3 : 0...1
    // Two tags are all that it can keep, the service tag included; what it looks at and cannot keep is lost.
    limits.hasTunnels = manyTags && !hasLimitOfTwo
    limits.vlanLimit = hasLimitOfTwo ? 2...2 : 1...1
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
    try withDirectory { directory in
      let oracle = try OpenVSwitch(directory: directory)
      for seed in seeds { try compare(seed, oracle) }
    }
  }

  private func compare(_ seed: UInt64, _ oracle: OpenVSwitch) throws {
    var random = SeededGenerator(seed: seed)
    let limits = Self.limits(
      manyTags: seed % 3 == 0, hasLimitOfTwo: seed % 2 == 0 && seed % 3 != 1, patches: seed % 3 == 1)
    let config = RandomScenario.config(limits, using: &random)
    var reference = ReferenceSwitch(config)
    try oracle.apply(config)
    let entries = config.bridges.flatMap { bridge in
      bridge.ports.filter { $0.interface.kind != .patch }.map { (bridge.name, $0) }
    }
    var now = 0
    for step in 0..<60 {
      guard let (bridge, port) = entries.randomElement(using: &random) else { return }
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
      let frame = RandomScenario.frame(limits, using: &random)
      let expected = try oracle.receive(frame: frame, port: port.name)
      let actual = reference.receive(frame: frame, bridge: bridge, port: port.name, now: now)
      guard actual.outputs == expected else {
        Issue.record(
          """
          seed \(seed) step \(step) at \(now) s: \(port.name) (\(port.vlan)) got \(frame.hexadecimal)
          Open vSwitch: \(expected)
          reference:    \(actual)
          \(config.text)
          reference's table: \(reference.macTable(bridge: bridge, now: now))
          \(oracle.trace(frame: frame, bridge: bridge, port: port.name))
          """)
        return
      }
    }
    for bridge in config.bridges {
      #expect(
        try oracle.macTable(bridge: bridge.name)
          == reference.macTable(bridge: bridge.name, now: now).map { "\($0.vlan) \($0.address)" }.sorted(),
        "seed \(seed)")
    }
  }

  private func withDirectory(_ body: (String) throws -> Void) throws {
    let directory = "/tmp/vswo\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    try body(directory)
  }
}
