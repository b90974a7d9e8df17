// Commands on a bridge's MAC table (forwarding database).

import Datapath
import OVSDB
import VSwitchCore

extension ControlCommands {
  var fdbCommands: [ControlCommand] {
    [
      ControlCommand("fdb/show", "bridge", 1...1) { call throws(ControlError) in
        let entries = try await macTable(call)
        return call.wantsJSON ? .json(FDBText.json(entries)) : .text(FDBText.text(entries))
      },
      ControlCommand("fdb/flush", "[bridge [vlan=VLAN] [port=PORT]]", 0...3) { call throws(ControlError) in
        let removed = try await flush(call)
        return call.wantsJSON ? .json(["removed": JSONValue(removed)]) : .text("table successfully flushed\n")
      },
      ControlCommand("fdb/add", "bridge port vlan mac", 4...4) { call throws(ControlError) in
        let (bridge, port) = (call.arguments[0], call.arguments[1])
        let vlan = try Self.vlan(call.arguments[2])
        let address = try Self.address(call.arguments[3])
        try await changeTable(call) { plane throws(ConfigError) in
          try plane.addMACEntry(bridge: bridge, port: port, vlan: vlan, address: address)
        }
        return call.wantsJSON ? .json([:]) : .text("")
      },
      ControlCommand("fdb/del", "bridge vlan mac", 3...3) { call throws(ControlError) in
        let bridge = call.arguments[0]
        let vlan = try Self.vlan(call.arguments[1])
        let address = try Self.address(call.arguments[2])
        try await changeTable(call) { plane throws(ConfigError) in
          try plane.removeMACEntry(bridge: bridge, vlan: vlan, address: address)
        }
        return call.wantsJSON ? .json([:]) : .text("")
      },
    ]
  }

  private func macTable(_ call: ControlCall) async throws(ControlError) -> [MACTableEntry] {
    let bridge = call.arguments[0]
    guard let entries = await blocking({ [plane] in plane.macTable(bridge: bridge) }) else {
      throw Self.noBridge(bridge, call)
    }
    return entries.sorted { ($0.vlan, $0.address) < ($1.vlan, $1.address) }
  }

  /// Runs a change on the first argument's bridge.
  private func changeTable(
    _ call: ControlCall, _ change: @escaping @Sendable (any SwitchPlane) throws(ConfigError) -> Void
  ) async throws(ControlError) {
    let bridge = call.arguments[0]
    guard await reconciler.bridgeNames.contains(bridge) else { throw Self.noBridge(bridge, call) }
    let result = await blocking { [plane] () -> Result<Void, ConfigError> in
      do throws(ConfigError) {
        return .success(try change(plane))
      } catch {
        return .failure(error)
      }
    }
    if case .failure(let error) = result { throw Self.line(error) }
  }

  private func flush(_ call: ControlCall) async throws(ControlError) -> Int {
    var vlan: UInt16?
    var port: String?
    for argument in call.arguments.dropFirst() {
      if argument.hasPrefix("vlan=") {
        vlan = try Self.vlan(String(argument.dropFirst(5)))
      } else if argument.hasPrefix("port=") {
        port = String(argument.dropFirst(5))
      } else {
        throw ControlError("\"\(LogText.escaped(argument))\" says nothing: give vlan=VLAN or port=PORT\n")
      }
    }
    let bridges = await reconciler.bridgeNames
    if let name = call.arguments.first, !bridges.contains(name) { throw Self.noBridge(name, call) }
    let wanted = call.arguments.first.map { [$0] } ?? bridges
    let result = await blocking { [plane, vlan, port] () -> Result<Int, ConfigError> in
      do throws(ConfigError) {
        var removed = 0
        for bridge in wanted { removed += try plane.flushMACTable(bridge: bridge, vlan: vlan, port: port) }
        return .success(removed)
      } catch {
        return .failure(error)
      }
    }
    switch result {
    case .success(let removed): return removed
    case .failure(let error): throw Self.line(error)
    }
  }
}

/// A MAC table as text and JSON.
enum FDBText {
  /// The form of Open vSwitch's `fdb/show`.
  static func text(_ entries: [MACTableEntry]) -> String {
    let lines = entries.map { entry in
      let port = entry.portNumber == PortNumbering.local ? "LOCAL" : String(entry.portNumber)
      let age = entry.ageSeconds.map { TextTable.padded(String($0), to: 3, .right) } ?? "static"
      return TextTable.padded(port, to: 5, .right) + "  " + TextTable.padded(String(entry.vlan), to: 4, .right) + "  "
        + entry.address.description + "  " + age + "\n"
    }
    return " port  VLAN  MAC                Age\n" + lines.joined()
  }

  static func json(_ entries: [MACTableEntry]) -> JSONValue {
    .array(
      entries.map { entry in
        [
          "port": .string(entry.port), "port_number": JSONValue(Int(entry.portNumber)),
          "vlan": JSONValue(Int(entry.vlan)), "mac": .string(entry.address.description),
          "age": entry.ageSeconds.map { JSONValue($0) } ?? .null, "static": .boolean(entry.ageSeconds == nil),
        ]
      })
  }
}
