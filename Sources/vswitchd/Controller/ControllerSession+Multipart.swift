// Answers to questions about rules, groups, meters, ports and tables (OpenFlow 1.5 §7.3.5).

import Datapath
import OpenFlow
import VSwitchCore

extension ControllerSession {
  func answer(_ request: MultipartRequest, _ version: OpenFlowVersion) async throws(ErrorCode) -> MultipartReply {
    func reply(_ body: MultipartReply.Body) -> MultipartReply { MultipartReply(body, form: request.form) }
    switch request.body {
    case .description: return reply(.description(await bridge.description))
    case .flows, .flowStatistics: throw .badRequestBadMultipart
    case .aggregate(let filter): return reply(.aggregate(try await bridge.aggregate(filter)))
    case .tables: return reply(.tables(try await bridge.tables()))
    case .ports(let port):
      let ports = await bridge.portStatistics(port)
      // ovs-ofctl and others take no port for an answer, as Open vSwitch gives it.
      return reply(.ports(ports))
    case .portDescriptions(let port): return reply(.portDescriptions(await bridge.portDescriptions(port)))
    case .groups(let id): return reply(.groups(try await bridge.groupStatistics(id)))
    case .groupDescriptions(let id): return reply(.groupDescriptions(try await bridge.groupDescriptions(id)))
    case .groupFeatures: return reply(.groupFeatures(bridge.groupFeatures(version)))
    case .meters(let id):
      let meters = try await bridge.meterStatistics(id)
      guard !meters.isEmpty || id >= BridgeAgent.allMeters else { throw .meterModFailedUnknownMeter }
      return reply(.meters(meters))
    case .meterDescriptions(let id):
      let meters = try await bridge.meterDescriptions(id)
      guard !meters.isEmpty || id >= BridgeAgent.allMeters else { throw .meterModFailedUnknownMeter }
      return reply(.meterDescriptions(meters))
    case .meterFeatures: return reply(.meterFeatures(bridge.meterFeatures))
    case .tableFeatures(let wanted):
      try mayHave(wanted)
      return reply(.tableFeatures(bridge.tableFeatures))
    case .tableDescriptions: return reply(.tableDescriptions(try await bridge.tableDescriptions()))
    case .queues(let port, let queue):
      return reply(.queues(try await bridge.queueStatistics(port, queue)))
    case .queueDescriptions(let port, let queue):
      return reply(.queueDescriptions(try await bridge.queues(port, queue)))
    case .bundleFeatures: return reply(.bundleFeatures(BundleFeatures(capabilities: 3)))
    case .controllerStatus: return reply(.controllerStatus(await bridge.controllerStatuses()))
    case .ipfixBridge, .ipfixFlow: throw .niciraStatisticsNotConfigured
    case .flowMonitor(let requests): return reply(.flowMonitor(try await monitor(requests)))
    }
  }

  /// The parts of an answer that lists rules, which may be long; nil for other questions.
  func flowParts(_ request: MultipartRequest, _ message: Message) async throws(ErrorCode) -> [[UInt8]]? {
    switch request.body {
    case .flows(let filter):
      return try await bridge.flowParts(filter, message.version, xid: message.xid, request.form) { .flows($0) }
    case .flowStatistics(let filter):
      return try await bridge.flowParts(filter, message.version, xid: message.xid, request.form) { .flowStatistics($0) }
    default: return nil
    }
  }

  /// Tables are as they are: a controller may ask for such as can do less, and gets those that there are.
  private func mayHave(_ wanted: [TableFeatures]) throws(ErrorCode) {
    if wanted.isEmpty { return }
    try mayChange()
    let ours = bridge.tableFeatures[0]
    for table in wanted {
      guard table.table < FlowTables.tableCount else { throw .tableFeaturesFailedBadTable }
      // Without properties: the table is to be taken away.
      guard table.hasProperties else { throw .tableFeaturesFailedPermission }
      guard table.metadataMatch & ~ours.metadataMatch == 0, table.metadataWrite & ~ours.metadataWrite == 0 else {
        throw .tableFeaturesFailedBadMetadata
      }
      guard table.maximumEntries <= ours.maximumEntries else { throw .tableFeaturesFailedBadMaximumEntries }
      for rules in [table.rules, table.missRules ?? TableFeatures.Rules()] {
        guard rules.instructions & ~ours.rules.instructions == 0,
          (rules.writeActions | rules.applyActions) & ~ours.rules.applyActions == 0,
          Set(rules.writeSetFields + rules.applySetFields).isSubset(of: ours.rules.applySetFields)
        else { throw .tableFeaturesFailedBadFeatures }
      }
      guard Set(table.matchFields.map(\.field)).isSubset(of: ours.matchFields.map(\.field)) else {
        throw .badMatchBadField
      }
    }
  }
}
