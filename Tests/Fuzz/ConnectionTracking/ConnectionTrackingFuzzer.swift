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

/// Translates and tracks whatever comes in, with a helper: FTP's in zone 0, TFTP's in zone 1. Port p2 is behind a bridge without rules.
private func makeSwitch() -> DatapathHarness {
  func port(_ name: String, number: UInt16, peer: String? = nil) -> PortConfig {
    var interface = InterfaceConfig(name: name, kind: peer == nil ? .tap : .patch)
    interface.portNumberRequest = number
    if let peer { interface.options = ["peer": peer] }
    return PortConfig(name: name, interface: interface)
  }
  var config = BridgeConfig(name: "br0")
  config.ports = [port("p1", number: 1), port("inner", number: 2, peer: "outer")]
  var plain = BridgeConfig(name: "br1")
  plain.ports = [port("outer", number: 1, peer: "inner"), port("p2", number: 2)]
  var settings = SwitchConfig()
  settings.bridges = [config, plain]
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

/// One for many inputs: what an input leaves is over when the next one begins. Another one before its clock, in seconds, ends.
nonisolated(unsafe) private var current = makeSwitch()

/// Frames: two bytes with port << 15 | trusted << 14 | length, then the bytes. Of a trusted one the checksums count as checked,
/// so that what is behind them is reached.
private func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  if unsafe current.now > 4_000_000_000 { unsafe current = makeSwitch() }
  let harness = unsafe current
  let bytes = unsafe Array(UnsafeBufferPointer(start: start, count: count))
  var position = 0
  while position + 2 <= bytes.count {
    let head = Int(bytes[position]) << 8 | Int(bytes[position + 1])
    let end = min(position + 2 + head & 0x3fff, bytes.count)
    var offload = OffloadMetadata()
    if head & 0x4000 != 0 { offload.flags = OffloadMetadata.dataValid }
    let (bridge, port) = head >> 15 == 0 ? ("br0", "p1") : ("br1", "p2")
    _ = harness.receive(
      bridge: bridge, port: port, frame: Array(bytes[min(position + 2, end)..<end]), offload: offload)
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
