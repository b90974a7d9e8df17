import TestSupport
import Testing
import VSwitchCore

@Suite struct GroupTableTests {
  private let tables = FlowTables(workerCount: 1, seed: 7)

  private func group(
    _ id: UInt32, _ kind: GroupDescription.Kind = .all, outputs: [UInt32] = [1], groups: [UInt32] = []
  ) -> GroupDescription {
    var group = GroupDescription(id: id, kind: kind)
    for port in outputs {
      var bucket = GroupDescription.Bucket()
      bucket.actions = [.output(PortNumber(port), maximumByteCount: 0)]
      if kind == .fastFailover { bucket.watchPort = PortNumber(port) }
      group.buckets.append(bucket)
    }
    for next in groups {
      var bucket = GroupDescription.Bucket()
      bucket.actions = [.group(next)]
      if kind == .fastFailover { bucket.watchGroup = next }
      group.buckets.append(bucket)
    }
    return group
  }

  private func read(_ id: UInt32) -> Group? { tables.reader.group(id, version: tables.reader.version) }

  @Test func addModifyDeleteAndTheirErrors() throws {
    try tables.apply(GroupMod(.add, group(1)), now: 1)
    #expect(throws: TableError.groupExists(1)) { try tables.apply(GroupMod(.add, group(1)), now: 1) }
    #expect(throws: TableError.groupToChangeUnknown(2)) { try tables.apply(GroupMod(.modify, group(2)), now: 1) }
    try tables.apply(GroupMod(.addOrModify, group(2)), now: 1)
    try tables.apply(GroupMod(.modify, group(1, .indirect, outputs: [4])), now: 2)
    #expect(read(1)?.kind == .indirect && read(1)?.bucketCount == 1)
    #expect(read(1)?.bucket(0)?.code.instructions.apply == [.output(PortNumber(4), maximumByteCount: 0)])
    #expect(read(1)?.bucket(1) == nil)
    #expect(tables.groupDescriptions().map(\.id) == [1, 2])
    try tables.apply(GroupMod(.delete, group(7)), now: 3)
    try tables.apply(GroupMod(.delete, group(1)), now: 3)
    #expect(read(1) == nil && read(2) != nil)
    try tables.apply(GroupMod(.delete, group(GroupMod.allGroups)), now: 3)
    #expect(tables.groupDescriptions().isEmpty && read(2) == nil)
    for bad in [
      group(GroupMod.anyGroup), group(1, .indirect, outputs: [1, 2]), group(1, .indirect, outputs: []),
    ] {
      #expect(throws: TableError.invalidGroup(bad.id)) { try tables.apply(GroupMod(.add, bad), now: 1) }
    }
    var unwatched = group(1, .fastFailover)
    unwatched.buckets[0].watchPort = nil
    #expect(throws: TableError.invalidGroup(1)) { try tables.apply(GroupMod(.add, unwatched), now: 1) }
    var twice = group(1, outputs: [1, 2])
    twice.buckets[0].id = 5
    twice.buckets[1].id = 5
    #expect(throws: TableError.bucketExists(5)) { try tables.apply(GroupMod(.add, twice), now: 1) }
  }

  @Test func bucketsAreInsertedAndRemovedWithTheOthersCountsKept() throws {
    try tables.apply(GroupMod(.add, group(1, .select, outputs: [1, 2])), now: 1)
    let second = try #require(read(1)?.bucket(1))
    tables.reader.count(second.slot, worker: 0, packetCount: 3, byteCount: 30, now: 1)
    var addition = group(1, .select, outputs: [9])
    addition.buckets[0].id = 77
    try tables.apply(GroupMod(.insertBuckets(at: .after(0)), addition), now: 1)
    #expect(tables.groupDescriptions(1).first?.buckets.map(\.id) == [0, 77, 1])
    #expect(tables.groupStatistics(1).first?.buckets.map(\.packetCount) == [0, 0, 3])
    #expect(throws: TableError.bucketExists(77)) {
      try tables.apply(GroupMod(.insertBuckets(at: .last), addition), now: 1)
    }
    #expect(throws: TableError.unknownBucket(5)) {
      try tables.apply(GroupMod(.insertBuckets(at: .after(5)), addition), now: 1)
    }
    try tables.apply(GroupMod(.removeBuckets(.first), group(1)), now: 1)
    try tables.apply(GroupMod(.removeBuckets(.id(77)), group(1)), now: 1)
    #expect(tables.groupStatistics(1).first?.buckets.map(\.packetCount) == [3])
    #expect(throws: TableError.unknownBucket(77)) {
      try tables.apply(GroupMod(.removeBuckets(.id(77)), group(1)), now: 1)
    }
    try tables.apply(GroupMod(.removeBuckets(.all), group(1)), now: 1)
    #expect(read(1)?.bucketCount == 0)
  }

  @Test func chainsThatLeadBackAreRefused() throws {
    #expect(throws: TableError.groupLoop(1)) {
      try tables.apply(GroupMod(.add, group(1, groups: [1])), now: 1)
    }
    // A group that is not there yet may be named.
    try tables.apply(GroupMod(.add, group(1, groups: [2])), now: 1)
    try tables.apply(GroupMod(.add, group(2, groups: [3])), now: 1)
    #expect(throws: TableError.groupLoop(3)) {
      try tables.apply(GroupMod(.add, group(3, groups: [4, 1])), now: 1)
    }
    try tables.apply(GroupMod(.add, group(3)), now: 1)
    #expect(throws: TableError.groupLoop(3)) {
      try tables.apply(GroupMod(.insertBuckets(at: .last), group(3, outputs: [], groups: [1])), now: 1)
    }
    #expect(tables.groupStatistics().map(\.referenceCount) == [0, 1, 1])
  }

  @Test func deletingAGroupDeletesTheRulesThatLeadToIt() throws {
    try tables.apply(GroupMod(.add, group(1)), now: 1)
    try tables.apply(GroupMod(.add, group(2)), now: 1)
    for (table, id) in [(UInt8(0), UInt32(1)), (1, 2), (2, 1)] {
      var mod = FlowMod()
      mod.table = table
      mod.flags = .sendFlowRemoved
      mod.instructions.write = [.group(id)]
      try tables.apply(mod, now: 1)
    }
    #expect(tables.groupStatistics().map(\.referenceCount) == [2, 1])
    let version = tables.reader.version
    try tables.apply(GroupMod(.delete, group(1)), now: 1)
    #expect(tables.rules().map(\.table) == [1])
    #expect(tables.reader.changedVersion(.groups) > version)
    #expect(tables.reader.group(1, version: version) != nil, "readers of the version before see it")
    #expect(tables.endGracePeriod(tables.beginGracePeriod()).map(\.reason) == [.groupDelete, .groupDelete])
    var mod = FlowMod()
    mod.instructions.apply = [.group(1)]
    #expect(throws: TableError.unknownGroup(1)) { try tables.apply(mod, now: 1) }
  }

  @Test func livenessFollowsPortsAndGroups() throws {
    try tables.apply(GroupMod(.add, group(1, .fastFailover, outputs: [1, 2])), now: 1)
    try tables.apply(GroupMod(.add, group(2, .fastFailover, outputs: [3], groups: [1])), now: 1)
    func alive(_ id: UInt32) -> [Bool] {
      guard let group = read(id) else { return [] }
      return (0..<group.bucketCount).compactMap { group.bucket($0)?.isAlive }
    }
    #expect(alive(1) == [false, false] && alive(2) == [false, false])
    let version = tables.reader.version
    tables.setLivePorts([PortNumber(2)])
    #expect(alive(1) == [false, true] && alive(2) == [false, true])
    #expect(tables.reader.changedVersion(.groups) > version)
    tables.setLivePorts([PortNumber(2), PortNumber(8)])
    #expect(tables.reader.changedVersion(.groups) == version + 1, "nobody watches port 8")
    tables.setLivePorts([PortNumber(3)])
    #expect(alive(1) == [false, false] && alive(2) == [true, false])
    try tables.apply(GroupMod(.modify, group(1, .fastFailover, outputs: [3])), now: 1)
    #expect(alive(1) == [true] && alive(2) == [true, true])
    try tables.apply(GroupMod(.modify, group(1, outputs: [9])), now: 1)
    #expect(alive(1) == [true], "what watches nothing is alive")
  }

  @Test func modifyingKeepsTheGroupsCountsAndStartsItsBucketsAnew() throws {
    try tables.apply(GroupMod(.add, group(1)), now: 5)
    let old = try #require(read(1))
    tables.reader.count(old.slot, worker: 0, packetCount: 2, byteCount: 20, now: 1)
    tables.reader.count(try #require(old.bucket(0)).slot, worker: 0, packetCount: 2, byteCount: 20, now: 1)
    try tables.apply(GroupMod(.modify, group(1)), now: 6)
    let statistics = try #require(tables.groupStatistics(1).first)
    #expect(statistics.statistics.packetCount == 2 && statistics.buckets.map(\.packetCount) == [0])
    #expect(statistics.createdAt == 5)
  }
}
