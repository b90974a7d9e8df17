// A change of the group table, free of any protocol version (OpenFlow 1.5 §7.3.4.4, with Open vSwitch's selection
// methods).

/// Adds, modifies or deletes a group.
public struct GroupMod: Equatable, Sendable {
  public enum Command: Equatable, Sendable {
    case add, modify, addOrModify, delete
    /// OpenFlow 1.5: buckets of an existing group.
    case insertBuckets(at: BucketPosition)
    case removeBuckets(BucketSelection)
  }
  public enum BucketPosition: Equatable, Sendable {
    case first, last
    /// Behind the bucket with this id.
    case after(UInt32)
  }
  public enum BucketSelection: Equatable, Sendable {
    case first, last, all
    case id(UInt32)
  }
  /// Largest number of a group.
  public static let maximumGroup: UInt32 = 0xffff_ff00
  /// All groups, in deletes.
  public static let allGroups: UInt32 = 0xffff_fffc
  /// Any group, in filters.
  public static let anyGroup: UInt32 = 0xffff_ffff

  public var command = Command.add
  public var group: GroupDescription

  public init(_ command: Command, _ group: GroupDescription) {
    self.command = command
    self.group = group
  }
}

/// A group as it is described.
public struct GroupDescription: Equatable, Sendable {
  public enum Kind: UInt8, Sendable, CaseIterable {
    case all = 0
    case select = 1
    case indirect = 2
    case fastFailover = 3
  }
  /// How a select group chooses.
  public enum SelectionMethod: Equatable, Sendable {
    /// What the switch thinks best.
    case standard
    /// Hash over these fields' masked values; empty: all that tell a flow.
    case hash(fields: FlowMask)
    /// Hash kept with the packet.
    case dpHash
  }
  public var id: UInt32
  public var kind: Kind
  public var selectionMethod = SelectionMethod.standard
  public var selectionParameter: UInt64 = 0
  public var buckets: [Bucket] = []

  public struct Bucket: Equatable, Sendable {
    /// Unique in the group; nil: to be chosen by the switch (before OpenFlow 1.5).
    public var id: UInt32?
    /// Share of a select group.
    public var weight: UInt16 = 1
    public var watchPort: PortNumber?
    public var watchGroup: UInt32?
    /// An action set.
    public var actions: [Action] = []
    public init() {}
  }

  public init(id: UInt32, kind: Kind) {
    self.id = id
    self.kind = kind
  }
}
