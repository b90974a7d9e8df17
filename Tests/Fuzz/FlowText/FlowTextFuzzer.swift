// Fuzz target of libFuzzer for everything that reads ovs-ofctl's syntax (`make fuzz`): no text may trap, and what is
// printed of a flow that was read is read as the same.

import CLibFuzzer
import Glibc
import OpenFlow
import VSwitchCore

@main struct FlowTextFuzzer {
  static func main() {
    var count = CommandLine.argc
    var arguments = unsafe CommandLine.unsafeArgv
    exit(unsafe LLVMFuzzerRunDriver(&count, &arguments) { start, count in unsafe testOneInput(start, count) })
  }
}

private let parser = FlowTextParser(
  names: NumberNames(ports: [PortNumber(1): "p1", PortNumber(2): "eth-0"], tables: [7: "t"]))

private func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = unsafe UnsafeBufferPointer(start: start, count: count)
  // The first byte chooses the reader, so that each mutation costs one.
  guard let choice = unsafe bytes.first else { return 0 }
  let text = unsafe String(decoding: bytes.dropFirst(), as: UTF8.self)
  switch choice % 8 {
  case 0: readGroup(text)
  case 1: if let meter = try? parser.meter(text) { _ = MeterPrinter.text(meter.meter) }
  case 2: if let key = try? parser.key(text) { printKey(key) }
  case 3:
    _ = try? parser.packetOut(text)
    _ = try? parser.filter(text)
  case 4: _ = try? parser.bundle(file: text)
  default: readFlow(text)
  }
  return 0
}

private func readFlow(_ text: String) {
  do throws(FlowTextError) {
    let flow = try parser.flow(text, command: nil)
    for version in OpenFlowVersion.allCases {
      _ = FlowPrinter(names: parser.names, version: version).request(flow.mod)
    }
    guard flow.mod.command == .add, flow.versions.contains(VersionSet([.v15])) else { return }
    // Not the change itself: enqueue is three actions in 1.5.
    let printer = FlowPrinter(names: parser.names, version: .v15)
    let printed = printer.line(FlowStatistics(flow.mod))
    guard let again = try? parser.flow(printed), printer.line(FlowStatistics(again.mod)) == printed else {
      fatalError("\(text)\nprinted as\n\(printed)")
    }
  } catch {
    _ = error.caret(under: text)
  }
}

private func readGroup(_ text: String) {
  guard let group = try? parser.group(text, command: nil) else { return }
  _ = GroupPrinter(names: parser.names).request(group)
}

private func printKey(_ key: FlowKey) {
  let mask = FlowKeyPrinter().mask(of: key)
  _ = FlowKeyPrinter().text(key)
  _ = DatapathFlowPrinter().text(key, mask: mask)
}
