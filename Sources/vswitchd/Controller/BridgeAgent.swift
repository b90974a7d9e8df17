// One bridge as controllers see it: who is connected, which of them is primary, and the bridge's tables and ports in
// OpenFlow's words. An actor; the datapath is called on a thread of its own, one call after the other, so that changes keep
// their order. Standard: OpenFlow 1.5 §6.3 (connections and roles), §7.3.

import Datapath
import Logging
import OpenFlow
import VSwitchCore

/// The OpenFlow side of a bridge.
actor BridgeAgent {
  nonisolated let name: String
  private let plane: any FlowPlane
  private let blocking = BlockingCalls()
  private var sessions: [Int: ControllerSession] = [:]
  private var nextSession = 0
  /// The last election of a primary; nil before the first.
  private var generationID: UInt64?
  /// Column `datapath_id` of the bridge.
  private let datapathID: @Sendable (String) async -> UInt64

  init(name: String, plane: any FlowPlane, datapathID: @escaping @Sendable (String) async -> UInt64) {
    self.name = name
    self.plane = plane
    self.datapathID = datapathID
  }

  // MARK: sessions

  /// Serves a connection until it ends.
  func serve(_ connection: OpenFlowConnection, _ versions: VersionSet) async {
    let number = nextSession
    nextSession += 1
    let session = ControllerSession(self, number: number)
    sessions[number] = session
    await connection.serve(versions, session)
    sessions[number] = nil
  }

  /// Gives a session the role that it asks for (OpenFlow 1.5 §6.3.7).
  func grant(_ wanted: RoleMessage, to session: ControllerSession) async throws(ErrorCode) -> RoleMessage {
    if wanted.role == .primary || wanted.role == .secondary {
      // Distances on a circle: a newer election has a greater number, also after a wrap.
      if let known = generationID, Int64(bitPattern: wanted.generationID &- known) < 0 { throw .roleRequestFailedStale }
      generationID = wanted.generationID
    }
    if wanted.role == .primary {
      for other in sessions.values where other !== session {
        if await other.role == .primary { await other.become(.secondary) }
      }
    }
    if wanted.role != .noChange { await session.become(wanted.role) }
    return RoleMessage(await session.role, generationID: generationID ?? .max)
  }

  /// A packet that rules have sent to controllers.
  func tell(_ packet: ControllerPacket) async {
    for session in sessions.values { await session.tell(packet) }
  }

  // MARK: changes

  /// Makes changes at one step, or none.
  func change(_ changes: [TableChange]) async throws(ErrorCode) {
    let result = await blocking { [plane, name] () -> Result<FlowChangeOutcome, FlowChangeError> in
      do throws(FlowChangeError) {
        return .success(try plane.changeFlows(bridge: name, changes))
      } catch {
        return .failure(error)
      }
    }
    switch result {
    case .success(let outcome): await tell(outcome.removed)
    case .failure(.refused(_, let error)): throw ErrorCode(error)
    case .failure(.noBridge): throw .badRequestUnknown
    }
  }

  /// Tells sessions of rules that asked for it.
  func tell(_ removed: [RemovedRule]) async {
    for rule in removed where rule.rule.flags.contains(.sendFlowRemoved) {
      var message = FlowRemoved()
      message.match = rule.rule.match
      message.cookie = rule.rule.cookie
      message.priority = rule.rule.priority
      message.reason = FlowRemoved.Reason(rawValue: rule.reason.rawValue) ?? .delete
      message.table = rule.rule.table
      message.duration = ElapsedTime(nanoseconds: rule.removedAt &- rule.rule.createdAt)
      message.idleTimeoutSeconds = rule.rule.idleTimeoutSeconds
      message.hardTimeoutSeconds = rule.rule.hardTimeoutSeconds
      message.packetCount = rule.rule.statistics.packetCount
      message.byteCount = rule.rule.statistics.byteCount
      for session in sessions.values { await session.tell(message) }
    }
  }

  func send(_ packet: PacketOut) async throws(ErrorCode) {
    let error = await blocking { [plane, name] () -> FlowChangeError? in
      do throws(FlowChangeError) {
        try plane.sendPacket(bridge: name, inPort: packet.inPort, actions: packet.actions, data: packet.data)
        return nil
      } catch {
        return error
      }
    }
    switch error {
    case .refused(_, let error): throw ErrorCode(error)
    case .noBridge: throw .badRequestUnknown
    case nil: break
    }
  }

  // MARK: questions

  /// Calls the datapath; a bridge that is gone meanwhile has nothing to tell.
  private func ask<T: Sendable>(_ body: @escaping @Sendable (any FlowPlane, String) -> T?) async throws(ErrorCode) -> T
  {
    guard let answer = await blocking({ [plane, name] in body(plane, name) }) else { throw .badRequestUnknown }
    return answer
  }

  func flows(_ request: FlowStatisticsRequest) async throws(ErrorCode) -> [FlowStatistics] {
    let filter = RuleFilter(request)
    let rules = try await ask { plane, name in plane.rules(bridge: name, filter) }
    let now = plane.flowClock
    return rules.map { FlowStatistics($0, now: now) }
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
      statistics.name = "table\(number)"
      statistics.maximumEntries = 1_000_000
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
    try await ask { plane, name in plane.meterDescriptions(bridge: name, id >= 0xffff_fffd ? nil : id) }
  }

  func meterStatistics(_ id: UInt32) async throws(ErrorCode) -> [MeterCounters] {
    let meters = try await ask { plane, name in plane.meterStatistics(bridge: name, id >= 0xffff_fffd ? nil : id) }
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

  // MARK: ports

  private func ports() async -> [PortState] {
    await blocking { [plane, name] in plane.portStates().filter { $0.bridge == name && $0.portNumber != nil } }
  }

  func portDescriptions(_ wanted: PortNumber) async -> [PortDescription] {
    await ports().compactMap(PortDescription.init).filter { wanted == .any || $0.number == wanted }
      .sorted { $0.number < $1.number }
  }

  func portStatistics(_ wanted: PortNumber) async -> [PortStatistics] {
    let counters = await blocking { [plane, name] in plane.counters().filter { $0.bridge == name } }
    return counters.map { PortStatistics(number: $0.portNumber, $0.counters) }
      .filter { wanted == .any || $0.port == wanted }
  }

  func features(_ version: OpenFlowVersion) async -> SwitchFeatures {
    var capabilities: SwitchFeatures.Capabilities = [
      .flowStatistics, .tableStatistics, .portStatistics, .queueStatistics,
    ]
    capabilities.insert(version == .v10 ? .arpMatchIP : .groupStatistics)
    if version >= .v14 { capabilities.insert(.bundles) }
    var features = SwitchFeatures(
      datapathID: await datapathID(name), tableCount: UInt8(FlowTables.tableCount), capabilities: capabilities)
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
