// Commands on the flow tables' datapath: a packet's way through the tables (ofproto/trace) and the flows that the worker
// has cached (dpif/dump-flows, dpctl/dump-flows), in the forms of ovs-appctl, and structured.

import Datapath
import OVSDB
import OpenFlow
import VSwitchCore

extension ControlCommands {
  /// Most packets of one trace command.
  static let tracedPacketLimit = 256

  var flowCommands: [ControlCommand] {
    [
      ControlCommand("ofproto/trace", "bridge br_flow [packet]...", 2...(2 + Self.tracedPacketLimit)) {
        call throws(ControlError) in try await trace(call)
      },
      ControlCommand("dpif/dump-flows", "[-m] [--names | --no-names] bridge", 1...4) { call throws(ControlError) in
        try await dumpFlows(call, bridges: call.arguments.filter { !$0.hasPrefix("-") })
      },
      ControlCommand("dpctl/dump-flows", "[-m] [--names | --no-names] [dp]", 0...4) { call throws(ControlError) in
        // There is one datapath, whatever it is called.
        try await dumpFlows(call, bridges: await reconciler.bridgeNames.sorted())
      },
    ]
  }

  // MARK: trace

  private func trace(_ call: ControlCall) async throws(ControlError) -> ControlResult {
    let bridge = call.arguments[0]
    guard let names = await blocking({ [plane] in plane.portNames(bridge: bridge) }) else {
      throw Self.noBridge(bridge, call)
    }
    let key: FlowKey
    do throws(FlowTextError) {
      key = try FlowTextParser(names: NumberNames(ports: names)).key(call.arguments[1])
    } catch {
      throw ControlError(LogText.escaped(error.description) + "\n")
    }
    var packets: [TracedPacket] = []
    for text in call.arguments.dropFirst(2) { packets.append(try Self.packet(text, key)) }
    if packets.isEmpty { packets = [TracedPacket(key: key)] }
    var connection: UInt32?
    if key[.ctState] != 0 { connection = UInt32(truncatingIfNeeded: key[.ctState]) }
    var traces: [Trace] = []
    for var packet in packets {
      packet.connectionState = connection
      let traced = packet
      guard let trace = await blocking({ [plane] in plane.trace(bridge: bridge, traced, OpenFlowSyntax()) }) else {
        throw Self.noBridge(bridge, call)
      }
      traces.append(trace)
    }
    guard call.wantsJSON else { return .text(traces.map { $0.description + "\n" }.joined(separator: "\n")) }
    return .json(.array(traces.map(TraceJSON.value)))
  }

  /// A packet by its bytes; what is no part of it (registers, tunnel, entry port) is the key's.
  private static func packet(_ text: String, _ key: FlowKey) throws(ControlError) -> TracedPacket {
    let digits = text.utf8.filter { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: ":") }
    var frame: [UInt8] = []
    frame.reserveCapacity(digits.count / 2)
    var index = digits.startIndex
    while index + 1 < digits.endIndex {
      let pair = String(decoding: digits[index...(index + 1)], as: UTF8.self)
      guard let byte = UInt8(pair, radix: 16) else { break }
      frame.append(byte)
      index += 2
    }
    guard frame.count * 2 == digits.count, !digits.isEmpty else {
      throw ControlError(
        "the packet is not in hexadecimal at digit \(frame.count * 2 + 1): give its bytes, two digits each\n")
    }
    var packet = TracedPacket(key: key, frame: frame)
    var layout = PacketLayout()
    let isParsed = unsafe frame.withUnsafeBytes { bytes in
      guard let base = bytes.baseAddress else { return false }
      return unsafe FlowKeyParser(base, byteCount: bytes.count).parse(inPort: key.inPort, into: &packet.key, &layout)
    }
    guard isParsed else {
      throw ControlError("the packet of \(frame.count) bytes is too short: give at least its Ethernet header\n")
    }
    return packet
  }

  // MARK: cached flows

  private func dumpFlows(_ call: ControlCall, bridges: [String]) async throws(ControlError) -> ControlResult {
    let showsNames = call.arguments.contains("--names") || call.wantsJSON
    var text = ""
    var values: [JSONValue] = []
    for bridge in bridges {
      let (flows, ports, cache) = await blocking { [plane] in
        (plane.cachedFlows(bridge: bridge), plane.portNames(bridge: bridge), plane.flowCache(bridge: bridge))
      }
      guard let flows, let ports, let cache else { throw Self.noBridge(bridge, call) }
      let report = CachedFlowReport(names: NumberNames(ports: showsNames ? ports : [:]))
      text += flows.map { report.text($0) + "\n" }.joined()
      values.append([
        "bridge": .string(bridge), "flows": .array(flows.map(report.json)),
        "cache": [
          "flows": JSONValue(cache.flowCount), "flow_limit": JSONValue(cache.flowLimit),
          "masks": JSONValue(cache.maskCount), "mask_limit": JSONValue(cache.maskLimit),
          "missed": JSONValue(cache.missCount), "not_kept": JSONValue(cache.refusedCount),
        ],
      ])
    }
    return call.wantsJSON ? .json(.array(values)) : .text(text)
  }
}

/// Flows in ovs-ofctl's syntax.
struct OpenFlowSyntax: TraceSyntax {
  func match(_ match: Match, _ names: PortNames) -> String {
    MatchPrinter(names: NumberNames(ports: names)).text(match)
  }

  func packet(_ key: FlowKey, _ names: PortNames) -> String {
    FlowKeyPrinter(names: NumberNames(ports: names)).text(key)
  }

  func actions(_ instructions: Instructions, _ names: PortNames) -> String {
    FlowPrinter(names: NumberNames(ports: names)).instructions(instructions, of: Match())
  }

  func program(_ steps: [ActionStep], _ names: PortNames) -> String {
    DatapathActionsPrinter(names: NumberNames(ports: names)).text(steps)
  }
}

/// Cached flows as dpctl/dump-flows prints them.
struct CachedFlowReport {
  let names: NumberNames

  private func actions(_ flow: CachedFlow) -> String {
    flow.drop == nil ? DatapathActionsPrinter(names: names).text(flow.steps) : "drop"
  }

  func text(_ flow: CachedFlow) -> String {
    let match = DatapathFlowPrinter().text(flow.match.key, mask: flow.match.mask)
    let used = flow.packetCount > 0 ? "\(flow.idleSeconds).000s" : "never"
    return "\(match), packets:\(flow.packetCount), bytes:\(flow.byteCount), used:\(used), actions:\(actions(flow))"
  }

  func json(_ flow: CachedFlow) -> JSONValue {
    [
      "match": .string(FlowKeyPrinter(names: names).text(flow.match.key, mask: flow.match.mask)),
      "actions": .string(actions(flow)), "packets": JSONValue(flow.packetCount), "bytes": JSONValue(flow.byteCount),
      "used_seconds": JSONValue(Int(flow.idleSeconds)), "age_seconds": JSONValue(Int(flow.ageSeconds)),
      "drop": flow.drop.map { .string($0.name) } ?? .null,
    ]
  }
}

enum TraceJSON {
  static func value(_ trace: Trace) -> JSONValue {
    [
      "bridge": .string(trace.bridge), "flow": .string(trace.flow), "final_flow": .string(trace.finalFlow),
      "megaflow": .string(trace.megaflow), "datapath_actions": .string(trace.program),
      "exits": .array(
        trace.outcome.exits.map { exit in
          [
            "bridge": .string(exit.bridge), "port": .string(exit.port),
            "vlan": exit.tag == 0 ? .null : JSONValue(Int(exit.tag & 0xfff)),
          ]
        }), "steps": .array(trace.nodes.map(value)), "result": .array(trace.outcome.actions.map(JSONValue.string)),
      "drop": optional(trace.outcome.drop), "why": optional(trace.outcome.explanation),
      "remedy": optional(trace.outcome.remedy), "bridges": .array(trace.followed.map(value)),
      "text": .string(trace.description),
    ]
  }

  private static func optional(_ text: String?) -> JSONValue { text.map(JSONValue.string) ?? .null }

  private static func value(_ node: TraceNode) -> JSONValue {
    var value: [String: JSONValue] = ["kind": .string(node.kind.rawValue), "text": .string(node.text)]
    if let table = node.table { value["table"] = JSONValue(Int(table)) }
    if let priority = node.priority { value["priority"] = JSONValue(Int(priority)) }
    if let cookie = node.cookie, cookie != 0 { value["cookie"] = .string("0x" + String(cookie, radix: 16)) }
    if !node.children.isEmpty { value["steps"] = .array(node.children.map(Self.value)) }
    return .object(value)
  }
}
