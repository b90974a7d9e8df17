import TestSupport
import Testing

/// Real Linux guests reach each other through the switch in every way to attach them.
@Suite(.enabled(if: canRunGuests, "needs root, qemu-system-x86 and busybox-static"), .serialized)
struct ForwardingTests {
  /// Every value of every property, and each pair of ring layout and mode.
  static let covering: [Attachment] = [
    Attachment(), Attachment(isPacked: true, isMergeable: false, queuePairs: 2, isServer: false),
    Attachment(isPacked: true, isServer: true), Attachment(isMergeable: false, queuePairs: 2, isServer: false),
  ]
  static let all: [Attachment] = [false, true].flatMap { packed in
    [true, false].flatMap { mergeable in
      [1, 2].flatMap { pairs in
        [true, false].map { Attachment(isPacked: packed, isMergeable: mergeable, queuePairs: pairs, isServer: $0) }
      }
    }
  }

  @Test(arguments: wantsAll ? all : covering) func guestsReachEachOther(attachment: Attachment) throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0")
      let guests = try (1...2).map { number in
        let socket = try daemon.guestPort("v\(number)", isServer: attachment.isServer, in: lab.directory)
        return try lab.guest(
          "g\(number)", [attachment.device(socket)], net: "eth0:10.0.0.\(number)/24", processors: attachment.queuePairs)
      }
      let host = try daemon.host("tap", addresses: ["10.0.0.9/24"])
      for guest in guests { try guest.waitUntilReady() }
      #expect(try guests[0].reaches("10.0.0.2", byteCount: 1472))
      #expect(try guests[1].reaches("10.0.0.9"))
      #expect(try lab.canPing("10.0.0.1", from: host, count: 5))
      let streams = attachment.queuePairs > 1 ? "-P 2" : ""
      #expect(try guests[0].sendTCP(to: guests[1], "10.0.0.2", streams) > 1)
      #expect(try guests[1].sendTCP(to: guests[0], "10.0.0.1", streams) > 1)
      for port in try daemon.portStatistics() { #expect(port.addsUp, "\(port)") }
      let status = try daemon.configure("get interface v1 status")
      #expect(status.contains("ring_layout=\(attachment.isPacked ? "packed" : "split")"), "\(status)")
      #expect(status.contains("running_vrings=\"\(2 * attachment.queuePairs)\""), "\(status)")
    }
  }

  /// The classic virtual router: two guests on an access VLAN each, and one that routes between 802.1Q interfaces on a trunk.
  @Test func aGuestRoutesBetweenVLANsOnATrunk() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0")
      let attachment = Attachment()
      let a = try daemon.guestPort("va", "tag=10", in: lab.directory)
      let b = try daemon.guestPort("vb", "tag=20", in: lab.directory)
      let trunk = try daemon.guestPort("vr", "trunks=10,20", in: lab.directory)
      let left = try lab.guest("left", [attachment.device(a)], net: "eth0:10.0.10.1/24", gateway: "10.0.10.254")
      let right = try lab.guest("right", [attachment.device(b)], net: "eth0:10.0.20.1/24", gateway: "10.0.20.254")
      let router = try lab.guest(
        "router", [attachment.device(trunk)], net: "eth0.10:10.0.10.254/24,eth0.20:10.0.20.254/24", isRouter: true)
      let host = try daemon.host("tap", "tag=20", addresses: ["10.0.20.9/24"])
      try lab.run(["ip", "-n", host, "route", "add", "default", "via", "10.0.20.254"])
      for guest in [left, right, router] { try guest.waitUntilReady() }
      #expect(try left.reaches("10.0.20.1"))
      #expect(try left.require("ping -c 1 10.0.20.1").contains("ttl=63"))
      #expect(try lab.canPing("10.0.10.1", from: host, count: 5))
      #expect(try left.sendTCP(to: right, "10.0.20.1") > 1)
      #expect(try left.sendFile(to: right, "10.0.20.1", byteCount: 3_000_000))
      try router.require("echo 0 > /proc/sys/net/ipv4/ip_forward")
      #expect(try !left.reachesAtAll("10.0.20.1"), "the VLANs are joined without the router")
      try left.require("ip addr add 10.0.20.7/24 dev eth0")
      #expect(try !left.reachesAtAll("10.0.20.254"), "an untagged guest of VLAN 10 reaches VLAN 20")
    }
  }

  @Test func jumboFramesPassWhole() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0")
      let guests = try (1...2).map { number in
        var device = Attachment().device(try daemon.guestPort("v\(number)", "", in: lab.directory))
        device.mtu = 9000
        return try lab.guest("g\(number)", [device], net: "eth0:10.0.0.\(number)/24")
      }
      for guest in guests { try guest.waitUntilReady() }
      // The guest takes the device's MTU by itself, and the switch has been told.
      #expect(try guests[0].require("cat /sys/class/net/eth0/mtu") == "9000\n")
      #expect(try daemon.configure("get interface v1 mtu").hasPrefix("9000"))
      #expect(try guests[0].reaches("10.0.0.2", byteCount: 8972))
    }
  }
}
