// Fuzz target of libFuzzer for what connection tracking reads of packets (`make fuzz`): ICMP errors and what they quote,
// fragments, TCP options, FTP and TFTP. No frame may trap or keep a buffer for good.

import CLibFuzzer
import Datapath
import Glibc
import VSwitchCore

@main struct ConnectionTrackingFuzzer {
  static func main() {
    var count = CommandLine.argc
    var arguments = unsafe CommandLine.unsafeArgv
    exit(unsafe LLVMFuzzerRunDriver(&count, &arguments) { start, count in unsafe testOneInput(start, count) })
  }
}

/// Translates and tracks whatever comes in, with a helper: FTP's in zone 0, TFTP's in zone 1.
private func makeSwitch() -> DatapathHarness {
  var config = BridgeConfig(name: "br0")
  for number in 1...2 {
    var interface = InterfaceConfig(name: "p\(number)", kind: .tap)
    interface.portNumberRequest = UInt16(number)
    config.ports.append(PortConfig(name: "p\(number)", interface: interface))
  }
  var settings = SwitchConfig()
  settings.bridges = [config]
  var clear = FlowMod()
  clear.command = .delete
  clear.table = FlowMod.allTables
  var changes = [TableChange.flow(clear)]
  for (etherType, address) in [(UInt128(0x0800), UInt128(0xc633_6407)), (0x86dd, 0xfd << 120 | 7)] {
    for table in UInt8(0)...1 {
      var action = ConntrackAction()
      action.zone = .immediate(UInt16(table))
      action.commits = true
      action.recirculationTable = table + 1
      action.helperPort = table == 0 ? 21 : 69
      var translation = NetworkTranslation()
      translation.kind = .source
      translation.addresses = address...address
      translation.isIPv6 = etherType == 0x86dd
      action.translation = translation
      var rule = FlowMod()
      rule.table = table
      rule.match.set(.etherType, etherType)
      rule.instructions = Instructions(apply: [.conntrack(action)])
      changes.append(.flow(rule))
    }
  }
  var flood = FlowMod()
  flood.table = 2
  flood.instructions = Instructions(apply: [.output(.flood, maximumByteCount: 0)])
  changes.append(.flow(flood))
  do {
    let harness = try DatapathHarness(settings)
    try harness.changeFlows(bridge: "br0", changes)
    return harness
  } catch { fatalError("\(error)") }
}

/// One for all inputs: what an input leaves is over when the next one begins.
nonisolated(unsafe) private var harness = makeSwitch()

/// Frames: two bytes with port << 15 | length, then the bytes.
private func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  // The clock has 32 bits of seconds.
  if unsafe harness.now > UInt32.max - 1_000_000 { unsafe harness = makeSwitch() }
  let harness = unsafe harness
  let bytes = unsafe Array(UnsafeBufferPointer(start: start, count: count))
  var position = 0
  while position + 2 <= bytes.count {
    let head = Int(bytes[position]) << 8 | Int(bytes[position + 1])
    let end = min(position + 2 + head & 0x7fff, bytes.count)
    _ = harness.receive(
      bridge: "br0", port: head >> 15 == 0 ? "p1" : "p2", frame: Array(bytes[min(position + 2, end)..<end]))
    position = max(end, position + 2)
  }
  // Fragments may wait, but not for ever.
  harness.now += 100_000
  _ = harness.receive(
    bridge: "br0", port: "p1",
    frame: [UInt8](repeating: 8, count: 12) + [8, 0, 0x45] + [UInt8](repeating: 0, count: 40))
  guard harness.availablePackets == 1024 else { fatalError("a packet was kept") }
  return 0
}
