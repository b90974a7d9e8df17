// One bridge of tap ports and the rules of its tables, as tests, benchmarks and fuzz targets write them. Thread: the caller's.

import VSwitchCore

extension DatapathHarness {
  /// A bridge br0 with ports p1, p2 and so on, numbered so, and these changes to its tables.
  /// - Parameters: as of `init`.
  package static func bridge(
    portCount: Int = 4, _ changes: [TableChange] = [], capabilities: [String: OffloadCapabilities] = [:],
    packetCount: Int = 1024, seed: UInt64 = 1
  ) throws -> DatapathHarness {
    var bridge = BridgeConfig(name: "br0")
    for number in 1...portCount {
      var interface = InterfaceConfig(name: "p\(number)", kind: .tap)
      interface.portNumberRequest = UInt16(number)
      bridge.ports.append(PortConfig(name: "p\(number)", interface: interface))
    }
    var config = SwitchConfig()
    config.bridges = [bridge]
    let harness = try DatapathHarness(config, capabilities: capabilities, packetCount: packetCount, seed: seed)
    if !changes.isEmpty { try harness.changeFlows(bridge: "br0", changes) }
    return harness
  }
}

extension TableChange {
  /// Adds a rule.
  package static func rule(
    table: UInt8, priority: UInt16, _ match: Match, _ actions: [Action] = [], goto next: UInt8? = nil
  ) -> TableChange {
    var change = FlowMod()
    change.table = table
    change.priority = priority
    change.match = match
    change.instructions = Instructions(apply: actions)
    change.instructions.gotoTable = next
    return .flow(change)
  }

  /// Adds a rule.
  /// - Parameter fields: with their values and masks.
  package static func rule(
    table: UInt8, priority: UInt16, _ fields: [(Field, UInt128, UInt128)], _ actions: [Action]
  ) -> TableChange {
    var match = Match()
    for (field, value, mask) in fields { match.set(field, value, mask: mask) }
    return rule(table: table, priority: priority, match, actions)
  }

  /// Deletes all rules.
  package static var clear: TableChange {
    var change = FlowMod()
    change.command = .delete
    change.table = FlowMod.allTables
    return .flow(change)
  }
}
