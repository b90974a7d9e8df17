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
  private let exactMatch: ExactMatchCache
  private let events: EventRing
  /// Settings by port number (OFPPC_…); ports that are not here have none.
  var portSettings: [PortNumber: PipelinePort] = [:]
  private var livePorts: Set<PortNumber> = []
  /// Raised when a port comes, goes or changes.
  private var portsVersion: UInt64 = 0
  var fragmentHandling = FragmentHandling.normal
  /// Every packet is forwarded as NORMAL: the one rule that a bridge begins with. Then no packet is looked up.
  private(set) var isNormalOnly = true

  /// Tables with the rule that a bridge of its own has: everything as NORMAL.
  /// - Parameter now: nanoseconds.
  init(identifier: UInt32, events: EventRing, seed: UInt64, now: UInt64) throws(ConfigError) {
    guard let megaflows = MegaflowCache(seed: seed), let exactMatch = ExactMatchCache(seed: seed) else {
      throw ConfigError(cause: "no memory for a cache of flows", remedy: "raise the memory limit of the service")
    }
    self.megaflows = megaflows
    self.exactMatch = exactMatch
    tables = FlowTables(workerCount: 1, seed: seed)
    self.identifier = identifier
    self.events = events
    do { try tables.apply(BridgeFlows.normalRule, now: now) } catch {
      throw ConfigError(cause: "the first rule was refused (\(error))", remedy: "report this")
    }
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

  /// Looks again whether there is but the first rule.
  /// - Returns: whether that has changed.
  func noteRules() -> Bool {
    let before = isNormalOnly
    isNormalOnly = false
    if tables.ruleCount == 1, let rule = tables.rules().first {
      let actions = rule.instructions
      isNormalOnly =
        rule.table == 0 && rule.match == Match() && rule.idleTimeoutSeconds == 0 && rule.hardTimeoutSeconds == 0
        && (actions == BridgeFlows.normalRule.instructions
          || actions == Instructions(apply: [.output(.normal, maximumByteCount: 0xffff)]))
    }
    return before != isNormalOnly
  }

  /// Says which ports there are, for buckets that watch one.
  func noteLivePorts(_ numbers: Set<PortNumber>) {
    guard numbers != livePorts else { return }
    livePorts = numbers
    tables.setLivePorts(numbers)
  }

  /// The ports for the worker.
  func makePorts(_ ports: [(number: PortNumber, slot: UInt16)]) -> FlowPorts {
    portsVersion += 1
    return FlowPorts(
      ports.map { port in (port.number, port.slot, (portSettings[port.number] ?? []).union([.exists, .isLive])) })
  }

  /// The bridge for the worker.
  /// - Parameter index: of the bridge in the forwarding tables.
  func makeBridge(index: UInt16, ports: FlowPorts) -> FlowBridge {
    FlowBridge(
      index: index, identifier: identifier, tables: tables.reader, exactMatch: exactMatch, megaflows: megaflows,
      events: events, ports: ports, portsVersion: portsVersion, fragmentHandling: fragmentHandling,
      missBehaviour: .drop)
  }
}
