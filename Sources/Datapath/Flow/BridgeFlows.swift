// Control's side of one bridge's flow tables: the tables, what the worker caches of them, and the settings of its ports.
//
// Thread: whoever holds the lock of `Datapath`. Memory: all of it is the object's; it goes a grace period after the last
// forwarding tables that name it.

import VSwitchCore

/// Flow tables of a bridge and their caches.
final class BridgeFlows {
  let tables: FlowTables
  /// In records of the event ring.
  let identifier: UInt32
  let megaflows: MegaflowCache
  let exactMatch: ExactMatchCache
  /// Those of its worker.
  var events: EventRing
  /// Settings by port number (OFPPC_…); ports that are not here have none.
  var portSettings: [PortNumber: PipelinePort] = [:]
  /// What the database says of tables.
  private var tableConfigs: [UInt8: FlowTableConfig] = [:]
  /// Tables that a controller has told to evict.
  private var evictingTables: Set<UInt8> = []
  private var livePorts: Set<PortNumber> = []
  /// Raised when a port comes, goes or changes.
  private var portsVersion: UInt64 = 0
  var fragmentHandling = FragmentHandling.normal
  /// Where the one rule counts that says NORMAL of every packet, as that which a bridge begins with: then no packet is looked
  /// up. Nil where there are other rules, or settings of ports that make a difference.
  private(set) var normalSlot: CounterSlot?
  /// A grace period that nobody waits for: `FlowTables.beginGracePeriod`, and where the worker was then.
  var gracePeriod: (ticket: UInt64, mark: UInt64)?
  /// No controller answers: what the rules say does not count, and every packet is forwarded as NORMAL.
  var isStandalone = false

  /// - Parameters:
  ///   - beginsAsNormal: whether there is a rule from the start: everything as NORMAL.
  ///   - now: nanoseconds.
  init(identifier: UInt32, events: EventRing, seed: UInt64, beginsAsNormal: Bool, now: UInt64) throws(ConfigError) {
    guard let megaflows = MegaflowCache(seed: seed), let exactMatch = ExactMatchCache(seed: seed) else {
      throw ConfigError(cause: "no memory for a cache of flows", remedy: "raise the memory limit of the service")
    }
    self.megaflows = megaflows
    self.exactMatch = exactMatch
    tables = FlowTables(workerCount: 1, seed: seed)
    tables.limitMemory { ControlGroup.own.hasRoom(for: $0) }
    self.identifier = identifier
    self.events = events
    guard beginsAsNormal else { return }
    do { try tables.apply(BridgeFlows.normalRule, now: now) } catch {
      throw ConfigError(cause: "the first rule was refused (\(error))", remedy: "report this")
    }
    _ = noteRules()
  }

  deinit {
    exactMatch.deallocate()
    megaflows.deallocate()
  }

  /// What a bridge without a controller does.
  static var normalRule: FlowMod {
    var rule = FlowMod()
    rule.priority = 0
    rule.instructions = Instructions(apply: [.output(.normal, maximumByteCount: 0)])
    return rule
  }

  /// Looks again whether there is but one rule, which says NORMAL.
  /// - Returns: whether the worker has to know of what has changed.
  func noteRules() -> Bool {
    let before = normalSlot
    normalSlot = nil
    if portSettings.isEmpty, let (rule, slot) = tables.onlyRule {
      let isNormal =
        rule.instructions == BridgeFlows.normalRule.instructions
        || rule.instructions == Instructions(apply: [.output(.normal, maximumByteCount: 0xffff)])
      if isNormal, rule.table == 0, rule.match == Match(), rule.idleTimeoutSeconds == 0, rule.hardTimeoutSeconds == 0 {
        normalSlot = slot
      }
    }
    return before != normalSlot
  }

  /// Takes over how full tables may get (table Flow_Table).
  func configureTables(_ configs: [UInt8: FlowTableConfig]) {
    guard configs != tableConfigs else { return }
    let changed = Set(configs.keys).union(tableConfigs.keys)
    tableConfigs = configs
    for table in changed { setLimits(of: table) }
  }

  /// Whether a full table evicts rules because a controller wants it.
  func setEviction(table: UInt8, _ evicts: Bool) {
    if evicts { evictingTables.insert(table) } else { evictingTables.remove(table) }
    setLimits(of: table)
  }

  private func setLimits(of table: UInt8) {
    let config = tableConfigs[table]
    let limits = TableLimits(
      ruleLimit: config?.ruleLimit, evicts: config?.evicts == true || evictingTables.contains(table))
    if tables[limitsOf: table] != limits { tables[limitsOf: table] = limits }
  }

  /// Says which ports have a link, for buckets that watch one.
  func noteLivePorts(_ numbers: Set<PortNumber>) {
    guard numbers != livePorts else { return }
    livePorts = numbers
    tables.setLivePorts(numbers)
  }

  /// The bridge for a reader in control code; what the worker has cached is not out of date by it.
  func readBridge(ports: [(number: PortNumber, slot: UInt16)]) -> FlowBridgeOwner {
    defer { portsVersion -= 1 }
    return makeBridge(index: 0, ports: ports)
  }

  /// The bridge for the worker, owned by what is returned.
  /// - Parameter index: of the bridge in the forwarding tables.
  func makeBridge(index: UInt16, ports: [(number: PortNumber, slot: UInt16)]) -> FlowBridgeOwner {
    portsVersion += 1
    return FlowBridgeOwner(
      index: index, self,
      ports: ports.map { port in
        var flags = portSettings[port.number] ?? []
        flags.insert(.exists)
        if livePorts.contains(port.number) { flags.insert(.isLive) }
        return (port.number, port.slot, flags)
      }, portsVersion: portsVersion)
  }
}
