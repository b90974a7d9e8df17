// A datapath that is told of the ports that change, beside one that is told of the whole each time.

import TestSupport
import Testing
import VSwitchCore

@testable import Datapath

@Suite(.blocking) struct PortChangeTests {
  /// What a datapath has of its ports, whatever their slots.
  private func description(_ datapath: Datapath) -> [String] {
    let states = datapath.portStates().map { "\($0)" }
    let tables = datapath.state.withLock { state in
      let names = Dictionary(uniqueKeysWithValues: state.ports.map { ($1.slot, "\($0.bridge)/\($0.name)") })
      return state.tables.map(\.forwarding).flatMap { forwarding in
        (0..<forwarding.portLimit).compactMap { slot -> String? in
          let port = unsafe forwarding.ports[slot]
          guard port.bridge != Forwarding.noBridge else { return nil }
          let peer = names[port.patchPeer] ?? "-"
          var reason = DropReason.noOutput
          let vlan = port.vlan.arrival(outer: 0, inner: 0, reason: &reason)?.vlan
          return "\(names[UInt16(slot)] ?? "?") \(port.bridge) \(peer) \(port.isProtected) \(vlan ?? 9999)"
        }
      }
    }
    return states + tables.sorted()
  }

  @Test(arguments: testSeeds(4)) func changesBringAboutWhatTheWholeDoes(_ seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let directory = try TemporaryDirectory()
    var options = DatapathOptions()
    options.runDirectory = directory.path
    options.captureDirectory = directory.path
    let (changing, whole) = (try Datapath(options), try Datapath(options))
    defer {
      changing.shutdown()
      whole.shutdown()
    }
    var config = SwitchConfig()
    config.bridges = [BridgeConfig(name: "a"), BridgeConfig(name: "b")]
    // Where bridges are joined they come to one worker, in both.
    config.workerCPUs = [[], [0, 0]].randomElement(using: &random) ?? []
    _ = changing.apply(config)
    _ = whole.apply(config)
    for step in 0..<150 {
      var changes: [PortChange] = []
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        let number = Int.random(in: 0..<8, using: &random)
        // Of two patch ports of one name that both fit, the one in the lower slot is the peer: that is not the same in both.
        let bridge = number % 2
        let name = "p\(number)"
        guard !changes.contains(where: { $0.port == name }) else { continue }
        config.bridges[bridge].ports.removeAll { $0.name == name }
        var port: PortConfig?
        if Int.random(in: 0..<4, using: &random) > 0 {
          var interface = InterfaceConfig(name: name, kind: Bool.random(using: &random) ? .patch : .pcap)
          interface.options =
            interface.kind == .patch
            ? ["peer": "p\(Int.random(in: 0..<8, using: &random))"]
            : ["tx-file": Bool.random(using: &random) ? "\(name).pcap" : "no/\(name)"]
          // As the reconciler has it: of a bridge's numbers none is two ports'.
          interface.portNumberRequest = UInt16(name.dropFirst()).map { $0 + 1 }
          var new = PortConfig(name: name, interface: interface)
          new.isProtected = Bool.random(using: &random)
          if Bool.random(using: &random) {
            new.vlan.mode = .access
            new.vlan.tag = UInt16.random(in: 1...9, using: &random)
          }
          port = new
          config.bridges[bridge].ports.append(new)
        }
        changes.append(PortChange(bridge: config.bridges[bridge].name, port: name, config: port))
      }
      let found = changing.apply(changes)
      _ = whole.apply(config)
      let (one, other) = (description(changing), description(whole))
      #expect(
        one == other,
        "step \(step): \(changes.map { "\($0.bridge)/\($0.port) \($0.config?.interface.options ?? [:])" }): \(Set(one).symmetricDifference(other))"
      )
      let all = changing.portStates()
      #expect(found.allSatisfy(all.contains), "step \(step)")
      #expect(found.count == changes.count { $0.config != nil })
    }
  }
}
