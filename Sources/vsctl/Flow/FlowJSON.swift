// Rules, groups, meters, ports and tables as JSON. Numbers are numbers, matches and actions the text that ovs-ofctl has for
// them. Pure.

import OVSDB
import OpenFlow
import VSwitchCore

enum FlowJSON {
  /// A count; all ones mean that the switch does not keep it.
  static func number(_ value: UInt64?) -> JSONValue {
    guard let value, value != .max else { return .null }
    return .integer(Int64(clamping: value))
  }

  private static func seconds(_ time: ElapsedTime) -> JSONValue {
    .real(Double(time.seconds) + Double(time.nanoseconds / 1_000_000) / 1000)
  }

  private static func hexadecimal(_ value: UInt64) -> JSONValue { .string("0x" + String(value, radix: 16)) }

  static func value(_ flow: FlowStatistics, _ printer: FlowPrinter) -> JSONValue {
    var value: [String: JSONValue] = [
      "table": .integer(Int64(flow.table)), "priority": .integer(Int64(flow.priority)),
      "match": .string(printer.match(flow.match)),
      "actions": .string(printer.instructions(flow.instructions, of: flow.match)),
      "cookie": hexadecimal(flow.cookie), "duration_seconds": seconds(flow.duration),
      "packets": number(flow.packetCount), "bytes": number(flow.byteCount),
      "idle_timeout": .integer(Int64(flow.idleTimeoutSeconds)),
      "hard_timeout": .integer(Int64(flow.hardTimeoutSeconds)),
      "importance": .integer(Int64(flow.importance)),
      "flags": .array(FlowPrinter.flags(flow.flags).split(separator: " ").map { .string(String($0)) }),
    ]
    if let age = flow.idleAgeSeconds { value["idle_age_seconds"] = .integer(Int64(age)) }
    return .object(value)
  }

  static func value(_ port: PortDescription) -> JSONValue {
    [
      "number": .integer(Int64(port.number.rawValue)), "name": .string(port.name),
      "address": .string(port.hardwareAddress.description),
      "config": .array(PortReport.words(port.configuration).map(JSONValue.string)),
      "state": .array(PortReport.words(port.state).map(JSONValue.string)),
      "speed_kbps": .integer(Int64(port.currentKilobitsPerSecond)),
    ]
  }

  static func value(_ port: PortStatistics) -> JSONValue {
    [
      "number": .integer(Int64(port.port.rawValue)), "rx_packets": number(port.rxPackets),
      "rx_bytes": number(port.rxBytes), "rx_dropped": number(port.rxDropped), "rx_errors": number(port.rxErrors),
      "tx_packets": number(port.txPackets), "tx_bytes": number(port.txBytes), "tx_dropped": number(port.txDropped),
      "tx_errors": number(port.txErrors), "duration_seconds": seconds(port.duration),
    ]
  }

  static func value(_ table: TableCounters) -> JSONValue {
    [
      "table": .integer(Int64(table.table)), "flows": .integer(Int64(table.activeCount)),
      "lookups": number(table.lookupCount), "matches": number(table.matchedCount),
    ]
  }

  static func value(_ group: GroupDescription, _ names: NumberNames, _ version: OpenFlowVersion) -> JSONValue {
    let buckets = group.buckets.map { bucket in
      var value: [String: JSONValue] = [
        "actions": .string(ActionPrinter(names: names, version: version).text(bucket.actions))
      ]
      if let id = bucket.id { value["id"] = .integer(Int64(id)) }
      if group.kind == .select { value["weight"] = .integer(Int64(bucket.weight)) }
      if let port = bucket.watchPort { value["watch_port"] = .string(names.text(port: port)) }
      if let watched = bucket.watchGroup { value["watch_group"] = .integer(Int64(watched)) }
      return JSONValue.object(value)
    }
    return [
      "group": .integer(Int64(group.id)), "type": .string(GroupPrinter.name(group.kind)), "buckets": .array(buckets),
    ]
  }

  private static func counters(_ counters: [GroupCounters.Counter]) -> JSONValue {
    .array(counters.map { ["packets": number($0.packetCount), "bytes": number($0.byteCount)] })
  }

  static func value(_ group: GroupCounters) -> JSONValue {
    [
      "group": .integer(Int64(group.group)), "references": .integer(Int64(group.referenceCount)),
      "packets": number(group.packetCount), "bytes": number(group.byteCount),
      "duration_seconds": seconds(group.duration), "buckets": counters(group.buckets),
    ]
  }

  static func value(_ meter: MeterDescription) -> JSONValue {
    let bands = meter.bands.map { band in
      var value: [String: JSONValue] = ["rate": .integer(Int64(band.rate))]
      if meter.hasBurst { value["burst"] = .integer(Int64(band.burst)) }
      switch band.kind {
      case .drop: value["type"] = "drop"
      case .dscpRemark(let level):
        value["type"] = "dscp_remark"
        value["prec_level"] = .integer(Int64(level))
      }
      return JSONValue.object(value)
    }
    return [
      "meter": .integer(Int64(meter.id)), "unit": meter.unit == .kilobitsPerSecond ? "kbps" : "pktps",
      "bands": .array(bands),
    ]
  }

  static func value(_ meter: MeterCounters) -> JSONValue {
    [
      "meter": .integer(Int64(meter.meter)), "flows": .integer(Int64(meter.flowCount)),
      "packets": number(meter.packetInCount), "bytes": number(meter.byteInCount),
      "duration_seconds": seconds(meter.duration), "bands": counters(meter.bands),
    ]
  }
}
