// Connections that a controller has forgotten (NXT_CT_FLUSH, NXT_CT_FLUSH_ZONE). They are the datapath's, not one bridge's.

import Datapath
import OpenFlow

extension BridgeAgent {
  func flushConnections(_ filter: ConnectionFilter) async {
    await blocking { [plane] in _ = plane.flushConnections(filter) }
  }
}

extension ConnectionFilter {
  /// What a message asks for.
  init(_ flush: ConntrackFlush) {
    self.init(zone: flush.zone)
    if flush.ipProtocol != 0 { ipProtocol = flush.ipProtocol }
    let namesAddress = [flush.original, flush.reply].contains { $0.source != nil || $0.destination != nil }
    if namesAddress { isIPv6 = flush.isIPv6 }
    original = flush.original
    reply = flush.reply
  }
}
