// What a bridge is asked: rules, groups, meters and tables with what they have counted, and what it is (OpenFlow 1.5 §7.3.5).

import Datapath
import OpenFlow
import VSwitchCore

extension BridgeAgent {
  /// Calls the datapath; a bridge that is gone meanwhile has nothing to tell.
  func ask<T: Sendable>(_ body: @escaping @Sendable (any FlowPlane, String) -> T?) async throws(ErrorCode) -> T {
    guard let answer = await blocking({ [plane, name] in body(plane, name) }) else { throw .badRequestUnknown }
    return answer
  }

  /// The rules that a request means, written as the parts of its answer.
  /// - Parameter body: makes the answer's body of some rules.
  func flowParts(
    _ request: FlowStatisticsRequest, _ version: OpenFlowVersion, xid: UInt32, _ form: MessageForm,
    _ body: @escaping @Sendable ([FlowStatistics]) -> MultipartReply.Body
  ) async throws(ErrorCode) -> [[UInt8]] {
    let filter = RuleFilter(request)
    return try await ask { plane, name in
      // Written at once: as values a million rules would take many times the memory.
      var parts: [[UInt8]] = []
      var waiting: [FlowStatistics] = []
      func write(isLast: Bool) {
        var reply = MultipartReply(body(waiting), form: form)
        reply.hasMore = !isLast
        let message = Message(version, xid: xid, .multipartReply(reply))
        parts += (try? MessageEncoder().encodeParts(message)) ?? []
        waiting.removeAll(keepingCapacity: true)
      }
      let now = plane.flowClock
      let isThere = plane.visitRules(bridge: name, filter) { rule in
        waiting.append(FlowStatistics(rule, now: now))
        if waiting.count == 256 { write(isLast: false) }
      }
      write(isLast: true)
      return isThere ? parts : nil
    }
  }

  func aggregate(_ request: FlowStatisticsRequest) async throws(ErrorCode) -> FlowAggregate {
    let filter = RuleFilter(request)
    let sum = try await ask { plane, name in plane.aggregate(bridge: name, filter) }
    var statistics = FlowAggregate()
    statistics.packetCount = sum.packetCount
    statistics.byteCount = sum.byteCount
    statistics.flowCount = UInt32(clamping: sum.flowCount)
    return statistics
  }

  func tables() async throws(ErrorCode) -> [TableCounters] {
    let tables = try await ask { plane, name in plane.tableStatistics(bridge: name) }
    return tables.enumerated().map { number, table in
      var statistics = TableCounters(table: UInt8(number))
      statistics.activeCount = UInt32(clamping: table.activeCount)
      statistics.lookupCount = table.lookupCount
      statistics.matchedCount = table.matchedCount
      statistics.maximumEntries = UInt32(clamping: table.ruleLimit ?? Self.toldRuleLimit)
      statistics.wildcards = 0x3f_ffff
      return statistics
    }
  }

  func groupDescriptions(_ id: UInt32) async throws(ErrorCode) -> [GroupDescription] {
    try await ask { plane, name in plane.groupDescriptions(bridge: name, id >= GroupMod.allGroups ? nil : id) }
  }

  func groupStatistics(_ id: UInt32) async throws(ErrorCode) -> [GroupCounters] {
    let groups = try await ask { plane, name in
      plane.groupStatistics(bridge: name, id >= GroupMod.allGroups ? nil : id)
    }
    let now = plane.flowClock
    return groups.map { group in
      var statistics = GroupCounters(group: group.id)
      statistics.referenceCount = UInt32(clamping: group.referenceCount)
      statistics.packetCount = group.statistics.packetCount
      statistics.byteCount = group.statistics.byteCount
      statistics.duration = ElapsedTime(nanoseconds: now &- group.createdAt)
      statistics.buckets = group.buckets.map { .init(packetCount: $0.packetCount, byteCount: $0.byteCount) }
      return statistics
    }
  }

  func meterDescriptions(_ id: UInt32) async throws(ErrorCode) -> [MeterDescription] {
    try await ask { plane, name in plane.meterDescriptions(bridge: name, id >= Self.allMeters ? nil : id) }
  }

  func meterStatistics(_ id: UInt32) async throws(ErrorCode) -> [MeterCounters] {
    let meters = try await ask { plane, name in plane.meterStatistics(bridge: name, id >= Self.allMeters ? nil : id) }
    let now = plane.flowClock
    return meters.map { meter in
      var statistics = MeterCounters(meter: meter.id)
      statistics.flowCount = UInt32(clamping: meter.flowCount)
      statistics.packetInCount = meter.input.packetCount
      statistics.byteInCount = meter.input.byteCount
      statistics.duration = ElapsedTime(nanoseconds: now &- meter.createdAt)
      statistics.bands = meter.bands.map { .init(packetCount: $0.packetCount, byteCount: $0.byteCount) }
      return statistics
    }
  }

  func features(_ version: OpenFlowVersion) async -> SwitchFeatures {
    var capabilities: SwitchFeatures.Capabilities = [
      .flowStatistics, .tableStatistics, .portStatistics, .queueStatistics,
    ]
    capabilities.insert(version == .v10 ? .arpMatchIP : .groupStatistics)
    if version >= .v14 { capabilities.formUnion([.bundles, .flowMonitoring]) }
    var features = SwitchFeatures(
      datapathID: plan.datapathID, tableCount: UInt8(FlowTables.tableCount), capabilities: capabilities)
    features.actions = 0xfff
    if version == .v10 { features.ports = await portDescriptions(.any) }
    return features
  }

  var description: SwitchDescription {
    var description = SwitchDescription()
    description.manufacturer = "vswitch"
    description.hardware = "software switch"
    description.software = Version.program
    description.serialNumber = "None"
    description.datapath = name
    return description
  }
}
