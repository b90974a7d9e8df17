// Answers of a switch, and what it says of itself unasked, as ovs-ofctl prints them: a line that names message, version and
// transaction, then what ReportPrinters of the parts say.

import VSwitchCore

/// Prints messages.
package struct ReplyReport: Sendable {
  package var names: NumberNames
  package var version: OpenFlowVersion

  package init(names: NumberNames = NumberNames(), version: OpenFlowVersion) {
    self.names = names
    self.version = version
  }

  private func title(_ name: String, _ xid: UInt32) -> String {
    name + version.suffix + " (xid=0x" + String(xid, radix: 16) + "):"
  }

  // MARK: answers

  /// A part of an answer, with a newline at the end.
  package func text(_ part: MultipartReply, xid: UInt32) -> String {
    let (name, body) = content(part.body)
    return title("\(name) reply", xid) + (part.hasMore ? " flags=[more]" : "") + body
  }

  private func lines(_ texts: some Sequence<String>) -> String { texts.map { "\n " + $0 }.joined() + "\n" }

  /// The message's name, and what stands behind the first line's colon.
  private func content(_ body: MultipartReply.Body) -> (String, String) {
    let nicira = version == .v10 ? "NXST" : "OFPST"
    let ports = PortReport(names: names, version: version)
    let report = SwitchReport(names: names, version: version)
    switch body {
    case .description(let description): return ("OFPST_DESC", "\n" + report.text(description) + "\n")
    case .flows(let flows), .flowStatistics(let flows):
      let printer = FlowPrinter(names: names, version: version)
      return ("\(nicira)_FLOW", lines(flows.lazy.map(printer.line)))
    case .aggregate(let sum): return ("\(nicira)_AGGREGATE", " " + report.text(sum) + "\n")
    case .tables(let tables): return ("OFPST_TABLE", "\n" + report.text(tables))
    case .ports(let statistics):
      return ("OFPST_PORT", " \(statistics.count) ports\n" + statistics.map { ports.text($0) + "\n" }.joined())
    case .portDescriptions(let descriptions):
      return ("OFPST_PORT_DESC", "\n" + descriptions.map { ports.text($0) + "\n" }.joined())
    case .queues(let queues):
      return ("OFPST_QUEUE", " \(queues.count) queues\n" + queues.map { ports.text($0) + "\n" }.joined())
    case .queueDescriptions(let queues):
      return ("OFPST_QUEUE_DESC", queues.isEmpty ? "\n" : " " + ports.text(queues))
    case .groups(let groups): return ("\(nicira)_GROUP", lines(groups.map(GroupPrinter.text)))
    case .groupDescriptions(let groups):
      return ("\(nicira)_GROUP_DESC", lines(groups.map(GroupPrinter(names: names, version: version).text)))
    case .groupFeatures(let features): return ("\(nicira)_GROUP_FEATURES", "\n" + report.text(features) + "\n")
    case .meters(let meters):
      return ("OFPST_METER", "\n" + meters.map { MeterPrinter.text($0) + "\n" }.joined(separator: "\n"))
    case .meterDescriptions(let meters):
      return ("OFPST_METER_CONFIG", "\n" + meters.map { MeterPrinter.text($0) + "\n" }.joined(separator: "\n"))
    case .meterFeatures(let features): return ("OFPST_METER_FEATURES", "\n" + report.text(features) + "\n")
    case .tableDescriptions(let tables):
      return ("OFPST_TABLE_DESC", "\n" + tables.map(report.text).joined(separator: "\n"))
    case .flowMonitor(let updates):
      let printer = FlowPrinter(names: names, version: version)
      let prefix = version == .v10 ? "NXST" : version == .v13 ? "ONFST" : "OFPST"
      return ("\(prefix)_FLOW_MONITOR", lines(updates.lazy.map { printer.text($0) }))
    case .tableFeatures, .controllerStatus, .bundleFeatures: return ("OFPST", "\n")
    }
  }

  /// What is no multipart answer: features and configuration.
  package func text(_ features: SwitchFeatures, xid: UInt32) -> String {
    title("OFPT_FEATURES_REPLY", xid) + " " + SwitchReport(names: names, version: version).text(features) + "\n"
  }

  /// A port's queues, as 1.3 and earlier answer.
  package func text(queues: [QueueDescription], xid: UInt32) -> String {
    title("OFPT_QUEUE_GET_CONFIG_REPLY", xid)
      + (queues.isEmpty ? "\n" : " " + PortReport(names: names, version: version).text(queues))
  }

  package func text(_ configuration: SwitchConfiguration, xid: UInt32) -> String {
    title("OFPT_GET_CONFIG_REPLY", xid) + " " + SwitchReport(version: version).text(configuration) + "\n"
  }

  // MARK: what nobody asked for

  /// A packet to a controller, a removed rule, a changed port, changes of rules that are watched; nil for other messages.
  package func text(_ message: Message) -> String? {
    switch message.body {
    case .packetIn(let packet, let format): return text(packet, format, message.xid)
    case .flowRemoved(let removed, let form):
      return title(form == .standard ? "OFPT_FLOW_REMOVED" : "NXT_FLOW_REMOVED", message.xid) + text(removed)
    case .portStatus(let status):
      let reason =
        switch status.reason {
        case .add: "ADD"
        case .delete: "DEL"
        case .modify: "MOD"
        }
      return title("OFPT_PORT_STATUS", message.xid) + " \(reason):"
        + PortReport(names: names, version: version).text(status.port) + "\n"
    case .multipartReply(let part):
      if case .flowMonitor = part.body { return text(part, xid: message.xid) }
      return nil
    case .flowMonitorPaused:
      return title(version == .v10 ? "NXT_FLOW_MONITOR_PAUSED" : "ONFT_FLOW_MONITOR_PAUSED", message.xid) + "\n"
    case .flowMonitorResumed:
      return title(version == .v10 ? "NXT_FLOW_MONITOR_RESUMED" : "ONFT_FLOW_MONITOR_RESUMED", message.xid) + "\n"
    default: return nil
    }
  }

  private func text(_ packet: PacketIn, _ format: PacketInFormat, _ xid: UInt32) -> String {
    let name =
      switch format {
      case .standard: "OFPT_PACKET_IN"
      case .nxm: "NXT_PACKET_IN"
      case .packetIn2: "NXT_PACKET_IN2"
      }
    var text = title(name, xid)
    if packet.table != 0 { text += " table_id=" + names.text(table: packet.table) }
    if packet.cookie != .max { text += " cookie=0x" + String(packet.cookie, radix: 16) }
    text += " total_len=\(packet.totalByteCount) "
    text += MatchPrinter(names: names, usesOXM: version >= .v13).text(packet.metadata, priority: 32768)
    text += " (via \(ReplyReport.name(packet.reason))) data_len=\(packet.data.count)"
    if let buffer = packet.bufferID {
      text += " buffer=0x" + String(buffer, radix: 16)
    } else {
      text += " (unbuffered)"
    }
    if !packet.userData.isEmpty {
      let bytes = packet.userData.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }
      text += "\n userdata=" + bytes.joined(separator: ".")
    }
    return text + "\n" + headers(packet) + "\n"
  }

  package static func name(_ reason: ControllerAction.Reason) -> String {
    switch reason {
    case .noMatch: "no_match"
    case .action: "action"
    case .invalidTTL: "invalid_ttl"
    case .actionSet: "action_set"
    case .group: "group"
    case .packetOut: "packet_out"
    }
  }

  /// The packet's own fields.
  package func headers(_ packet: PacketIn) -> String {
    var key = FlowKey()
    var layout = PacketLayout()
    let isParsed = unsafe packet.data.withUnsafeBytes { bytes in
      guard let base = bytes.baseAddress else { return false }
      return unsafe FlowKeyParser(base, byteCount: bytes.count).parse(inPort: 0, into: &key, &layout)
    }
    guard isParsed else { return "(too short for a packet)" }
    var mask = FlowKeyPrinter().mask(of: key)
    mask[.inPort] = 0
    return MatchPrinter(names: names).text(Match(key: key, mask: mask))
  }

  private func text(_ removed: FlowRemoved) -> String {
    var text =
      " " + MatchPrinter(names: names, usesOXM: version >= .v13).text(removed.match, priority: removed.priority)
    text += " reason=\(ReplyReport.name(removed.reason)) table_id=" + names.text(table: removed.table)
    if removed.cookie != 0 { text += " cookie:0x" + String(removed.cookie, radix: 16) }
    text += " duration" + FlowPrinter.text(removed.duration) + " idle\(removed.idleTimeoutSeconds)"
    if removed.hardTimeoutSeconds != 0 { text += " hard\(removed.hardTimeoutSeconds)" }
    return text + " pkts\(removed.packetCount) bytes\(removed.byteCount)\n"
  }

  package static func name(_ reason: FlowRemoved.Reason) -> String {
    switch reason {
    case .idleTimeout: "idle"
    case .hardTimeout: "hard"
    case .delete: "delete"
    case .groupDelete: "group_delete"
    case .meterDelete: "meter_delete"
    case .eviction: "eviction"
    }
  }
}
