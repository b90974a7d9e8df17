import TestSupport
import Testing
import VSwitchCore

@testable import Datapath

/// The bridge through the real path, stepped by hand.
@Suite struct BridgeForwardingTests {
  static func port(_ name: String, _ change: (inout PortConfig) -> Void = { _ in }) -> PortConfig {
    var port = PortConfig(name: name, interface: InterfaceConfig(name: name, kind: .tap))
    change(&port)
    return port
  }
  static func harness(_ ports: [PortConfig], _ change: (inout BridgeConfig) -> Void = { _ in }) throws
    -> DatapathHarness
  {
    var bridge = BridgeConfig(name: "br0")
    bridge.ports = ports
    change(&bridge)
    var config = SwitchConfig()
    config.bridges = [bridge]
    return try DatapathHarness(config)
  }
  static func frame(to destination: UInt8, from source: UInt8, tags: [UInt8] = [], payload: Int = 46) -> [UInt8] {
    [2, 0, 0, 0, 0, destination, 2, 0, 0, 0, 0, source] + tags + [0x08, 0x00] + (0..<payload).map { UInt8($0 & 255) }
  }
  static let broadcast: [UInt8] =
    Array(repeating: 0xff, count: 6) + [2, 0, 0, 0, 0, 1, 8, 6] + Array(repeating: 7, count: 46)

  @Test func unknownIsFloodedAndKnownIsNot() throws {
    let harness = try Self.harness([Self.port("a"), Self.port("b"), Self.port("c")])
    let there = Self.frame(to: 2, from: 1)
    #expect(harness.receive(bridge: "br0", port: "a", frame: there).map(\.port) == ["b", "c"])
    let back = harness.receive(bridge: "br0", port: "b", frame: Self.frame(to: 1, from: 2))
    #expect(back.map(\.port) == ["a"])
    #expect(back.first?.frame == Self.frame(to: 1, from: 2))
    #expect(harness.receive(bridge: "br0", port: "a", frame: there).map(\.port) == ["b"])
  }

  /// Buffers that held longer frames before are used again: nothing of those may leave behind a short one.
  @Test func runtsLeaveByteByByteAsTheyCame() throws {
    let harness = try Self.harness([
      Self.port("a"), Self.port("b"),
      Self.port("access") {
        $0.vlan.mode = .access
        $0.vlan.tag = 10
      },
      Self.port("trunk") { $0.vlan.trunks = [10] },
    ])
    for _ in 0..<3 {
      _ = harness.receive(
        bridge: "br0", port: "a", frames: Array(repeating: Self.frame(to: 9, from: 1, payload: 1500), count: 64))
      for byteCount in 14...60 {
        let frame = Self.frame(to: 2, from: 1, payload: byteCount - 14)
        for output in harness.receive(bridge: "br0", port: "a", frame: frame) { #expect(output.frame == frame) }
        let tagged = Self.frame(to: 2, from: 1, tags: [0x81, 0, 0, 10], payload: byteCount - 14)
        let outputs = harness.receive(bridge: "br0", port: "access", frame: frame)
        #expect(outputs.filter { $0.port == "trunk" }.map(\.frame) == [tagged])
        let back = harness.receive(bridge: "br0", port: "trunk", frame: tagged)
        #expect(back.filter { $0.port == "access" }.map(\.frame) == [frame])
      }
    }
  }

  @Test func movedStationIsFollowedAtOnce() throws {
    let harness = try Self.harness([Self.port("a"), Self.port("b"), Self.port("c")])
    _ = harness.receive(bridge: "br0", port: "a", frame: Self.frame(to: 9, from: 1))
    _ = harness.receive(bridge: "br0", port: "b", frame: Self.frame(to: 9, from: 1))
    #expect(harness.receive(bridge: "br0", port: "c", frame: Self.frame(to: 1, from: 3)).map(\.port) == ["b"])
  }

  @Test func agedStationIsFloodedAgain() throws {
    let harness = try Self.harness([Self.port("a"), Self.port("b"), Self.port("c")])
    _ = harness.receive(bridge: "br0", port: "a", frame: Self.frame(to: 9, from: 1))
    harness.now += 299
    #expect(harness.receive(bridge: "br0", port: "c", frame: Self.frame(to: 1, from: 3)).map(\.port) == ["a"])
    harness.now += 1
    #expect(harness.receive(bridge: "br0", port: "c", frame: Self.frame(to: 1, from: 3)).map(\.port) == ["a", "b"])
  }

  @Test func tagIsPutOnAndTakenOff() throws {
    let harness = try Self.harness([
      Self.port("access") {
        $0.vlan.mode = .access
        $0.vlan.tag = 10
      }, Self.port("trunk"),
      Self.port("other") {
        $0.vlan.mode = .access
        $0.vlan.tag = 20
      },
    ])
    let out = harness.receive(bridge: "br0", port: "access", frame: Self.broadcast)
    #expect(out.map(\.port) == ["trunk"])
    let tagged = Array(Self.broadcast.prefix(12)) + [0x81, 0x00, 0x00, 0x0a] + Array(Self.broadcast.dropFirst(12))
    #expect(out.first?.frame == tagged)
    let back = harness.receive(bridge: "br0", port: "trunk", frame: tagged)
    #expect(back.map(\.port) == ["access"])
    #expect(back.first?.frame == Self.broadcast)
  }

  @Test func checksumMetadataMovesWithTheTag() throws {
    let harness = try Self.harness([
      Self.port("access") {
        $0.vlan.mode = .access
        $0.vlan.tag = 10
      }, Self.port("trunk"),
    ])
    var udp = Self.frame(to: 2, from: 1, payload: 46)
    udp.replaceSubrange(14..<34, with: [0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2])
    udp.replaceSubrange(34..<42, with: [0, 9, 0, 9, 0, 26, 0, 0])
    var offload = OffloadMetadata()
    offload.flags = OffloadMetadata.needsChecksum
    offload.checksumStart = 34
    offload.checksumOffset = 6
    let out = harness.receive(bridge: "br0", port: "access", frame: udp, offload: offload)
    #expect(out.first?.offload.checksumStart == 38)
    #expect(out.first?.offload.checksumOffset == 6)
  }

  @Test func oneBurstWithMixedDestinationsGoesWhereEachBelongs() throws {
    let harness = try Self.harness([Self.port("a"), Self.port("b"), Self.port("c")])
    _ = harness.receive(bridge: "br0", port: "b", frame: Self.frame(to: 1, from: 2))
    _ = harness.receive(bridge: "br0", port: "c", frame: Self.frame(to: 1, from: 3))
    var sent: [[UInt8]] = []
    for i in 0..<20 { sent.append(Self.frame(to: UInt8([2, 2, 3][i % 3]), from: 1, payload: 46 + i)) }
    let out = harness.receive(bridge: "br0", port: "a", frames: sent)
    #expect(out.filter { $0.port == "b" }.map(\.frame) == sent.filter { $0[5] == 2 })
    #expect(out.filter { $0.port == "c" }.map(\.frame) == sent.filter { $0[5] == 3 })
    #expect(out.count == 20)
  }

  @Test func reservedMulticastStaysUnlessPortsLetItPass() throws {
    let bpdu: [UInt8] = [1, 0x80, 0xc2, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0, 38] + Array(repeating: 0, count: 46)
    let plain = try Self.harness([Self.port("a"), Self.port("b")])
    #expect(plain.receive(bridge: "br0", port: "a", frame: bpdu).isEmpty)
    #expect(plain.counters(bridge: "br0", port: "a").receiveDrops[.reservedMulticast] == 1)
    let open: (inout PortConfig) -> Void = { $0.forwardReservedMulticast = true }
    let some = try Self.harness([Self.port("a", open), Self.port("b", open), Self.port("c")])
    #expect(some.receive(bridge: "br0", port: "a", frame: bpdu).map(\.port) == ["b"])
    #expect(some.receive(bridge: "br0", port: "c", frame: bpdu).isEmpty)
    let whole = try Self.harness([Self.port("a"), Self.port("b")]) { $0.forwardReservedMulticast = true }
    #expect(whole.receive(bridge: "br0", port: "a", frame: bpdu).map(\.port) == ["b"])
  }

  @Test func protectedPortsDoNotReachEachOther() throws {
    let guarded: (inout PortConfig) -> Void = { $0.isProtected = true }
    let harness = try Self.harness([Self.port("a", guarded), Self.port("b", guarded), Self.port("c")])
    #expect(harness.receive(bridge: "br0", port: "a", frame: Self.broadcast).map(\.port) == ["c"])
    _ = harness.receive(bridge: "br0", port: "b", frame: Self.frame(to: 9, from: 2))
    #expect(harness.receive(bridge: "br0", port: "a", frame: Self.frame(to: 2, from: 1)).isEmpty)
    #expect(harness.counters(bridge: "br0", port: "a").receiveDrops[.protectedPort] == 1)
  }

  @Test func patchJoinsBridgesAndLoopsEnd() throws {
    func bridge(_ name: String, _ peer: String) -> BridgeConfig {
      var bridge = BridgeConfig(name: name)
      var patch = PortConfig(name: "\(name)-p", interface: InterfaceConfig(name: "\(name)-p", kind: .patch))
      patch.interface.options["peer"] = peer
      bridge.ports = [Self.port("\(name)-a"), patch]
      return bridge
    }
    var config = SwitchConfig()
    config.bridges = [bridge("x", "y-p"), bridge("y", "x-p")]
    let harness = try DatapathHarness(config)
    #expect(harness.receive(bridge: "x", port: "x-a", frame: Self.broadcast).map(\.port) == ["y-a"])
    #expect(harness.receive(bridge: "y", port: "y-a", frame: Self.frame(to: 1, from: 5)).map(\.port) == ["x-a"])
    // Two patches between the same bridges are a loop: it ends, and every buffer comes back.
    for (name, peer) in [("x", "y-q"), ("y", "x-q")] {
      var patch = PortConfig(name: "\(name)-q", interface: InterfaceConfig(name: "\(name)-q", kind: .patch))
      patch.interface.options["peer"] = peer
      config.bridges[name == "x" ? 0 : 1].ports.append(patch)
    }
    let loop = try DatapathHarness(config)
    let all = loop.availablePackets
    _ = loop.receive(bridge: "x", port: "x-a", frame: Self.broadcast)
    #expect(loop.availablePackets == all)
    let looped = ["x-p", "x-q"].map { loop.counters(bridge: "x", port: $0).transmitDrops[.patchLoop] ?? 0 }
    #expect(looped.contains { $0 > 0 })
  }

  /// Random frames of any bytes and lengths: nothing traps, every buffer comes back, and every counter adds up.
  @Test(arguments: testSeeds(4))
  func anyBytesEndAsForwardOrCountedDrop(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let modes = VLANConfig.Mode.allCases
    let ports = (0..<6).map { number in
      Self.port("p\(number)") {
        $0.vlan.mode = modes[number % modes.count]
        $0.vlan.tag = 10
        $0.isProtected = number > 3
      }
    }
    let harness = try Self.harness(ports) { $0.macTableLimit = 16 }
    let all = harness.availablePackets
    for _ in 0..<5000 {
      var frame = (0..<Int.random(in: 0...70, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
      if frame.count > 14, Bool.random(using: &random) { frame.replaceSubrange(12..<14, with: [0x81, 0x00]) }
      if frame.count > 20, Bool.random(using: &random) { frame[0] &= 0xfe }
      var offload = OffloadMetadata()
      if Int.random(in: 0...3, using: &random) == 0 {
        offload.flags = UInt8.random(in: 0...255, using: &random)
        offload.gsoType = UInt8.random(in: 0...6, using: &random)
        offload.gsoByteCount = UInt16.random(in: 0...1500, using: &random)
        offload.checksumStart = UInt16.random(in: 0...80, using: &random)
        offload.checksumOffset = UInt16.random(in: 0...80, using: &random)
      }
      let port = "p\(Int.random(in: 0...5, using: &random))"
      _ = harness.receive(bridge: "br0", port: port, frame: frame, offload: offload)
      harness.now += UInt32.random(in: 0...2, using: &random)
    }
    #expect(harness.availablePackets == all, "seed \(seed)")
    for number in 0..<6 {
      let counters = harness.counters(bridge: "br0", port: "p\(number)")
      let dropped = counters.receiveDrops.values.reduce(0, +)
      #expect(counters.receivedPackets == counters.forwardedPackets + dropped, "seed \(seed) port \(number)")
      #expect(counters.receivedPackets > 500)
    }
  }
}
