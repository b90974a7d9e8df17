// What translation asks of a bridge, answered from the tables that control code changes meanwhile. Thread: one worker.

import VSwitchCore

extension FlowBridge: PipelineReader {
  func rule(table: UInt8, key: borrowing FlowKey, version: UInt64, mask: inout FlowMask) -> PipelineRule? {
    let rule = tables.lookup(table: table, key: key, version: version, mask: &mask)
    tables.countLookups(table, worker: 0, lookupCount: 1, matchedCount: rule == nil ? 0 : 1)
    guard let rule else { return nil }
    return PipelineRule(
      code: rule.code, slot: rule.slot.index, cookie: rule.cookie, priority: rule.priority, table: rule.table,
      isTableMiss: rule.isTableMiss)
  }

  func group(_ id: UInt32, version: UInt64) -> PipelineGroup? {
    guard let group = tables.group(id, version: version) else { return nil }
    return PipelineGroup(
      id: id, kind: group.kind, bucketCount: group.bucketCount, slot: group.slot.index, address: group.address)
  }

  func bucket(_ index: Int, of group: PipelineGroup) -> PipelineBucket? {
    guard let bucket = Group(address: group.address)?.bucket(index) else { return nil }
    return PipelineBucket(code: bucket.code, slot: bucket.slot.index, isAlive: bucket.isAlive)
  }

  func missBehaviour(table: UInt8) -> MissBehaviour { missBehaviour }
}
