// Questions whose answers may take several messages (OpenFlow 1.5 §7.3.5; "statistics" in 1.0).

import VSwitchCore

/// A question.
package struct MultipartRequest: Equatable, Sendable {
  package enum Body: Equatable, Sendable {
    case description
    /// Rules with statistics; 1.5 calls it flow descriptions.
    case flows(FlowStatisticsRequest)
    /// Statistics alone, without instructions; 1.5 only.
    case flowStatistics(FlowStatisticsRequest)
    case aggregate(FlowStatisticsRequest)
    case tables
    /// `PortNumber.any` for all.
    case ports(PortNumber)
    /// `PortNumber.any` and `allQueues` for all.
    case queues(port: PortNumber, queue: UInt32)
    case groups(UInt32)
    /// Before 1.5 always all.
    case groupDescriptions(UInt32)
    case groupFeatures
    case meters(UInt32)
    case meterDescriptions(UInt32)
    case meterFeatures
    /// Tables with new features; empty: only asks.
    case tableFeatures([TableFeatures])
    /// Before 1.5 always all.
    case portDescriptions(PortNumber)
    case tableDescriptions
    case queueDescriptions(port: PortNumber, queue: UInt32)
    case flowMonitor([FlowMonitorRequest])
    case controllerStatus
    /// - Parameter flags: 1 with the switch's time, 2 with new times.
    case bundleFeatures(flags: UInt32)
    /// NXST_IPFIX_BRIDGE and NXST_IPFIX_FLOW.
    case ipfixBridge
    case ipfixFlow
  }
  /// More parts of the question follow.
  package var hasMore = false
  package var form = MessageForm.standard
  package var body: Body

  /// All queues of a port.
  package static let allQueues: UInt32 = 0xffff_ffff

  package init(_ body: Body, form: MessageForm = .standard) {
    self.body = body
    self.form = form
  }
}

/// An answer, or a part of one.
package struct MultipartReply: Equatable, Sendable {
  package enum Body: Equatable, Sendable {
    case description(SwitchDescription)
    case flows([FlowStatistics])
    case flowStatistics([FlowStatistics])
    case aggregate(FlowAggregate)
    case tables([TableCounters])
    case ports([PortStatistics])
    case queues([QueueStatistics])
    case groups([GroupCounters])
    case groupDescriptions([GroupDescription])
    case groupFeatures(GroupFeatures)
    case meters([MeterCounters])
    case meterDescriptions([MeterDescription])
    case meterFeatures(MeterFeatures)
    case tableFeatures([TableFeatures])
    case portDescriptions([PortDescription])
    case tableDescriptions([TableDescription])
    case queueDescriptions([QueueDescription])
    case flowMonitor([FlowUpdate])
    case controllerStatus([ControllerStatus])
    case bundleFeatures(BundleFeatures)
  }
  /// More parts follow.
  package var hasMore = false
  package var form = MessageForm.standard
  package var body: Body

  package init(_ body: Body, form: MessageForm = .standard) {
    self.body = body
    self.form = form
  }
}
