// Gives one text to every reader, and what they accept to the printers: none may trap. Tests/Fuzz/FlowText does the same
// under libFuzzer.

import VSwitchCore

@testable import OpenFlow

enum FlowTextFuzz {
  static let parser = FlowTextParser(
    names: NumberNames(ports: [PortNumber(1): "p1", PortNumber(2): "eth-0"], tables: [7: "t"]))

  static func run(_ bytes: [UInt8]) {
    let text = String(decoding: bytes, as: UTF8.self)
    for command in [FlowMod.Command.add, .modify, .deleteStrict] {
      if let flow = try? parser.flow(text, command: command) {
        for version in OpenFlowVersion.allCases {
          _ = FlowPrinter(names: parser.names, version: version).request(flow.mod)
        }
      }
    }
    if case .failure(let error) = Result(catching: { try parser.flow(text, command: nil) }) {
      _ = (error as? FlowTextError)?.caret(under: text)
    }
    for command in GroupCommand.allCases {
      if let group = try? parser.group(text, command: command) { _ = GroupPrinter().request(group) }
    }
    if let meter = try? parser.meter(text) { _ = MeterPrinter.text(meter.meter) }
    _ = try? parser.filter(text)
    _ = try? parser.packetOut(text)
    _ = try? parser.bundle(file: text)
    _ = try? parser.flows(file: text)
    if let key = try? parser.key(text) {
      _ = FlowKeyPrinter().text(key)
      _ = DatapathFlowPrinter().text(key, mask: FlowMask(fieldsOf: key))
    }
  }
}
