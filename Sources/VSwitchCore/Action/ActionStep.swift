// One step of an action program: what the datapath does to a packet, with every decision of the tables behind it.
//
// Steps run in order on one packet. Some hold others, which follow them at once (`blockCount` tells how many); a step that
// says so is followed by `data` steps. Values are in host byte order. Thread: plain data.

/// A step of fixed size.
public struct ActionStep: Equatable, Sendable {
  public enum Operation: UInt8, Sendable, CaseIterable {
    // Where to. `inPort` is the entry port as the pipeline sees it now: 0xffff is none, an action may have changed it.
    /// Sends a copy to port `number`; cuts it to `low` bytes if that is not 0.
    case output
    /// MAC learning and lookup with entry port `number`; cut to `low` bytes if that is not 0.
    case normal
    /// A copy to every port but `number` and those with flooding off; cut to `low` bytes if that is not 0.
    case flood
    /// A copy to every port but `number`; cut to `low` bytes if that is not 0.
    case all
    /// To controllers: `field` the reason (`ControllerAction.Reason`), `half` the controller's id, `number` the port that it
    /// came in by as the pipeline says, `low` the cookie, `high` table << 32 | meter (0: none), `maskLow` bytes of user data, `maskHigh` 0, or
    /// the point where the packet goes on when the controller says so, plus 1. Followed by `data` steps with the user data, then by `setPipeline` steps: `blockCount` steps in all.
    case controller
    /// In a `controller`: word `number` of the flow key is `low`, as the pipeline has set it.
    case setPipeline

    // The packet
    /// Sets the bits `mask` of field `field` to those of `value`, and mends the checksums.
    case setField
    /// Adds a tag: `half` its EtherType, `number` its TCI (without a tag: bit 12 is 0).
    case pushVLAN
    case popVLAN
    /// Adds a label: `half` the EtherType, `number` the stack entry.
    case pushMPLS
    /// Removes the outer label: `half` is the EtherType from then on.
    case popMPLS
    /// Of an IP packet with a TTL over 1.
    case decrementTTL
    /// Of the outer label, with a TTL over 1.
    case decrementMPLSTTL
    case copyTTLOutwards
    case copyTTLInwards

    // Queues, meters, samples
    /// Queue `number` for what is sent from here on.
    case setQueue
    /// The queue of before the first `setQueue`.
    case popQueue
    /// Asks meter `number`, which may end the packet or change its DSCP.
    case meter
    /// With probability `half` of 65535 a sample: `number` the collector set, `low` domain << 32 | point, `high`
    /// sampling port, `field` the direction.
    case sample

    // Ways that part
    /// Runs `blockCount` steps on a copy.
    case clone
    /// Runs one of `number` buckets of select group `low`: the next `blockCount` steps are `bucket`s with their steps.
    case selectGroup
    /// In a `selectGroup`: bucket `number` (its place in the group), `blockCount` steps.
    case bucket
    /// A packet of more than `number` bytes (its Ethernet header counts) runs the first `low` of the next `blockCount`
    /// steps, a smaller one the others, on a copy.
    case checkLength

    // What comes back
    /// Connection tracking: `number` its zone, `half` flags (`ConntrackFlags`), `low` the helper's port, `high` where the
    /// packet goes on. Followed by `blockCount` steps: if it translates a `conntrackTranslation`, then `conntrackSet`.
    case conntrack
    /// In a `conntrack`: words 2 to 6 of the code's step (`CodeWriter`): `low` flags and ports, `high` and `maskHigh` the high
    /// and low half of the first address, then a `data` step whose `high` and `low` are those of the last one.
    case conntrackTranslation
    /// In a `conntrack`: sets bits `mask` of field `field`, ct_mark or ct_label, to `value`.
    case conntrackSet
    case conntrackClear
    /// Parses the packet again and goes on at point `number` of this translation.
    case recirculate

    // Events
    /// Makes or refreshes a rule: table `field`, priority `half`, `low` the cookie, `high` idle | hard << 16 | FIN idle << 32 |
    /// FIN hard << 48 seconds, `number` the limit, `maskLow` flags (`LearnAction.Flags`), `maskHigh` the number of the
    /// rule that learns. Followed by `blockCount` steps: `learnMatch`, `learnLoad`, `learnOutput`.
    case learn
    /// In a `learn`: the match has field `field`, `value` under `mask`.
    case learnMatch
    /// In a `learn`: the actions set bits `mask` of field `field` to `value`.
    case learnLoad
    /// In a `learn`: the actions send to port `number`.
    case learnOutput
    /// If the packet is TCP with FIN or RST: rule `low` gets idle and hard timeouts `number` = idle | hard << 16 seconds.
    case finTimeout
    /// Counts the packet for the rule or group in slot `low` (below 256: for a table where no rule matched): only inside of steps that not every packet runs, other hits are the caller's to count.
    case countRule
    /// Counts the packet for the bucket in slot `low`, likewise.
    case countBucket
    /// The packet ends here for `DropReason` `field`; nothing was or will be done with it.
    case drop
    /// 32 bytes for the step before, the first in the lowest bits of `high`.
    case data
  }

  /// Flags of `conntrack`.
  public struct ConntrackFlags: OptionSet, Sendable {
    public let rawValue: UInt16
    @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }
    @inlinable public static var commits: ConntrackFlags { ConntrackFlags(rawValue: 1 << 0) }
    @inlinable public static var forces: ConntrackFlags { ConntrackFlags(rawValue: 1 << 1) }
    /// The packet, as it comes back, goes on at point `high` of this translation.
    @inlinable public static var recirculates: ConntrackFlags { ConntrackFlags(rawValue: 1 << 2) }
    @inlinable public static var translates: ConntrackFlags { ConntrackFlags(rawValue: 1 << 3) }
  }

  public var operation: Operation
  public var field: UInt8
  public var half: UInt16
  public var number: UInt32
  /// Value: of more than 64 bits the high half.
  public var high: UInt64
  public var low: UInt64
  public var maskHigh: UInt64
  public var maskLow: UInt64
  /// How many of the steps behind this one belong to it.
  public var blockCount: UInt32

  @inlinable
  public init(_ operation: Operation, number: UInt32 = 0, half: UInt16 = 0, field: UInt8 = 0) {
    self.operation = operation
    self.field = field
    self.half = half
    self.number = number
    high = 0
    low = 0
    maskHigh = 0
    maskLow = 0
    blockCount = 0
  }

  @inlinable
  public init(_ operation: Operation, field: Field, value: UInt128, mask: UInt128) {
    self.init(operation, field: field.rawValue)
    high = UInt64(truncatingIfNeeded: value >> 64)
    low = UInt64(truncatingIfNeeded: value)
    maskHigh = UInt64(truncatingIfNeeded: mask >> 64)
    maskLow = UInt64(truncatingIfNeeded: mask)
  }

  /// A step that counts in a slot.
  @inlinable
  public init(_ operation: Operation, slot: UInt32) {
    self.init(operation)
    low = UInt64(slot)
  }

  @inlinable public var value: UInt128 { UInt128(high) << 64 | UInt128(low) }
  @inlinable public var mask: UInt128 { UInt128(maskHigh) << 64 | UInt128(maskLow) }

  /// A change of the packet that no one sees if nothing follows; never part of another step.
  var isEdit: Bool {
    switch operation {
    case .setField, .pushVLAN, .popVLAN, .pushMPLS, .popMPLS, .decrementTTL, .decrementMPLSTTL, .copyTTLOutwards,
      .copyTTLInwards, .setQueue, .popQueue:
      true
    default: false
    }
  }

  /// Sends or counts, and no more.
  var leavesPacketAsItIs: Bool {
    switch operation {
    case .output, .normal, .flood, .all, .countRule, .countBucket, .sample: true
    default: false
    }
  }
}
