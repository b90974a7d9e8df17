// Runs bursts of 64-byte frames (60 without the checksum that no virtual port carries) through the bridge from memory
// port to memory port: run under callgrind with two counts, the difference is the cost per packet.
// Usage: bridge-burst ROUNDS [untagged|push|pop]. A round is 32 packets.

import Datapath
import VSwitchCore

let rounds = CommandLine.arguments.count > 1 ? Int(CommandLine.arguments[1]) ?? 1000 : 1000
let scenario = CommandLine.arguments.count > 2 ? CommandLine.arguments[2] : "untagged"

var bridge = BridgeConfig(name: "br0")
for name in ["p1", "p2"] {
  var port = PortConfig(name: name, interface: InterfaceConfig(name: name, kind: .tap))
  let isTrunk = (scenario == "push" && name == "p2") || (scenario == "pop" && name == "p1")
  if scenario != "untagged", !isTrunk {
    port.vlan.mode = .access
    port.vlan.tag = 10
  }
  bridge.ports.append(port)
}
var config = SwitchConfig()
config.bridges = [bridge]
let harness = try DatapathHarness(config)
let tag: [UInt8] = scenario == "pop" ? [0x81, 0x00, 0x00, 0x0a] : []

func frame(from source: UInt8, to destination: UInt8, tag: [UInt8]) -> [UInt8] {
  let header: [UInt8] = [2, 0, 0, 0, 0, destination, 2, 0, 0, 0, 0, source] + tag + [0x08, 0x00]
  return header + Array(repeating: 0, count: 60 - header.count)
}
// The receiver makes itself known first, so that the bursts are unicast.
_ = harness.receive(
  bridge: "br0", port: "p2", frame: frame(from: 2, to: 1, tag: scenario == "push" ? [0x81, 0, 0, 10] : []))
harness.replay(bridge: "br0", port: "p1", frames: [frame(from: 1, to: 2, tag: tag)])
harness.run(rounds: rounds)
let sent = harness.counters(bridge: "br0", port: "p2").transmittedPackets
print("\(sent) packets left through p2")
