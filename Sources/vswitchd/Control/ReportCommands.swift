// Commands that report on the switch as a whole, in the forms of ovs-appctl: its ports, what it holds in memory, how
// often things happened.

import Datapath
import OVSDB
import VSwitchCore

extension ControlCommands {
  var reportCommands: [ControlCommand] {
    [
      ControlCommand("dpif/show", "", 0...0) { call throws(ControlError) in
        let report = DatapathReport(
          config: await reconciler.appliedConfig, states: await blocking { [plane] in plane.portStates() },
          receivedPackets: await blocking { [plane] in
            plane.counters().reduce(0) { $0 &+ $1.counters.receivedPackets }
          },
          missedPackets: await missedPackets())
        return call.wantsJSON ? .json(report.json) : .text(report.text)
      },
      ControlCommand("memory/show", "", 0...0) { call throws(ControlError) in
        let usage = await memoryUsage()
        return call.wantsJSON
          ? .json(.object(usage.mapValues { JSONValue($0) }))
          : .text(usage.sorted { $0.key < $1.key }.map { "\($0.key):\($0.value)" }.joined(separator: " ") + "\n")
      },
      ControlCommand("coverage/show", "", 0...0) { call throws(ControlError) in
        call.wantsJSON
          ? .json(
            .object(
              Dictionary(
                CoverageEvent.allCases.map { ($0.name, JSONValue(coverage.total($0))) }, uniquingKeysWith: { $1 })))
          : .text(coverage.text())
      },
    ]
  }

  /// Packets of all bridges that no cached flow was found for.
  private func missedPackets() async -> UInt64 {
    let bridges = await reconciler.bridgeNames
    return await blocking { [plane] in
      bridges.reduce(0) { $0 &+ (plane.flowCache(bridge: $1)?.missCount ?? 0) }
    }
  }

  /// Counts of what grows: database, its clients, ports, stations.
  private func memoryUsage() async -> [String: Int] {
    let usage = await store.usage()
    let bridges = await reconciler.bridgeNames
    let (ports, stations) = await blocking { [plane] in
      (
        plane.portStates().count(where: { $0.error == nil }),
        bridges.reduce(0) { $0 + (plane.macTable(bridge: $1)?.count ?? 0) }
      )
    }
    return [
      "bridges": bridges.count, "ports": ports, "mac-entries": stations, "rows": usage.rows, "cells": usage.cells,
      "sessions": usage.sessions, "monitors": usage.monitors, "triggers": usage.triggers,
    ]
  }
}

/// What `dpif/show` tells.
struct DatapathReport: Sendable {
  var config: SwitchConfig
  var states: [PortState]
  var receivedPackets: UInt64
  /// Those for which the flow tables were asked, as no cached flow said what to do.
  var missedPackets: UInt64 = 0

  private var hitPackets: UInt64 { receivedPackets - min(missedPackets, receivedPackets) }

  private struct Port {
    var name: String
    var number: UInt16
    /// The device's number; nil for ports without a device.
    var index: Int?
    var kind: String
    var options: [(key: String, value: String)]
  }

  /// The working ports of a bridge by name.
  private func ports(_ bridge: BridgeConfig) -> [Port] {
    bridge.ports.sorted { $0.name < $1.name }.compactMap { port in
      guard let state = states.first(where: { $0.bridge == bridge.name && $0.name == port.name }),
        let number = state.portNumber
      else { return nil }
      return Port(
        name: port.name, number: number, index: state.interfaceIndex, kind: port.interface.kind.rawValue,
        options: port.interface.options.sorted { $0.key < $1.key })
    }
  }

  /// The form of Open vSwitch. A miss is a packet for which the flow tables were asked; it is not handed up for that. The
  /// number after the slash is the kernel's for the port's device.
  var text: String {
    var text = "netdev@vswitchd: hit:\(hitPackets) missed:\(missedPackets)\n"
    for bridge in config.bridges.sorted(by: { $0.name < $1.name }) {
      text += "  \(LogText.escaped(bridge.name)):\n"
      for port in ports(bridge) {
        let options = port.options.map { "\($0.key)=\($0.value)" }.joined(separator: ", ")
        text +=
          "    \(LogText.escaped(port.name)) \(port.number)/\(port.index.map { String($0) } ?? "none"): "
          + LogText.escaped("(\(port.kind)" + (options.isEmpty ? ")" : ": \(options))")) + "\n"
      }
    }
    return text
  }

  var json: JSONValue {
    [
      "hit": JSONValue(hitPackets), "missed": JSONValue(missedPackets),
      "bridges": .array(
        config.bridges.sorted { $0.name < $1.name }.map { bridge in
          [
            "name": .string(bridge.name),
            "ports": .array(
              ports(bridge).map { port in
                [
                  "name": .string(port.name), "port_number": JSONValue(Int(port.number)),
                  "ifindex": port.index.map { JSONValue($0) } ?? .null, "type": .string(port.kind),
                  "options": .object(
                    Dictionary(port.options.map { ($0.key, .string($0.value)) }, uniquingKeysWith: { $1 })),
                ]
              }),
          ]
        }),
    ]
  }
}
