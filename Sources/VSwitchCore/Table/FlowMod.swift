// A change of the flow tables, free of any protocol version (OpenFlow 1.5 §7.3.4.3). The defaults are those of a
// plain add.

/// Adds, modifies or deletes rules.
public struct FlowMod: Equatable, Sendable {
  public enum Command: UInt8, Sendable, CaseIterable {
    case add, modify, modifyStrict, delete, deleteStrict
  }
  public struct Flags: OptionSet, Sendable, Hashable {
    public let rawValue: UInt16
    public init(rawValue: UInt16) { self.rawValue = rawValue }
    public static let sendFlowRemoved = Flags(rawValue: 1 << 0)
    public static let checkOverlap = Flags(rawValue: 1 << 1)
    public static let resetCounts = Flags(rawValue: 1 << 2)
    public static let noPacketCounts = Flags(rawValue: 1 << 3)
    public static let noByteCounts = Flags(rawValue: 1 << 4)
  }
  /// All tables, in deletes.
  public static let allTables: UInt8 = 0xff

  public var command = Command.add
  /// 0 to 253; `allTables` in deletes, and in modifies of OpenFlow 1.0, which names no table.
  public var table: UInt8 = 0
  public var priority: UInt16 = 32768
  public var match = Match()
  /// The rule's cookie; nil in a modify: keep the one there is.
  public var cookie: UInt64? = 0
  /// Of modify and delete: only rules whose cookie has these bits.
  public var cookieFilter = CookieFilter()
  public var idleTimeoutSeconds: UInt16 = 0
  public var hardTimeoutSeconds: UInt16 = 0
  /// What is evicted first from a full table: the lowest (OpenFlow 1.4).
  public var importance: UInt16 = 0
  public var flags: Flags = []
  /// Of deletes: only rules with an output to this port, to this group.
  public var outPort = PortNumber.any
  public var outGroup: UInt32 = GroupMod.anyGroup
  public var instructions = Instructions()
  /// OpenFlow 1.0's actions on IP addresses, DSCP and ports do nothing to packets without such, and so need no match that makes
  /// sure of them.
  public var allowsInconsistentActions = false

  public struct CookieFilter: Equatable, Sendable {
    public var value: UInt64 = 0
    public var mask: UInt64 = 0
    public init(value: UInt64 = 0, mask: UInt64 = 0) {
      self.value = value
      self.mask = mask
    }
    public func accepts(_ cookie: UInt64) -> Bool { (cookie ^ value) & mask == 0 }
  }

  public init() {}
}
