// Records of ports that are kept from change to change, against tables made from the ports alone.

import TestSupport
import Testing
import VSwitchCore

@testable import Datapath

struct SlotTableTests {
  /// What forwarding tables say of a slot, without its policy's memory.
  private struct Entry: Equatable {
    var bridge: UInt16
    var patchPeer: UInt16
    var isProtected: Bool
    var forwardsReservedMulticast: Bool
    var vlans: [Bool]

    init(_ port: ForwardingPort) {
      bridge = port.bridge
      patchPeer = port.patchPeer
      isProtected = port.isProtected
      forwardsReservedMulticast = port.forwardsReservedMulticast
      vlans = [0, 1, 5, 4000].map { vlan in
        port.vlan.carries(
          VLANPolicy.Arrival(vlan: vlan, priority: 0, tagType: 0x8100, ownsTag: true, innerVLAN: 0))
      }
    }
  }

  /// The simple way: from nothing but the ports.
  private func plainEntries(
    _ ports: [PortKey: OpenPort], bridges: [String]
  ) -> (ports: [Entry], members: [[UInt16]]) {
    var entries = (0...64).map { _ in ForwardingPort(vlan: VLANPolicy(VLANConfig())) }
    defer { for entry in entries { entry.vlan.deallocate() } }
    var members = [[UInt16]](repeating: [], count: bridges.count)
    for (key, port) in ports {
      guard let index = bridges.firstIndex(of: key.bridge) else { continue }
      let slot = Int(port.slot)
      if port.config.interface.kind == .patch {
        let peer = ports.filter { other, candidate in
          other != key && candidate.config.interface.kind == .patch
            && other.name == port.config.interface.options["peer"]
            && candidate.config.interface.options["peer"] == key.name
        }
        guard let peer = peer.values.min(by: { $0.slot < $1.slot }), bridges.contains(peer.bridge) else {
          continue
        }
        entries[slot].patchPeer = peer.slot
      }
      entries[slot].bridge = UInt16(index)
      entries[slot].isProtected = port.config.isProtected
      entries[slot].forwardsReservedMulticast = port.config.forwardReservedMulticast
      entries[slot].vlan.deallocate()
      entries[slot].vlan = VLANPolicy(port.config.vlan)
      members[index].append(port.slot)
    }
    return (entries.map(Entry.init), members.map { $0.sorted() })
  }

  @Test(arguments: testSeeds(8)) func recordsSayWhatThePortsSay(_ seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    var table = SlotTable()
    defer { table.deallocate() }
    var ports: [PortKey: OpenPort] = [:]
    for _ in 0..<400 {
      // Now and then they are of two workers.
      let bridges = [["a", "b"], ["a", "b"], ["a", "b"], ["a"], ["b"]].randomElement(using: &random) ?? []
      let key = PortKey(
        bridge: Bool.random(using: &random) ? "a" : "b", name: "p\(Int.random(in: 0..<6, using: &random))")
      switch Int.random(in: 0..<4, using: &random) {
      case 0:
        if let port = ports.removeValue(forKey: key) { table.remove(port.slot, key) }
      case 1:
        guard var port = ports[key] else { break }
        port.isLinkUp.toggle()
        ports[key] = port
        table.noteLink(port.slot, isUp: port.isLinkUp)
      default:
        let taken = Set(ports.values.map(\.slot))
        let slot = ports[key]?.slot ?? (0..<64).filter { !taken.contains($0) }.randomElement(using: &random) ?? 64
        let kind: InterfaceConfig.Kind = Bool.random(using: &random) ? .patch : .tap
        var config = PortConfig(name: key.name, interface: InterfaceConfig(name: key.name, kind: kind))
        config.interface.options["peer"] = "p\(Int.random(in: 0..<6, using: &random))"
        config.isProtected = Bool.random(using: &random)
        config.forwardReservedMulticast = Bool.random(using: &random)
        if Bool.random(using: &random) {
          config.vlan.mode = .access
          config.vlan.tag = Bool.random(using: &random) ? 5 : 4000
        }
        var port = OpenPort(
          bridge: key.bridge, config: config, slot: slot, portNumber: UInt16.random(in: 1...9, using: &random))
        port.isLinkUp = Bool.random(using: &random)
        ports[key] = port
        table.put(port, key)
      }
      let found = table.entries(bridges: bridges)
      let wanted = plainEntries(ports, bridges: bridges)
      #expect(found.members == wanted.members)
      #expect(found.ports.map(Entry.init) == Array(wanted.ports.prefix(found.ports.count)))
      #expect(wanted.ports.dropFirst(found.ports.count).allSatisfy { $0.bridge == Forwarding.noBridge })
      for bridge in bridges {
        let live = ports.filter { $0.key.bridge == bridge && $0.value.isLinkUp }.values.map(\.number)
        #expect(table.livePorts(of: bridge) == Set(live))
      }
      for port in ports.values { #expect(table.number(of: port.slot) == port.number) }
      if Int.random(in: 0..<3, using: &random) == 0 { table.freeRetired() }
    }
  }
}
