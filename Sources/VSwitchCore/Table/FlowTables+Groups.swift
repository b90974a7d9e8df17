// The group table (OpenFlow 1.5 §6.7 and §7.3.4.4). Thread: control, within a transaction.
//
// A group that is changed keeps its counters; buckets keep theirs if they are taken over by number (insert and remove of
// buckets), and start anew otherwise. Deleting a group deletes the rules that lead to it; a bucket that leads to a group
// which is not there ends its packets there.

import Synchronization

extension FlowTables {
  func perform(_ mod: GroupMod, now: UInt64) throws(TableError) {
    let id = mod.group.id
    switch mod.command {
    case .add:
      guard groups[id] == nil else { throw .groupExists(id) }
      try setGroup(mod.group, keepsBuckets: false, now: now)
    case .modify:
      guard groups[id] != nil else { throw .groupToChangeUnknown(id) }
      try setGroup(mod.group, keepsBuckets: false, now: now)
    case .addOrModify:
      try setGroup(mod.group, keepsBuckets: false, now: now)
    case .delete:
      if id == GroupMod.allGroups {
        for id in groups.keys.sorted() { deleteGroup(id, now: now) }
      } else {
        guard id <= GroupMod.maximumGroup else { throw .invalidGroup(id) }
        deleteGroup(id, now: now)
      }
    case .insertBuckets(let position): try insertBuckets(mod.group, at: position, now: now)
    case .removeBuckets(let selection): try removeBuckets(id, selection, now: now)
    }
  }

  private func insertBuckets(
    _ addition: GroupDescription, at position: GroupMod.BucketPosition, now: UInt64
  ) throws(TableError) {
    guard var description = groups[addition.id]?.description else { throw .groupToChangeUnknown(addition.id) }
    switch position {
    case .first: description.buckets.insert(contentsOf: addition.buckets, at: 0)
    case .last: description.buckets.append(contentsOf: addition.buckets)
    case .after(let id):
      guard let index = description.buckets.firstIndex(where: { $0.id == id }) else { throw .unknownBucket(id) }
      description.buckets.insert(contentsOf: addition.buckets, at: index + 1)
    }
    try setGroup(description, keepsBuckets: true, now: now)
  }

  private func removeBuckets(_ id: UInt32, _ selection: GroupMod.BucketSelection, now: UInt64) throws(TableError) {
    guard var description = groups[id]?.description else { throw .groupToChangeUnknown(id) }
    switch selection {
    case .all: description.buckets = []
    case .first: if !description.buckets.isEmpty { description.buckets.removeFirst() }
    case .last: _ = description.buckets.popLast()
    case .id(let id):
      guard let index = description.buckets.firstIndex(where: { $0.id == id }) else { throw .unknownBucket(id) }
      description.buckets.remove(at: index)
    }
    try setGroup(description, keepsBuckets: true, now: now)
  }

  /// Makes a group what a description says, whether or not it is there already.
  private func setGroup(_ wanted: GroupDescription, keepsBuckets: Bool, now: UInt64) throws(TableError) {
    try wanted.check()
    let description = wanted.withBucketIDs
    if leadsBack(description) { throw .groupLoop(description.id) }
    let old = groups[description.id]
    guard old != nil || groups.count < GroupMod.groupLimit else { throw .tooManyGroups }
    let growth = 1 + description.buckets.reduce(0) { $0 + 1 + $1.actions.count }
    guard headroom.mayGrow(ruleCount: ruleCount, by: growth) else { throw .tooManyGroups }
    var codes: [RuleCode] = []
    do throws(RuleCode.Fault) {
      for bucket in description.buckets { codes.append(try RuleCode(bucket: bucket.actions)) }
    } catch {
      for code in codes { code.deallocate() }
      throw .tooManyActions(error.description)
    }
    var taken: [UInt32] = []
    var known: [UInt32: UInt32] = [:]
    if keepsBuckets, let old {
      for (bucket, slot) in zip(old.description.buckets, old.bucketSlots) { known[bucket.id ?? 0] = slot }
    }
    func slot(_ known: UInt32?) -> UInt32? {
      if let known { return known }
      guard let slot = slots.take(counters: unsafe root.pointee.counters) else { return nil }
      taken.append(slot)
      return slot
    }
    let groupSlot = slot(old?.slot)
    let bucketSlots = description.buckets.compactMap { slot(known[$0.id ?? 0]) }
    guard let groupSlot, bucketSlots.count == codes.count else {
      for slot in taken { slots.release(slot) }
      for code in codes { code.deallocate() }
      throw .tooManyGroups
    }
    let record = Group(
      description, codes: codes, slot: groupSlot, slots: bucketSlots, version: transaction.version)
    let new = GroupState(
      record: record, description: description, slot: groupSlot, bucketSlots: bucketSlots,
      createdAt: old?.createdAt ?? now)
    if let versioned = record.versioned {
      unsafe root.pointee.groups.insert(versioned) { unsafe retire($0) }
    }
    exchangeGroup(description.id, old, new, slotsTaken: taken)
  }

  /// Deletes a group that may be there, with the rules that lead to it.
  private func deleteGroup(_ id: UInt32, now: UInt64) {
    guard let old = groups[id] else { return }
    if ruleReferences.groups[id, default: 0] > 0 {
      deleteRules(leadingTo: id, now: now)
    }
    exchangeGroup(id, old, nil, slotsTaken: [])
  }

  private func deleteRules(leadingTo group: UInt32, now: UInt64) {
    var filter = OutputFilter(port: .any, group: group)
    for rule in rulesWithReferences() where unsafe filter.accepts(rule.record.pointee.actions) {
      delete(rule, reason: .groupDelete, now: now)
    }
  }

  /// Rules that refer to any group or meter.
  func rulesWithReferences() -> [Rule] {
    var rules: [Rule] = []
    for classifier in classifiers {
      classifier?.forEach(within: Match()) {
        if unsafe $0.record.pointee.actions.pointee.hasReferences { rules.append($0) }
      }
    }
    return rules
  }

  private func exchangeGroup(_ id: UInt32, _ old: GroupState?, _ new: GroupState?, slotsTaken: [UInt32]) {
    old?.record.versioned?.setRemoved(transaction.version)
    groups[id] = new
    for group in old?.description.successors ?? [] { bucketReferences.add(group, -1) }
    for group in new?.description.successors ?? [] { bucketReferences.add(group, 1) }
    transaction.touched.insert(TableDependency.groups.index)
    unsafe transaction.steps.append(.group(id: id, old: old, new: new, slotsTaken: slotsTaken))
  }

  /// Undoes an exchange.
  func restoreGroup(_ id: UInt32, _ old: GroupState?, _ new: GroupState?, slotsTaken: [UInt32]) {
    old?.record.versioned?.setRemoved(RuleRecord.never)
    groups[id] = old
    for group in new?.description.successors ?? [] { bucketReferences.add(group, -1) }
    for group in old?.description.successors ?? [] { bucketReferences.add(group, 1) }
    if let record = new?.record, let versioned = record.versioned {
      versioned.setAdded(RuleRecord.never)
      unsafe root.pointee.groups.remove(versioned)
      retired.add(.freeGroup(record))
    }
    // No reader saw the group, so none has counted there.
    for slot in slotsTaken { slots.release(slot) }
  }

  /// What goes when a group was replaced or deleted, once no reader looks for it.
  func retireGroup(_ old: GroupState, replacedBy new: GroupState?) {
    retired.add(.unlinkGroup(old.record))
    let kept = Set((new?.bucketSlots ?? []) + (new.map { [$0.slot] } ?? []))
    for slot in old.bucketSlots + [old.slot] where !kept.contains(slot) { retired.add(.freeSlot(slot)) }
  }

  /// Whether a group's buckets would lead to the group itself.
  private func leadsBack(_ description: GroupDescription) -> Bool {
    var seen: Set<UInt32> = []
    var waiting = description.successors
    while let group = waiting.popLast() {
      if group == description.id { return true }
      if seen.insert(group).inserted, let next = groups[group] {
        waiting.append(contentsOf: next.description.successors)
      }
    }
    return false
  }

  // MARK: liveness

  /// Says which ports are up; buckets that watch others, or groups without a live bucket, are not alive.
  public func setLivePorts(_ ports: Set<PortNumber>) {
    livePorts = ports
    _ = commit()
  }

  /// Brings the buckets' liveness to what ports and groups are.
  /// - Returns: whether any changed.
  func updateLiveness() -> Bool {
    var known: [UInt32: Bool] = [:]
    var changed = false
    for (_, state) in groups {
      for (index, bucket) in state.description.buckets.enumerated() {
        let isAlive = isAlive(bucket, &known, depth: 0)
        guard let flag = state.record.bucket(index), flag.isAlive != isAlive else { continue }
        unsafe flag.record.pointee.isAlive.store(isAlive, ordering: .relaxed)
        changed = true
      }
    }
    return changed
  }

  private func isAlive(_ bucket: GroupDescription.Bucket, _ known: inout [UInt32: Bool], depth: Int) -> Bool {
    let port = bucket.watchPort.flatMap { $0 == .any ? nil : $0 }
    let group = bucket.watchGroup.flatMap { $0 == GroupMod.anyGroup ? nil : $0 }
    if port == nil, group == nil { return true }
    if let port, livePorts.contains(port) { return true }
    guard let group, let state = groups[group], depth < 64 else { return false }
    if let answer = known[group] { return answer }
    var answer = false
    for bucket in state.description.buckets where isAlive(bucket, &known, depth: depth + 1) {
      answer = true
      break
    }
    known[group] = answer
    return answer
  }

  // MARK: what is asked

  /// The groups by number; of one alone if it is given.
  public func groupDescriptions(_ id: UInt32? = nil) -> [GroupDescription] {
    groups.values.filter { id == nil || $0.description.id == id }.map(\.description).sorted { $0.id < $1.id }
  }

  /// Statistics of the groups by number; of one alone if it is given.
  public func groupStatistics(_ id: UInt32? = nil) -> [GroupStatistics] {
    groups.values.filter { id == nil || $0.description.id == id }.map { state in
      let counters = unsafe root.pointee.counters
      let id = state.description.id
      return GroupStatistics(
        id: id, referenceCount: ruleReferences.groups[id, default: 0] + bucketReferences.groups[id, default: 0],
        statistics: counters.sum(state.slot), buckets: state.bucketSlots.map { counters.sum($0) },
        createdAt: state.createdAt)
    }.sorted { $0.id < $1.id }
  }
}
