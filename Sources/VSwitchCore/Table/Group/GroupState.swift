// A group as control code knows it, and the checks of what it may be. Thread: control; values.

extension GroupMod {
  /// Most groups of a bridge.
  public static let groupLimit = 1 << 20
  /// Most buckets of a group.
  public static let bucketLimit = 4096
}

/// A group, with what has been counted (OpenFlow 1.5 §7.3.5.9).
public struct GroupStatistics: Equatable, Sendable {
  public var id: UInt32
  /// Rules and buckets that lead to it.
  public var referenceCount: Int
  public var statistics: Statistics
  public var buckets: [Statistics]
  public var createdAt: UInt64
}

/// What control code keeps of a group.
struct GroupState {
  var record: Group
  /// Each bucket has an id.
  var description: GroupDescription
  var slot: UInt32
  var bucketSlots: [UInt32]
  var createdAt: UInt64
}

extension GroupDescription {
  /// The same with numbers for the buckets that have none.
  var withBucketIDs: GroupDescription {
    var result = self
    var used = Set(buckets.compactMap(\.id))
    var next: UInt32 = 0
    for index in result.buckets.indices where result.buckets[index].id == nil {
      while used.contains(next) { next += 1 }
      result.buckets[index].id = next
      used.insert(next)
    }
    return result
  }

  /// Whether the number and the buckets fit the kind.
  func check() throws(TableError) {
    guard id <= GroupMod.maximumGroup else { throw .invalidGroup(id) }
    guard buckets.count <= GroupMod.bucketLimit else { throw .tooManyBuckets }
    if kind == .indirect, buckets.count != 1 { throw .invalidGroup(id) }
    var ids: Set<UInt32> = []
    for bucket in buckets {
      if let number = bucket.id {
        guard number <= GroupMod.maximumGroup else {
          throw .badBucket("Buckets have ids up to \(GroupMod.maximumGroup).")
        }
        guard ids.insert(number).inserted else { throw .bucketExists(number) }
      }
      // 1 is what a bucket without a weight has.
      if kind != .select, bucket.weight > 1 { throw .invalidGroup(id) }
      if kind == .fastFailover, bucket.watchPort == nil, bucket.watchGroup == nil { throw .invalidGroup(id) }
      var validator = ActionValidator()
      try validator.check(bucket.actions)
    }
  }

  /// Groups that packets or liveness go on to.
  var successors: [UInt32] {
    var groups: [UInt32] = []
    for bucket in buckets {
      groups.append(contentsOf: References(bucket.actions).groups)
      if let group = bucket.watchGroup, group <= GroupMod.maximumGroup { groups.append(group) }
    }
    return groups
  }
}
