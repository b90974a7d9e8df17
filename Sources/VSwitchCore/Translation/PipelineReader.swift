// What translation asks of a bridge: rules, groups, ports. The worker's answers come from structures that control code
// changes meanwhile; tests and trace may give others. Thread: as the conforming type says. Nothing here may allocate,
// lock, retain or wait when a worker calls it; what is returned is valid until the worker's next quiescent point.

/// A rule as a lookup finds it.
public struct PipelineRule {
  public var code: RuleCode
  /// Where its packets are counted, and what control code knows it by.
  public var slot: UInt32
  public var cookie: UInt64
  public var priority: UInt16
  public var table: UInt8
  /// No match and priority 0 (OpenFlow 1.5 §5.4).
  public var isTableMiss: Bool

  public init(code: RuleCode, slot: UInt32, cookie: UInt64, priority: UInt16, table: UInt8, isTableMiss: Bool) {
    self.code = code
    self.slot = slot
    self.cookie = cookie
    self.priority = priority
    self.table = table
    self.isTableMiss = isTableMiss
  }
}

/// A group as a lookup finds it.
public struct PipelineGroup {
  public var id: UInt32
  public var kind: GroupDescription.Kind
  public var bucketCount: Int
  /// Where its packets are counted.
  public var slot: UInt32
  /// Whatever the reader finds its buckets by.
  public var address: UInt

  public init(id: UInt32, kind: GroupDescription.Kind, bucketCount: Int, slot: UInt32, address: UInt) {
    self.id = id
    self.kind = kind
    self.bucketCount = bucketCount
    self.slot = slot
    self.address = address
  }
}

/// A bucket of a group.
public struct PipelineBucket {
  /// Its actions, to be run as a set (`RuleCode(bucket:)`).
  public var code: RuleCode
  public var slot: UInt32
  /// What it watches is alive, or it watches nothing.
  public var isAlive: Bool

  public init(code: RuleCode, slot: UInt32, isAlive: Bool) {
    self.code = code
    self.slot = slot
    self.isAlive = isAlive
  }
}

/// What a port lets through (OpenFlow 1.5 §7.2.1.1, OFPPC_…).
public struct PipelinePort: OptionSet, Sendable {
  public let rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }
  public static let exists = PipelinePort(rawValue: 1 << 0)
  /// Taken down by its administrator (OFPPC_PORT_DOWN).
  public static let isDown = PipelinePort(rawValue: 1 << 1)
  public static let noReceive = PipelinePort(rawValue: 1 << 2)
  public static let noForward = PipelinePort(rawValue: 1 << 3)
  public static let noFlood = PipelinePort(rawValue: 1 << 4)
  public static let noPacketIn = PipelinePort(rawValue: 1 << 5)
  /// Its link is up: a bundle may choose it.
  public static let isLive = PipelinePort(rawValue: 1 << 6)
}

/// What a table does with a packet that no rule matches.
public enum MissBehaviour: UInt8, Sendable {
  /// The standard's default from OpenFlow 1.3 on.
  case drop
  /// OpenFlow 1.0's.
  case controller
  /// The next table is asked (OpenFlow 1.1 and 1.2, OFPTC_TABLE_MISS_CONTINUE).
  case nextTable
}

/// What is done with IP fragments (OpenFlow 1.5 §7.3.2, OFPC_FRAG_…).
public enum FragmentHandling: UInt8, Sendable {
  /// They pass; their transport ports read as 0.
  case normal
  case drop
  /// They pass; first fragments are matched by their ports (Open vSwitch's nx-match).
  case match
}

/// A bridge's tables, groups and ports.
public protocol PipelineReader {
  /// The rule of highest priority that matches.
  /// - Parameter mask: gets the bits of the key that the answer depends on, in addition to those it has.
  func rule(table: UInt8, key: borrowing FlowKey, version: UInt64, mask: inout FlowMask) -> PipelineRule?
  /// The same, with what is read and written where it is, and only bits of `counted` added to the mask.
  /// - Parameters: the caller's for the length of the call.
  func rule(
    table: UInt8, key: UnsafePointer<FlowKey>, version: UInt64, mask: UnsafeMutablePointer<FlowMask>,
    counting counted: UnsafePointer<FlowMask>
  ) -> PipelineRule?
  func group(_ id: UInt32, version: UInt64) -> PipelineGroup?
  /// - Parameter index: below the group's `bucketCount`.
  /// - Returns: nil if there is no such bucket.
  func bucket(_ index: Int, of group: PipelineGroup) -> PipelineBucket?
  func port(_ number: PortNumber) -> PipelinePort
  /// Whether a rule that an action of a rule wants to learn, with a limit and `result_dst`, is there once it is made.
  /// - Parameters:
  ///   - limit: most rules of the table and cookie.
  ///   - match: its match, with bits outside of the mask 0.
  func mayLearn(
    table: UInt8, cookie: UInt64, limit: UInt32, priority: UInt16, match: borrowing FlowKey, mask: borrowing FlowMask,
    version: UInt64
  ) -> Bool
  func missBehaviour(table: UInt8) -> MissBehaviour
  var fragmentHandling: FragmentHandling { get }
}

extension PipelineReader {
  public func rule(
    table: UInt8, key: UnsafePointer<FlowKey>, version: UInt64, mask: UnsafeMutablePointer<FlowMask>,
    counting counted: UnsafePointer<FlowMask>
  ) -> PipelineRule? {
    var bits = FlowMask()
    let rule = unsafe rule(table: table, key: key.pointee, version: version, mask: &bits)
    for i in 0..<FlowKey.wordCount { unsafe mask.pointee.words[i] |= bits.words[i] & counted.pointee.words[i] }
    return rule
  }
}
