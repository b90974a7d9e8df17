// What is asked of the tables, and what came of it.

/// One change; a bundle is a list of them.
public enum TableChange: Equatable, Sendable {
  case flow(FlowMod)
  case group(GroupMod)
  case meter(MeterMod)
}

/// Why a rule went (OpenFlow 1.5 §7.4.2, OFPRR_*).
public enum RemovalReason: UInt8, Sendable, CaseIterable {
  case idleTimeout = 0
  case hardTimeout = 1
  case delete = 2
  case groupDelete = 3
  case meterDelete = 4
  case eviction = 5
}

/// A rule as it is described, with what it has counted.
public struct RuleDescription: Equatable, Sendable {
  public var table: UInt8
  public var priority: UInt16
  public var match: Match
  public var instructions: Instructions
  public var cookie: UInt64
  public var idleTimeoutSeconds: UInt16
  public var hardTimeoutSeconds: UInt16
  public var importance: UInt16
  public var flags: FlowMod.Flags
  /// Nanoseconds of the clock that control passes in.
  public var createdAt: UInt64
  public var modifiedAt: UInt64
  /// `lastUsed` is 0 if no packet came yet.
  public var statistics: Statistics
}

/// A rule that went, with its last counts.
public struct RemovedRule: Equatable, Sendable {
  public var rule: RuleDescription
  public var reason: RemovalReason
  public var removedAt: UInt64
}

/// What happened to a rule, in order (for flow monitors).
public enum RuleEvent: Equatable, Sendable {
  case added(RuleDescription)
  case modified(RuleDescription)
  case removed(RuleDescription, RemovalReason)
}

/// Which rules a request means (OpenFlow 1.5 §7.3.5.2); the default: all.
public struct RuleFilter: Equatable, Sendable {
  /// Nil: all.
  public var table: UInt8?
  public var match = Match()
  public var cookie = FlowMod.CookieFilter()
  public var outPort = PortNumber.any
  public var outGroup = GroupMod.anyGroup
  public init() {}
}

/// Statistics of many rules.
public struct AggregateStatistics: Equatable, Sendable {
  public var packetCount: UInt64 = 0
  public var byteCount: UInt64 = 0
  public var flowCount: UInt64 = 0
  public init() {}
}

/// Statistics of one table.
public struct TableStatistics: Equatable, Sendable {
  public var activeCount: UInt64 = 0
  public var lookupCount: UInt64 = 0
  public var matchedCount: UInt64 = 0
  /// Most rules, if the table has a limit of its own.
  public var ruleLimit: Int?
  public init() {}
}

/// How full a table may get, and what then happens.
public struct TableLimits: Equatable, Sendable {
  /// Most rules; nil: no limit of its own.
  public var ruleLimit: Int?
  /// Whether a rule with a timeout gives way to a new one: of those with no higher importance than the new one that with
  /// the lowest, of equal ones that which would expire first (OpenFlow 1.4 §7.3.4.2).
  public var evicts = false

  public init(ruleLimit: Int? = nil, evicts: Bool = false) {
    self.ruleLimit = ruleLimit
    self.evicts = evicts
  }
}
