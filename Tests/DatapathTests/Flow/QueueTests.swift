import TestSupport
import Testing
import VSwitchCore

@testable import Datapath

/// What rules send by a queue is counted there, and nothing else is.
@Suite struct QueueTests {
  @Test func packetsAreCountedByPortAndQueue() throws {
    let harness = try DatapathHarness.bridge(portCount: 3)
    func set(_ actions: [Action]) throws {
      try harness.changeFlows(bridge: "br0", [clear, rule([(.inPort, 1)], actions)])
    }
    let frame =
      [UInt8](repeating: 2, count: 6) + [UInt8](repeating: 4, count: 6) + [0x88, 0xb5]
      + [UInt8](repeating: 0, count: 46)
    func send() { _ = harness.receive(bridge: "br0", port: "p1", frame: frame) }
    var two: [UInt32: UInt64] { harness.queueCounts(bridge: "br0", port: 2) }
    var three: [UInt32: UInt64] { harness.queueCounts(bridge: "br0", port: 3) }

    try set([output(2), .setQueue(5), output(2), output(3), .setQueue(6), output(3)])
    for _ in 0..<3 { send() }
    #expect(two == [5: 3] && three == [5: 3, 6: 3])
    // A queue that was set in a clone ends with it, one that enqueue names with that.
    try set([.setQueue(1), .clone([.setQueue(2), output(2)]), output(3), .enqueue(PortNumber(2), queue: 9), output(2)])
    send()
    #expect(two == [5: 3, 2: 1, 9: 1, 1: 1] && three == [5: 3, 6: 3, 1: 1])
    try set([.enqueue(PortNumber(2), queue: 9), output(2), .output(.normal, maximumByteCount: 0)])
    send()
    #expect(two[9] == 2 && two.count == 4 && three.count == 3)
    // NORMAL and flooding send by it, too.
    try set([.setQueue(7), .output(.normal, maximumByteCount: 0)])
    send()
    #expect(two[7] == 1 && three[7] == 1)
  }
}
