// A naive, obviously right model of the switch: plain arrays, no caches, one frame at a time. The fast path is tested
// against it, and it is itself tested against Open vSwitch.
// Thread: a value; any. Time is passed in. Standard: ovs-vswitchd.conf.db(5), tables Bridge and Port; IEEE 802.1Q.

import VSwitchCore

/// The switch as its documentation describes it.
package struct ReferenceSwitch {
  /// One copy of a frame leaving the switch.
  package struct Output: Hashable, Comparable, Sendable, CustomStringConvertible {
    package var bridge: String
    package var port: String
    package var frame: [UInt8]

    package init(bridge: String, port: String, frame: [UInt8]) {
      self.bridge = bridge
      self.port = port
      self.frame = frame
    }

    package static func < (a: Self, b: Self) -> Bool {
      if (a.bridge, a.port) != (b.bridge, b.port) { return (a.bridge, a.port) < (b.bridge, b.port) }
      return a.frame.lexicographicallyPrecedes(b.frame)
    }

    package var description: String { "\(bridge)/\(port): \(frame.hexadecimal)" }
  }

  /// What became of one frame.
  package struct Outcome: Equatable, Sendable {
    /// Copies in order of bridge, port and bytes.
    package var outputs: [Output]
    /// Why nothing left; nil if anything did. Behind a patch port it is the reason of the last bridge reached.
    package var drop: DropReason?

    package init(outputs: [Output], drop: DropReason?) {
      self.outputs = outputs
      self.drop = drop
    }
  }

  /// How often a frame may pass from bridge to bridge.
  package static let patchHopLimit = 8

  package private(set) var config: SwitchConfig
  private var tables: [String: ReferenceMACTable] = [:]

  package init(_ config: SwitchConfig) { self.config = config }

  /// One frame comes in.
  /// - Parameter now: seconds; never goes back.
  package mutating func receive(frame: [UInt8], bridge: String, port: String, now: Int) -> Outcome {
    var outputs: [Output] = []
    var reason: DropReason?
    enter(frame, bridge: bridge, port: port, now: now, hops: 0, outputs: &outputs, reason: &reason)
    return Outcome(outputs: outputs.sorted(), drop: outputs.isEmpty ? reason ?? .noOutput : nil)
  }

  private mutating func enter(
    _ frame: [UInt8], bridge name: String, port portName: String, now: Int, hops: Int, outputs: inout [Output],
    reason: inout DropReason?
  ) {
    guard let bridge = config.bridges.first(where: { $0.name == name }),
      let port = bridge.ports.first(where: { $0.name == portName })
    else {
      reason = .noOutput
      return
    }
    let packet: ReferencePacket
    switch port.vlan.enter(frame) {
    case .success(let admitted): packet = admitted
    case .failure(let drop):
      reason = drop.reason
      return
    }
    let destination = MACAddress(packet.addresses[0..<6])
    let source = MACAddress(packet.addresses[6..<12])
    // Reserved multicast is for the next bridge, not for those behind it: neither forwarded nor learned from.
    let isRestricted = destination.isReservedMulticast && !bridge.forwardReservedMulticast
    if isRestricted && !port.forwardReservedMulticast {
      reason = .reservedMulticast
      return
    }

    var table = tables[name] ?? ReferenceMACTable()
    table.age(now: now, ageingSeconds: bridge.macAgeingSeconds)
    let isFlooded = bridge.floodVLANs.contains(packet.vlan)
    if !isFlooded {
      table.learn(vlan: packet.vlan, address: source, port: portName, now: now, limit: bridge.macTableLimit)
    }
    tables[name] = table

    let known = destination.isMulticast || isFlooded ? nil : table.port(vlan: packet.vlan, address: destination)
    if known == portName {
      reason = .samePort
      return
    }
    var candidates: [PortConfig] = []
    if let known, let target = bridge.ports.first(where: { $0.name == known }) {
      candidates = [target]
    } else {
      candidates = bridge.ports.filter { $0.name != portName }
    }
    candidates.removeAll {
      !$0.vlan.carries(packet) || isRestricted && !$0.forwardReservedMulticast
    }
    if candidates.isEmpty { reason = known == nil ? .noOutput : .vlanNotAllowed }
    for out in candidates {
      if port.isProtected && out.isProtected {
        reason = .protectedPort
        continue
      }
      let bytes = out.vlan.leave(packet)
      if out.interface.kind != .patch {
        outputs.append(Output(bridge: name, port: out.name, frame: bytes))
      } else if let peer = config.patchPeer(of: out) {
        if hops == Self.patchHopLimit {
          reason = .patchLoop
        } else {
          enter(
            bytes, bridge: peer.bridge, port: peer.port, now: now, hops: hops + 1, outputs: &outputs, reason: &reason)
        }
      } else {
        reason = .noOutput
      }
    }
  }

  // MARK: - The MAC table

  /// The table of a bridge as it is at `now`.
  package mutating func macTable(bridge name: String, now: Int) -> [ReferenceMACTable.Entry] {
    guard let bridge = config.bridges.first(where: { $0.name == name }) else { return [] }
    tables[name]?.age(now: now, ageingSeconds: bridge.macAgeingSeconds)
    return tables[name]?.entries ?? []
  }

  package mutating func addStatic(bridge: String, vlan: UInt16, address: MACAddress, port: String) {
    tables[bridge, default: ReferenceMACTable()].addStatic(vlan: vlan, address: address, port: port)
  }

  package mutating func removeEntry(bridge: String, vlan: UInt16, address: MACAddress) {
    tables[bridge]?.remove(vlan: vlan, address: address)
  }

  package mutating func flush(bridge: String, vlan: UInt16? = nil, port: String? = nil) {
    tables[bridge]?.flush(vlan: vlan, port: port)
  }
}

extension SwitchConfig {
  /// Where a frame arrives that leaves through a patch port; nil unless both ends name each other.
  func patchPeer(of port: PortConfig) -> (bridge: String, port: String)? {
    for bridge in bridges {
      for other in bridge.ports
      where other.interface.kind == .patch && other.interface.name == port.interface.options["peer"]
        && other.interface.options["peer"] == port.interface.name
      {
        return (bridge.name, other.name)
      }
    }
    return nil
  }
}

extension MACAddress {
  /// From six octets in the order of transmission.
  init(_ octets: ArraySlice<UInt8>) {
    self.init(bits: octets.reduce(0) { $0 << 8 | UInt64($1) })
  }
}

extension Array where Element == UInt8 {
  /// Two digits a byte, for messages.
  package var hexadecimal: String {
    map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }
}
