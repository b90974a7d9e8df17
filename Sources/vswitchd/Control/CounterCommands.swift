// Commands on counters: what came and went by port, and why packets ended.

import Datapath
import OVSDB
import VSwitchCore

/// One port's counters with its names.
struct PortCounterRow: Sendable, Equatable {
  var bridge: String
  var port: String
  var portNumber: UInt16
  var counters: PortCounters
}

extension ControlCommands {
  var counterCommands: [ControlCommand] {
    [
      ControlCommand("port/stats", "[bridge [port]]", 0...2) { call throws(ControlError) in
        let rows = try await counters(call)
        return call.wantsJSON ? .json(CounterText.json(rows)) : .text(CounterText.text(rows))
      },
      ControlCommand("drops/show", "[bridge]", 0...1) { call throws(ControlError) in
        let drops = CounterText.drops(try await counters(call))
        return call.wantsJSON ? .json(CounterText.json(drops)) : .text(CounterText.text(drops))
      },
    ]
  }

  private func counters(_ call: ControlCall) async throws(ControlError) -> [PortCounterRow] {
    var rows = await blocking { [plane] in
      plane.counters().map {
        PortCounterRow(bridge: $0.bridge, port: $0.port, portNumber: $0.portNumber, counters: $0.counters)
      }
    }
    if let bridge = call.arguments.first {
      guard await reconciler.bridgeNames.contains(bridge) else { throw Self.noBridge(bridge, call) }
      rows = rows.filter { $0.bridge == bridge }
    }
    if call.arguments.count > 1 {
      let port = call.arguments[1]
      rows = rows.filter { $0.port == port }
      if rows.isEmpty {
        throw ControlError(
          "bridge \(LogText.escaped(call.arguments[0])) has no working port \"\(LogText.escaped(port))\": "
            + "see its ports with list-ports and their errors with status\n")
      }
    }
    return rows.sorted { ($0.bridge, $0.portNumber, $0.port) < ($1.bridge, $1.portNumber, $1.port) }
  }
}

/// Counters as text and JSON.
enum CounterText {
  /// Packets of one port that ended for one reason.
  struct Drop: Sendable, Equatable {
    var bridge: String
    var port: String
    var isReceive: Bool
    var reason: DropReason
    var packets: UInt64
  }

  static func text(_ rows: [PortCounterRow]) -> String {
    func sum(_ drops: [DropReason: UInt64]) -> UInt64 { drops.values.reduce(0, &+) }
    return TextTable.text(
      [
        ("bridge", .left), ("port", .left), ("number", .right), ("rx packets", .right), ("rx bytes", .right),
        ("rx errors", .right), ("rx dropped", .right), ("forwarded", .right), ("tx packets", .right),
        ("tx bytes", .right), ("tx errors", .right), ("tx dropped", .right),
      ],
      rows.map { row in
        let counters = row.counters
        let values = [
          counters.receivedPackets, counters.receivedBytes, counters.receiveErrors, sum(counters.receiveDrops),
          counters.forwardedPackets, counters.transmittedPackets, counters.transmittedBytes, counters.transmitErrors,
          sum(counters.transmitDrops),
        ]
        return [row.bridge, row.port, String(row.portNumber)] + values.map { String($0) }
      })
  }

  static func json(_ rows: [PortCounterRow]) -> JSONValue {
    func drops(_ counts: [DropReason: UInt64]) -> JSONValue {
      .object(Dictionary(counts.map { ($0.key.name, JSONValue($0.value)) }, uniquingKeysWith: { $1 }))
    }
    return .array(
      rows.map { row in
        let counters = row.counters
        return [
          "bridge": .string(row.bridge), "port": .string(row.port), "port_number": JSONValue(Int(row.portNumber)),
          "rx_packets": JSONValue(counters.receivedPackets), "rx_bytes": JSONValue(counters.receivedBytes),
          "rx_errors": JSONValue(counters.receiveErrors),
          "rx_multicast_packets": JSONValue(counters.receivedMulticastPackets),
          "rx_forwarded": JSONValue(counters.forwardedPackets), "tx_packets": JSONValue(counters.transmittedPackets),
          "tx_bytes": JSONValue(counters.transmittedBytes), "tx_errors": JSONValue(counters.transmitErrors),
          "rx_drops": drops(counters.receiveDrops), "tx_drops": drops(counters.transmitDrops),
        ]
      })
  }

  /// The drops that happened, in the order of ports and reasons.
  static func drops(_ rows: [PortCounterRow]) -> [Drop] {
    rows.flatMap { row in
      [(true, row.counters.receiveDrops), (false, row.counters.transmitDrops)].flatMap { isReceive, counts in
        counts.filter { $0.value > 0 }.sorted { $0.key.rawValue < $1.key.rawValue }.map { reason, packets in
          Drop(bridge: row.bridge, port: row.port, isReceive: isReceive, reason: reason, packets: packets)
        }
      }
    }
  }

  static func text(_ drops: [Drop]) -> String {
    TextTable.text(
      [("bridge", .left), ("port", .left), ("way", .left), ("packets", .right), ("reason", .left), ("", .left)],
      drops.map { drop in
        [
          drop.bridge, drop.port, drop.isReceive ? "rx" : "tx", String(drop.packets), drop.reason.name,
          drop.reason.description,
        ]
      })
  }

  static func json(_ drops: [Drop]) -> JSONValue {
    .array(
      drops.map { drop in
        [
          "bridge": .string(drop.bridge), "port": .string(drop.port),
          "direction": drop.isReceive ? "rx" : "tx", "reason": .string(drop.reason.name),
          "description": .string(drop.reason.description), "packets": JSONValue(drop.packets),
        ]
      })
  }
}
