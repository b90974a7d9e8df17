// Ports come, go, move and fail, and the switch says what is wrong and recovers.

import Foundation
import TestSupport
import Testing

@Suite(.blocking, .enabled(if: TestEnvironment.canUseNamespaces, "needs root"))
struct PortLifeTests {
  @Test func aTapGoesOnWorkingWhenItIsMovedToAnotherNamespace() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0")
      _ = try daemon.host("b", addresses: ["10.1.0.2/24"])
      try daemon.configure("add-port br0 a -- set interface a type=tap")
      let first = try lab.namespace("first")
      try lab.run(["ip", "-n", daemon.namespace, "link", "set", "dev", "a", "netns", first])
      try lab.giveAddresses(["10.1.0.1/24"], to: "a", in: first)
      #expect(try lab.canPing("10.1.0.2", from: first, count: 3))
      let second = try lab.namespace("second")
      try lab.run(["ip", "-n", first, "link", "set", "dev", "a", "netns", second])
      try lab.giveAddresses(["10.1.0.1/24"], to: "a", in: second)
      #expect(try lab.canPing("10.1.0.2", from: second, count: 3))
    }
  }

  @Test func anExistingTapIsAdoptedAndLeftBehind() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      let ns = daemon.namespace
      try daemon.configure("add-br br0")
      let b = try daemon.host("b", addresses: ["10.1.0.2/24"])
      try lab.run(["ip", "-n", ns, "tuntap", "add", "dev", "mine", "mode", "tap", "vnet_hdr"])
      try lab.giveAddresses(["10.1.0.1/24"], to: "mine", in: ns)
      try daemon.configure("add-port br0 mine -- set interface mine type=tap")
      #expect(try lab.canPing("10.1.0.1", from: b, count: 3))
      try daemon.configure("del-port br0 mine")
      #expect(
        try lab.attempt(["ip", "-n", ns, "link", "show", "dev", "mine"]).isSuccess, "a tap that was there before stays")
    }
  }

  @Test func aTapBelongsToTheUserItWasMadeFor() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0")
      try daemon.configure("add-port br0 a -- set interface a type=tap options:owner=nobody options:group=nogroup")
      let text = try lab.run(["ip", "-n", daemon.namespace, "-details", "link", "show", "dev", "a"])
      let isOwned = text.contains("user nobody") || text.contains("user 65534")
      #expect(isOwned, "\(text)")
      try daemon.configure("del-port br0 a")
      #expect(try !lab.attempt(["ip", "-n", daemon.namespace, "link", "show", "dev", "a"]).isSuccess)
    }
  }

  @Test func aTapIsMadeInTheNamespaceThatIsAskedFor() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0")
      let a = try daemon.host("a", addresses: ["10.1.0.1/24"])
      let b = try daemon.host("b", addresses: ["10.1.0.2/24"])
      #expect(try !lab.attempt(["ip", "-n", daemon.namespace, "link", "show", "dev", "a"]).isSuccess)
      #expect(try lab.canPing("10.1.0.2", from: a))
      try daemon.configure("del-port br0 a")
      #expect(try !lab.attempt(["ip", "-n", a, "link", "show", "dev", "a"]).isSuccess)
      #expect(try lab.canPing("10.1.0.2", from: b))
    }
  }

  @Test func aMissingInterfaceIsAnErrorUntilItAppears() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      let ns = daemon.namespace
      try daemon.configure("add-br br0")
      let a = try daemon.host("a", addresses: ["10.1.0.1/24"])
      let adding = try daemon.vsctl("add-port", "br0", "late0")
      #expect(!adding.errorOutput.isEmpty)
      #expect(adding.errorOutput.split(separator: "\n").count == 1, "\(adding.errorOutput)")
      #expect(try daemon.configure("get interface late0 error").contains("late0"))
      #expect(try daemon.configure("show").contains("error"))

      let host = try lab.namespace("late")
      for _ in 0..<2 {
        try lab.run([
          "ip", "link", "add", "late0", "netns", ns, "type", "veth", "peer", "name", "late", "address",
          "02:00:00:00:00:99", "netns", host,
        ])
        try lab.run(["ip", "-n", ns, "link", "set", "dev", "late0", "up"])
        try lab.giveAddresses(["10.1.0.9/24"], to: "late", in: host)
        #expect(eventually { (try? daemon.configure("get interface late0 error")) == "[]\n" })
        #expect(eventually { (try? lab.canPing("10.1.0.9", from: a, count: 1)) == true })
        try lab.run(["ip", "-n", ns, "link", "delete", "dev", "late0"])
        #expect(eventually { (try? daemon.configure("get interface late0 error"))?.contains("late0") == true })
        #expect(try lab.canPing("10.1.0.9", from: a, count: 1) == false)
      }
      #expect(try daemon.portStatistics("a").addsUp)
    }
  }

  @Test func aTapThatIsDeletedByHandIsMadeAgainOrReported() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0")
      let a = try daemon.host("a", addresses: ["10.1.0.1/24"])
      _ = try daemon.host("b", addresses: ["10.1.0.2/24"])
      try lab.run(["ip", "-n", a, "link", "delete", "dev", "a"])
      let isMended = eventually {
        if (try? daemon.configure("get interface a error")) != "[]\n" { return true }
        return (try? lab.attempt(["ip", "-n", a, "link", "show", "dev", "a"]))?.isSuccess == true
      }
      #expect(isMended)
      #expect(daemon.isRunning)
    }
  }

  @Test func patchPortsJoinTwoBridges() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0 -- add-br br1")
      let a = try daemon.host("a", "tag=10", addresses: ["10.1.0.1/24"])
      let b = try daemon.host("b", bridge: "br1", "tag=10", addresses: ["10.1.0.2/24"])
      let c = try daemon.host("c", bridge: "br1", "tag=20", addresses: ["10.1.0.3/24"])
      #expect(try !lab.canPing("10.1.0.2", from: a, count: 1))
      try daemon.configure("add-port br0 p0 -- set interface p0 type=patch options:peer=p1")
      try daemon.configure("add-port br1 p1 -- set interface p1 type=patch options:peer=p0")
      #expect(try lab.canPing("10.1.0.2", from: a))
      #expect(try !lab.canPing("10.1.0.3", from: a, count: 1))
      #expect(try Transfer.run(lab, [.tcp], from: a, to: b, address: "10.1.0.2") == [])
      #expect(try daemon.macTable("br1").contains { $0.port == "p1" && $0.vlan == 10 })
      #expect(try daemon.portStatistics().allSatisfy(\.addsUp))
      _ = c
    }
  }

  @Test func aLoopOfPatchesEndsAndIsCounted() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0 -- add-br br1")
      let a = try daemon.host("a", addresses: ["10.1.0.1/24"])
      for (one, two) in [("x0", "x1"), ("y0", "y1")] {
        try daemon.configure("add-port br0 \(one) -- set interface \(one) type=patch options:peer=\(two)")
        try daemon.configure("add-port br1 \(two) -- set interface \(two) type=patch options:peer=\(one)")
      }
      let socket = try RawSocket(namespace: a, interface: "a")
      for number in 0..<20 { try socket.send(VLANTests.frame(UInt8(number))) }
      #expect(
        eventually {
          ((try? daemon.portStatistics()) ?? []).contains {
            $0.rxDrops["patch_loop", default: 0] + $0.txDrops["patch_loop", default: 0] > 0
          }
        })
      #expect(try daemon.portStatistics().allSatisfy(\.addsUp))
    }
  }

  @Test func aCaptureFileIsReadInAndAnotherWritten() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0")
      // Files of pcap ports are in one directory, beside the store.
      let directory = "\(daemon.runDirectory)/pcap"
      try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
      let frames = (1...20).map { VLANTests.frame(UInt8($0), tags: $0 % 2 == 0 ? [FrameTag(10)] : []) }
      try Data(Self.capture(frames)).write(to: URL(fileURLWithPath: "\(directory)/in.pcap"))
      try daemon.configure("add-port br0 a -- set interface a type=tap")
      try lab.run(["ip", "-n", daemon.namespace, "link", "set", "dev", "a", "up"])
      let socket = try RawSocket(namespace: daemon.namespace, interface: "a")
      try daemon.configure(
        "add-port br0 cap -- set interface cap type=pcap options:rx-file=in.pcap options:tx-file=out.pcap")
      var received: [[UInt8]] = []
      while received.count < frames.count, let frame = socket.receive(.seconds(2), where: VLANTests.isOurs) {
        received.append(frame)
      }
      #expect(received == frames)

      let sent = (101...120).map { VLANTests.frame(UInt8($0)) }
      for frame in sent { try socket.send(frame) }
      #expect(eventually { (try? daemon.portStatistics("cap"))?.txPackets ?? 0 >= 20 })
      try daemon.configure("del-port br0 cap")
      let bytes = [UInt8](FileManager.default.contents(atPath: "\(directory)/out.pcap") ?? Data())
      #expect(Self.frames(bytes).filter(VLANTests.isOurs) == sent)
    }
  }

  /// A capture file in the classic format, microseconds, little-endian.
  static func capture(_ frames: [[UInt8]]) -> [UInt8] {
    func little(_ value: UInt32) -> [UInt8] { value.octets.reversed() }
    var bytes = little(0xa1b2_c3d4) + [2, 0, 4, 0] + little(0) + little(0) + little(65535) + little(1)
    for (index, frame) in frames.enumerated() {
      bytes += little(1_700_000_000) + little(UInt32(index)) + little(UInt32(frame.count)) + little(UInt32(frame.count))
      bytes += frame
    }
    return bytes
  }

  static func frames(_ bytes: [UInt8]) -> [[UInt8]] {
    var frames: [[UInt8]] = []
    var offset = 24
    while offset + 16 <= bytes.count {
      let count = (0..<4).reduce(0) { $0 | Int(bytes[offset + 8 + $1]) << (8 * $1) }
      guard offset + 16 + count <= bytes.count else { break }
      frames.append(Array(bytes[offset + 16..<offset + 16 + count]))
      offset += 16 + count
    }
    return frames
  }
}
