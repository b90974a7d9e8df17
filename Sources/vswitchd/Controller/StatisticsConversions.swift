// From the datapath's values to OpenFlow's messages. Pure.

import Datapath
import OpenFlow
import VSwitchCore

extension ElapsedTime {
  /// Whole milliseconds, as Open vSwitch tells them.
  init(nanoseconds: UInt64) {
    self.init(
      seconds: UInt32(clamping: nanoseconds / 1_000_000_000),
      nanoseconds: UInt32(nanoseconds / 1_000_000 % 1000) * 1_000_000)
  }
}

extension RuleFilter {
  init(_ request: FlowStatisticsRequest) {
    self.init()
    table = request.table == FlowMod.allTables ? nil : request.table
    match = request.match
    cookie = request.cookie
    outPort = request.outPort
    outGroup = request.outGroup
  }
}

extension FlowStatistics {
  /// - Parameter now: nanoseconds of the rules' clock.
  init(_ rule: RuleDescription, now: UInt64) {
    self.init()
    table = rule.table
    priority = rule.priority
    match = rule.match
    cookie = rule.cookie
    instructions = rule.instructions
    duration = ElapsedTime(nanoseconds: now &- rule.createdAt)
    idleTimeoutSeconds = rule.idleTimeoutSeconds
    hardTimeoutSeconds = rule.hardTimeoutSeconds
    importance = rule.importance
    flags = rule.flags
    packetCount = rule.statistics.packetCount
    byteCount = rule.statistics.byteCount
    let used = max(rule.statistics.lastUsed, rule.createdAt)
    idleAgeSeconds = UInt32(clamping: (now &- used) / 1_000_000_000)
    hardAgeSeconds = UInt32(clamping: (now &- rule.modifiedAt) / 1_000_000_000)
  }
}

extension FlowRemoved {
  init(_ removed: RemovedRule) {
    self.init()
    let rule = removed.rule
    match = rule.match
    cookie = rule.cookie
    priority = rule.priority
    reason = Reason(rawValue: removed.reason.rawValue) ?? .delete
    table = rule.table
    duration = ElapsedTime(nanoseconds: removed.removedAt &- rule.createdAt)
    idleTimeoutSeconds = rule.idleTimeoutSeconds
    hardTimeoutSeconds = rule.hardTimeoutSeconds
    packetCount = rule.statistics.packetCount
    byteCount = rule.statistics.byteCount
  }
}

extension PortDescription {
  /// Nil for a port that does not work.
  init?(_ state: PortState) {
    guard let number = state.portNumber else { return nil }
    self.init(
      number: PortNumber(openFlow10: number), hardwareAddress: state.hardwareAddress ?? MACAddress(bits: 0),
      name: state.name)
    if state.isAdminUp == false { configuration.insert(.down) }
    if state.isLinkUp == true { self.state.insert(.live) } else { self.state.insert(.linkDown) }
    if let speed = state.linkSpeed {
      currentKilobitsPerSecond = UInt32(clamping: speed / 1000)
      if speed == 10_000_000_000 { current = [.fullDuplex10Gb, .copper] }
    }
  }
}

extension PortStatistics {
  init(number: UInt16, _ counters: PortCounters) {
    self.init(port: PortNumber(openFlow10: number))
    rxPackets = counters.receivedPackets
    txPackets = counters.transmittedPackets
    rxBytes = counters.receivedBytes
    txBytes = counters.transmittedBytes
    rxDropped = counters.receiveDrops.values.reduce(0, &+)
    txDropped = counters.transmitDrops.values.reduce(0, &+)
    rxErrors = counters.receiveErrors
    txErrors = counters.transmitErrors
    rxFrameErrors = 0
    rxOverErrors = 0
    rxCRCErrors = 0
    collisions = 0
  }
}
