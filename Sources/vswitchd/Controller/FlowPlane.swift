// The flow tables as agents of bridges use them, so that these can be tested with ones that are made of memory. Calls block
// for up to milliseconds: they are made from `BlockingCalls`.

import Datapath
import VSwitchCore

/// What has flow tables.
protocol FlowPlane: SwitchPlane {
  var controllerPackets: AsyncStream<BridgePacket> { get }
  func changeFlows(bridge: String, _ changes: TableChangeList) throws(FlowChangeError) -> FlowChangeOutcome
  /// Does not block, and so is called from anywhere.
  func changeFlowsAtOnce(bridge: String, _ changes: [TableChange]) -> [BundleError]?
  func changeFlowsEach(
    bridge: String, _ changes: [TableChange]
  ) -> (outcome: FlowChangeOutcome, refused: [BundleError])?
  var flowOutcomes: AsyncStream<BridgeFlowOutcome> { get }
  func rules(bridge: String, _ filter: RuleFilter) -> [RuleDescription]?
  func aggregate(bridge: String, _ filter: RuleFilter) -> AggregateStatistics?
  func tableStatistics(bridge: String) -> [TableStatistics]?
  func groupDescriptions(bridge: String, _ id: UInt32?) -> [GroupDescription]?
  func groupStatistics(bridge: String, _ id: UInt32?) -> [GroupStatistics]?
  func meterDescriptions(bridge: String, _ id: UInt32?) -> [MeterDescription]?
  func meterStatistics(bridge: String, _ id: UInt32?) -> [MeterStatistics]?
  func sendPacket(bridge: String, inPort: PortNumber, pipeline: FlowKey, actions: [Action], data: [UInt8])
    throws(FlowChangeError)
  func resumePacket(bridge: String, _ continuation: Continuation, pipeline: FlowKey, data: [UInt8])
    throws(FlowChangeError) -> Bool
  func visitRules(bridge: String, _ filter: RuleFilter, _ body: (RuleDescription) -> Void) -> Bool
  func reportFlowEvents(bridge: String, _ isOn: Bool)
  func setStandalone(bridge: String, _ isStandalone: Bool)
  func setPort(bridge: String, number: PortNumber, _ settings: PipelinePort)
  func setPortLink(bridge: String, number: PortNumber, isUp: Bool) -> Bool
  func setFragmentHandling(bridge: String, _ handling: FragmentHandling)
  func queueCounts(bridge: String) -> [QueueCount]
  func setEviction(bridge: String, table: UInt8, _ evicts: Bool)
  /// Nanoseconds of the clock that rules' times are of.
  var flowClock: UInt64 { get }
}

extension Datapath: FlowPlane {}
