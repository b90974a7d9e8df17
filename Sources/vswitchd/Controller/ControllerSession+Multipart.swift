// Answers to questions about rules, groups, meters, ports and tables (OpenFlow 1.5 §7.3.5).

import Datapath
import OpenFlow
import VSwitchCore

extension ControllerSession {
  func answer(_ request: MultipartRequest, _ version: OpenFlowVersion) async throws(ErrorCode) -> MultipartReply {
    func reply(_ body: MultipartReply.Body) -> MultipartReply { MultipartReply(body, form: request.form) }
    switch request.body {
    case .description: return reply(.description(await bridge.description))
    case .flows(let filter): return reply(.flows(try await bridge.flows(filter)))
    case .flowStatistics(let filter): return reply(.flowStatistics(try await bridge.flows(filter)))
    case .aggregate(let filter): return reply(.aggregate(try await bridge.aggregate(filter)))
    case .tables: return reply(.tables(try await bridge.tables()))
    case .ports(let port): return reply(.ports(await bridge.portStatistics(port)))
    case .portDescriptions(let port): return reply(.portDescriptions(await bridge.portDescriptions(port)))
    case .groups(let id): return reply(.groups(try await bridge.groupStatistics(id)))
    case .groupDescriptions(let id): return reply(.groupDescriptions(try await bridge.groupDescriptions(id)))
    case .groupFeatures: return reply(.groupFeatures(bridge.groupFeatures))
    case .meters(let id): return reply(.meters(try await bridge.meterStatistics(id)))
    case .meterDescriptions(let id): return reply(.meterDescriptions(try await bridge.meterDescriptions(id)))
    case .meterFeatures: return reply(.meterFeatures(bridge.meterFeatures))
    case .tableFeatures(let wanted):
      // Tables are as they are: a controller that would have others is told so by what they are.
      guard wanted.isEmpty else { throw .tableFeaturesFailedPermission }
      return reply(.tableFeatures(bridge.tableFeatures))
    case .tableDescriptions:
      return reply(.tableDescriptions((0..<UInt8(FlowTables.tableCount)).map { TableDescription(table: $0) }))
    case .queues: return reply(.queues([]))
    case .queueDescriptions: return reply(.queueDescriptions([]))
    case .bundleFeatures: return reply(.bundleFeatures(BundleFeatures(capabilities: 3)))
    case .controllerStatus: return reply(.controllerStatus([]))
    case .ipfixBridge, .ipfixFlow: throw .niciraStatisticsNotConfigured
    case .flowMonitor: throw .badRequestBadMultipart
    }
  }
}
