// What the datapath tells of its ports' counters and its bridges' MAC tables, and what may be changed in those. Thread-safe; each
// call waits for the worker, which has both, between two bursts.

import VSwitchCore

extension Datapath {
  /// Counters of every open port by bridge and port name, those of one worker's ports at one moment between two bursts.
  package func counters() -> [(bridge: String, port: String, portNumber: UInt16, counters: PortCounters)] {
    state.withLock { state in
      let ports = state.ports.values.sorted { ($0.bridge, $0.portNumber) < ($1.bridge, $1.portNumber) }
      let slots = ports.map { port in
        (
          own: port.slot, outer: port.guarding?.outerSlot, inner: port.guarding?.innerSlot,
          worker: state.worker(of: port.bridge).number
        )
      }
      var counters = [PortCounters](repeating: PortCounters(), count: ports.count)
      for (number, positions) in Dictionary(grouping: slots.indices, by: { slots[$0].worker }) {
        let values = state.workers[number].mailbox.perform { worker in
          positions.map { position in
            var values = unsafe worker.burst.counters[Int(slots[position].own)].values
            if let outer = slots[position].outer, let inner = slots[position].inner {
              unsafe values.add(
                outer: worker.burst.counters[Int(outer)].values, inner: worker.burst.counters[Int(inner)].values)
            }
            return values
          }
        }
        for (position, value) in zip(positions, values) { counters[position] = value }
      }
      return zip(ports, counters).map { ($0.bridge, $0.config.name, $0.portNumber, $1) }
    }
  }

  /// The MAC table of a bridge, nil if there is no such bridge.
  package func macTable(bridge: String) -> [MACTableEntry]? {
    state.withLock { state in
      guard let table = state.bridges[bridge]?.macTable else { return nil }
      var ports: [UInt16: (String, UInt16)] = [:]
      for port in state.ports.values where port.bridge == bridge {
        ports[port.bridgeSlot] = (port.config.name, port.portNumber)
      }
      let rows = state.worker(of: bridge).mailbox.perform { worker in
        var rows: [(vlan: UInt16, address: UInt64, port: UInt16, age: UInt32?)] = []
        table.forEach(now: worker.now) { rows.append(($0, $1, $2, $3)) }
        return rows
      }
      return rows.compactMap { row in
        ports[row.port].map { port in
          MACTableEntry(
            vlan: row.vlan, address: MACAddress(bits: row.address), port: port.0, portNumber: port.1,
            ageSeconds: row.age.map { Int($0) })
        }
      }
      .sorted { ($0.portNumber, $0.vlan, $0.address) < ($1.portNumber, $1.vlan, $1.address) }
    }
  }

  /// Where stations of a VLAN were last seen, as numbers of the bridge's ports; nil: nowhere.
  package func ports(bridge: String, vlan: UInt16, of stations: [MACAddress]) -> [UInt16?] {
    state.withLock { state in
      guard let table = state.bridges[bridge]?.macTable else { return stations.map { _ in nil } }
      var numbers: [UInt16: UInt16] = [:]
      for port in state.ports.values where port.bridge == bridge { numbers[port.slot] = port.portNumber }
      let slots = state.worker(of: bridge).mailbox.perform { worker in
        stations.map { table.port(vlan: vlan, address: $0.bits, now: worker.now) }
      }
      return slots.map { slot in slot.flatMap { numbers[$0] } }
    }
  }

  /// Removes learned entries (static ones stay); of one VLAN or port if given.
  /// - Returns: how many were removed.
  package func flushMACTable(bridge: String, vlan: UInt16? = nil, port: String? = nil) throws(ConfigError) -> Int {
    try withTable(bridge, port: port) { table, slot, now in table.flush(vlan: vlan, port: slot, now: now) }
  }

  /// Adds a static entry, replacing any entry of that address and VLAN.
  package func addMACEntry(bridge: String, port: String, vlan: UInt16, address: MACAddress) throws(ConfigError) {
    guard !address.isMulticast else {
      throw ConfigError(cause: "\(address) is a multicast address", remedy: "give the address of one station")
    }
    let added = try withTable(bridge, port: port) { table, slot, now in
      table.addStatic(vlan: vlan, address: address.bits, port: slot ?? 0, now: now)
    }
    guard added else {
      throw ConfigError(
        cause: "the MAC table of \(bridge) is full of static entries",
        remedy: "raise other_config:mac-table-size, or remove one with `vsctl fdb del`")
    }
  }

  /// Removes an entry, static or learned; throws if there is none.
  package func removeMACEntry(bridge: String, vlan: UInt16, address: MACAddress) throws(ConfigError) {
    let removed = try withTable(bridge, port: nil) { table, _, now in
      table.remove(vlan: vlan, address: address.bits, now: now)
    }
    guard removed else {
      throw ConfigError(
        cause: "\(bridge) has no entry for \(address) in VLAN \(vlan)", remedy: "see `vsctl fdb show \(bridge)`")
    }
  }

  private func withTable<R: Sendable>(
    _ bridge: String, port: String?, _ body: @escaping @Sendable (MACTable, UInt16?, UInt32) -> R
  ) throws(ConfigError) -> R {
    let result: Result<R, ConfigError> = state.withLock { state in
      guard let table = state.bridges[bridge]?.macTable else {
        return .failure(ConfigError(cause: "no bridge named \(bridge)", remedy: "see `vsctl list-br`"))
      }
      var slot: UInt16?
      if let port {
        slot = state.ports[PortKey(bridge: bridge, name: port)]?.bridgeSlot
        if slot == nil {
          return .failure(
            ConfigError(cause: "no working port \(port) on \(bridge)", remedy: "see `vsctl list-ports \(bridge)`"))
        }
      }
      let exit = slot
      return .success(state.worker(of: bridge).mailbox.perform { worker in body(table, exit, worker.now) })
    }
    return try result.get()
  }
}

extension PortCounters {
  /// Adds what became of packets between a guarded port's bridge and its guard's: what was dropped behind the guard was not
  /// forwarded, and what the guard dropped on the way out never left.
  /// - Parameters:
  ///   - outer: of what stands for the port at its own bridge.
  ///   - inner: of what stands for that bridge at the guard's.
  fileprivate mutating func add(outer: PortCounters, inner: PortCounters) {
    for (reason, count) in outer.receiveDrops {
      receiveDrops[reason, default: 0] += count
      forwardedPackets -= min(count, forwardedPackets)
    }
    for (reason, count) in outer.transmitDrops { transmitDrops[reason, default: 0] += count }
    for (reason, count) in inner.receiveDrops { transmitDrops[reason, default: 0] += count }
  }
}
