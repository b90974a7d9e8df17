// Commands on connections: those of `ovs-appctl dpctl/…` in their words and forms, and `conntrack/…` for vsctl.

import Datapath
import OVSDB
import OpenFlow
import VSwitchCore

extension ControlCommands {
  /// Most connections that a structured answer has.
  static let listedConnectionLimit = 100_000

  var conntrackCommands: [ControlCommand] {
    [
      ControlCommand("dpctl/dump-conntrack", "[-m] [-s] [dp] [zone=ZONE]", 0...4) { call throws(ControlError) in
        let filter = try Self.filter(call.arguments)
        let counts = call.arguments.contains("-s")
        let isVerbose = call.arguments.contains("-m")
        let lines = await connections(filter)
        if call.wantsJSON { return .json(.array(lines.prefix(Self.listedConnectionLimit).map(ConntrackText.json))) }
        return .text(
          lines.map { ConntrackText.openVSwitch($0, counts: counts, isVerbose: isVerbose) + "\n" }.joined())
      },
      ControlCommand("dpctl/flush-conntrack", "[dp] [zone=ZONE] [ct-origin-tuple [ct-reply-tuple]]", 0...4) {
        call throws(ControlError) in
        let filter = try Self.filter(call.arguments)
        let count = await blocking { [plane] in plane.flushConnections(filter) }
        return call.wantsJSON ? .json(["removed": JSONValue(count)]) : .text("")
      },
      ControlCommand("dpctl/ct-stats-show", "[dp] [zone=ZONE] [verbose]", 0...3) { call throws(ControlError) in
        let filter = try Self.filter(call.arguments.filter { $0 != "verbose" })
        let statistics = await blocking { [plane] in plane.conntrackStatistics(zone: filter.zone) }
        return .text(Self.text(statistics, isVerbose: call.arguments.contains("verbose")))
      },
      ControlCommand("dpctl/ct-get-nconns", "[dp]", 0...1) { _ throws(ControlError) in
        .text("\(await blocking { [plane] in plane.conntrackStatistics(zone: nil) }.count)\n")
      },
      ControlCommand("dpctl/ct-get-maxconns", "[dp]", 0...1) { _ throws(ControlError) in
        .text("\(await blocking { [plane] in plane.conntrackStatistics(zone: nil) }.limit)\n")
      },
      ControlCommand("dpctl/ct-set-maxconns", "[dp] maxconns", 1...2) { call throws(ControlError) in
        let word = call.arguments.last ?? ""
        guard let limit = Int(word), (1...Datapath.conntrackCapacity).contains(limit) else {
          throw ControlError(
            "\"\(LogText.escaped(word))\" is no limit: give 1 to \(Datapath.conntrackCapacity)\n")
        }
        await blocking { [plane] in plane.setConntrackLimit(limit) }
        return call.wantsJSON ? .json([:]) : .text("setting maxconns successful\n")
      },
      ControlCommand("dpctl/ct-set-limits", "[dp] [default=LIMIT] [zone=ZONE,limit=LIMIT]...", 1...64) {
        call throws(ControlError) in
        let limits = try Self.limits(call.arguments)
        await blocking { [plane] in for (zone, limit) in limits { plane.setConntrackLimit(zone: zone, limit) } }
        return call.wantsJSON ? .json([:]) : .text("")
      },
      ControlCommand("dpctl/ct-del-limits", "[dp] zone=ZONE[,ZONE]...", 1...2) { call throws(ControlError) in
        let zones = try Self.zones(call.arguments.last ?? "")
        await blocking { [plane] in for zone in zones { plane.setConntrackLimit(zone: zone, 0) } }
        return call.wantsJSON ? .json([:]) : .text("")
      },
      ControlCommand("dpctl/ct-get-limits", "[dp] [zone=ZONE[,ZONE]...]", 0...2) { call throws(ControlError) in
        let wanted = try call.arguments.last.map { word throws(ControlError) in
          word.hasPrefix("zone=") ? try Self.zones(word) : nil
        }
        let (standard, zones) = await blocking { [plane] in plane.conntrackZones() }
        var text = "default limit=\(standard)\n"
        for zone in zones {
          if let wanted = wanted ?? nil {
            if !wanted.contains(zone.zone) { continue }
          } else if zone.limit == 0 {
            continue
          }
          text += "zone=\(zone.zone),limit=\(zone.limit),count=\(zone.count)\n"
        }
        return .text(text)
      },
      ControlCommand("conntrack/list", "[zone=ZONE] [ct-origin-tuple [ct-reply-tuple]]", 0...3) {
        call throws(ControlError) in
        let found = await connections(try Self.filter(call.arguments))
        guard call.wantsJSON else { return .text(found.map { ConntrackText.line($0) + "\n" }.joined()) }
        return .json([
          "connections": .array(found.prefix(Self.listedConnectionLimit).map(ConntrackText.json)),
          "count": JSONValue(found.count),
        ])
      },
      ControlCommand("conntrack/events", "[after=NUMBER] [zone=ZONE] [ct-origin-tuple [ct-reply-tuple]]", 0...4) {
        call throws(ControlError) in
        let last = try Self.number(after: call.arguments)
        let filter = try Self.filter(call.arguments.filter { !$0.hasPrefix("after=") })
        var answer = await blocking { [connectionEvents] in connectionEvents.events(after: last) }
        answer.events.removeAll { !filter.matches($0.connection) }
        Task { [blocking, connectionEvents] in
          try? await Task.sleep(for: ConnectionEventLog.patience)
          await blocking { connectionEvents.tire() }
        }
        guard call.wantsJSON else { return .text(answer.events.map { ConntrackText.line($0) + "\n" }.joined()) }
        return .json([
          "events": .array(answer.events.map(ConntrackText.json)), "next": .integer(answer.next),
          "lost": JSONValue(answer.lostCount),
        ])
      },
      ControlCommand("conntrack/stats", "", 0...0) { call throws(ControlError) in
        let statistics = await blocking { [plane] in plane.conntrackStatistics(zone: nil) }
        return call.wantsJSON ? .json(Self.json(statistics)) : .text(Self.text(statistics, isVerbose: true))
      },
      ControlCommand("conntrack/zones", "", 0...0) { call throws(ControlError) in
        let (standard, zones) = await blocking { [plane] in plane.conntrackZones() }
        guard call.wantsJSON else {
          return .text(zones.map { "zone=\($0.zone),limit=\($0.limit),count=\($0.count)\n" }.joined())
        }
        return .json([
          "default_limit": JSONValue(Int(standard)),
          "zones": .array(
            zones.map { zone in
              [
                "zone": JSONValue(Int(zone.zone)), "connections": JSONValue(zone.count),
                "limit": JSONValue(Int(zone.limit)), "refused": JSONValue(Int(zone.refusedCount)),
                "timeouts": .boolean(zone.hasOwnTimeouts),
              ]
            }),
        ])
      },
    ]
  }

  private func connections(_ filter: ConnectionFilter) async -> [ConnectionDescription] {
    await blocking { [plane] in
      var found: [ConnectionDescription] = []
      plane.visitConnections(filter) { found.append($0) }
      return found
    }
  }

  // MARK: arguments

  /// Reads what connections are meant: `zone=N`, then a tuple of the original direction and one of the reply.
  static func filter(_ arguments: [String]) throws(ControlError) -> ConnectionFilter {
    var filter = ConnectionFilter()
    var tupleCount = 0
    for argument in arguments where argument != "-m" && argument != "-s" {
      if argument.hasPrefix("zone=") {
        filter.zone = try zone(String(argument.dropFirst(5)))
      } else if argument.contains("=") {
        guard tupleCount < 2 else { throw ControlError("a third tuple: give one of each direction\n") }
        let tuple = try tuple(argument, &filter)
        if tupleCount == 0 { filter.original = tuple } else { filter.reply = tuple }
        tupleCount += 1
      }
      // Any other word names the datapath; there is one.
    }
    return filter
  }

  /// Number of the last event that the caller knows; nil if it gives none.
  private static func number(after arguments: [String]) throws(ControlError) -> Int64? {
    guard let text = arguments.first(where: { $0.hasPrefix("after=") })?.dropFirst(6) else { return nil }
    if let number = Int64(text) { return number }
    throw ControlError(
      "\"\(LogText.escaped(String(text)))\" is no number of an event: give \"next\" of the last answer\n")
  }

  private static func zone(_ text: String) throws(ControlError) -> UInt16 {
    if let zone = UInt16(text) { return zone }
    throw ControlError("\"\(LogText.escaped(text))\" is no zone: give 0 to 65535\n")
  }

  private static func zones(_ text: String) throws(ControlError) -> [UInt16] {
    guard text.hasPrefix("zone=") else {
      throw ControlError("\"\(LogText.escaped(text))\" names no zone: write zone=1 or zone=1,2\n")
    }
    var zones: [UInt16] = []
    for word in text.dropFirst(5).split(separator: ",") { zones.append(try zone(String(word))) }
    return zones
  }

  private static func limits(_ arguments: [String]) throws(ControlError) -> [(zone: UInt16?, limit: UInt32)] {
    var limits: [(zone: UInt16?, limit: UInt32)] = []
    for argument in arguments {
      if argument.hasPrefix("default="), let limit = UInt32(argument.dropFirst(8)) {
        limits.append((nil, limit))
      } else if argument.hasPrefix("zone=") {
        let words = argument.split(separator: ",").map(String.init)
        guard words.count == 2, words[1].hasPrefix("limit="), let limit = UInt32(words[1].dropFirst(6)) else {
          throw ControlError("\"\(LogText.escaped(argument))\" sets no limit: write zone=1,limit=1000\n")
        }
        limits.append((try zone(String(words[0].dropFirst(5))), limit))
      } else if argument.contains("=") {
        throw ControlError(
          "\"\(LogText.escaped(argument))\" sets no limit: write default=1000 or zone=1,limit=1000\n")
      }
    }
    return limits
  }

  /// `ct_nw_src=10.0.0.1,ct_nw_proto=6,ct_tp_dst=80` (ovs-dpctl(8), flush-conntrack).
  private static func tuple(
    _ text: String, _ filter: inout ConnectionFilter
  ) throws(ControlError) -> ConnectionPattern {
    var tuple = ConnectionPattern()
    for word in text.split(separator: ",") {
      let parts = word.split(separator: "=", maxSplits: 1).map(String.init)
      let value = parts.count == 2 ? parts[1] : ""
      switch parts.first ?? "" {
      case "ct_nw_src", "ct_ipv6_src": tuple.source = try address(value, &filter)
      case "ct_nw_dst", "ct_ipv6_dst": tuple.destination = try address(value, &filter)
      case "ct_nw_proto": filter.ipProtocol = try number(value, in: word)
      case "ct_tp_src": tuple.sourcePort = try number(value, in: word)
      case "ct_tp_dst": tuple.destinationPort = try number(value, in: word)
      case "icmp_id": tuple.icmpID = try number(value, in: word)
      case "icmp_type": tuple.icmpType = try number(value, in: word)
      case "icmp_code": tuple.icmpCode = try number(value, in: word)
      default: throw notOfAConnection(word)
      }
    }
    return tuple
  }

  private static func number<Number: FixedWidthInteger>(
    _ text: String, in word: Substring
  ) throws(ControlError) -> Number {
    guard let number = Number(text) else { throw notOfAConnection(word) }
    return number
  }

  private static func notOfAConnection(_ word: Substring) -> ControlError {
    ControlError(
      "\"\(LogText.escaped(String(word)))\" says nothing of a connection: write ct_nw_src=10.0.0.1,ct_nw_proto=6\n")
  }

  private static func address(_ text: String, _ filter: inout ConnectionFilter) throws(ControlError) -> UInt128 {
    guard let (value, isIPv6) = AddressText.address(text) else {
      throw ControlError("\"\(LogText.escaped(text))\" is no address: write 10.0.0.1 or fd00::1\n")
    }
    filter.isIPv6 = isIPv6
    return value
  }

  // MARK: answers

  /// As ovs-appctl dpctl/ct-stats-show.
  private static func text(_ statistics: ConntrackStatistics, isVerbose: Bool) -> String {
    var text = "Connections Stats:\n    Total: \(statistics.count)\n"
    let named: [(number: UInt8, name: String)] = [(6, "TCP"), (17, "UDP"), (1, "ICMP"), (58, "ICMPv6"), (132, "SCTP")]
    var others = statistics.count
    for (number, name) in named {
      guard let count = statistics.protocols[number] else { continue }
      others -= count
      text += "\t\(name): \(count)\n"
      guard number == 6, isVerbose else { continue }
      text += "\t  Conn per TCP states:\n"
      for state in ConnectionDescription.tcpStateNames {
        if let count = statistics.tcpStates[state] { text += "\t    [\(state)]=\(count)\n" }
      }
    }
    if others > 0 { text += "\tOther: \(others)\n" }
    return text
  }

  private static func json(_ statistics: ConntrackStatistics) -> JSONValue {
    let counters = statistics.counters
    return [
      "connections": JSONValue(statistics.count), "limit": JSONValue(statistics.limit),
      "places": JSONValue(statistics.placeCount), "bytes_per_connection": JSONValue(statistics.bytesPerConnection),
      "protocols": .object(
        Dictionary(
          statistics.protocols.map { (ConntrackText.name($0.key), JSONValue($0.value)) }, uniquingKeysWith: { $1 })),
      "tcp_states": .object(statistics.tcpStates.mapValues { JSONValue($0) }),
      "created": JSONValue(counters.created), "expired": JSONValue(counters.expired),
      "evicted": JSONValue(counters.evicted), "refused": JSONValue(counters.refused),
      "invalid_packets": JSONValue(counters.invalid), "ports_exhausted": JSONValue(counters.portsExhausted),
      "fragments_dropped": JSONValue(counters.fragmentsDropped), "expected": JSONValue(counters.expected),
    ]
  }
}
