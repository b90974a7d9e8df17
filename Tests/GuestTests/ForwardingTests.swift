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

  /// The classic virtual router: two guests on an access VLAN each, one that routes between 802.1Q interfaces on a trunk, and a
  /// tap on each of the VLANs.
  @Test(arguments: wantsAll ? all : covering) func guestsOnTwoVLANsReachEachOtherThroughAGuest(
    attachment: Attachment
  ) throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0")
      func guest(_ name: String, _ port: String, net: String, gateway: String = "", isRouter: Bool = false) throws
        -> Guest
      {
        let socket = try daemon.guestPort("v-\(name)", isServer: attachment.isServer, port, in: lab.directory)
        return try lab.guest(
          name, [attachment.device(socket)], net: net, gateway: gateway, isRouter: isRouter,
          processors: attachment.queuePairs)
      }
      let left = try guest("left", "tag=10", net: "eth0:10.0.10.1/24", gateway: "10.0.10.254")
      let right = try guest("right", "tag=20", net: "eth0:10.0.20.1/24", gateway: "10.0.20.254")
      let router = try guest(
        "router", "trunks=10,20", net: "eth0.10:10.0.10.254/24,eth0.20:10.0.20.254/24", isRouter: true)
      let near = try daemon.host("near", "tag=10", addresses: ["10.0.10.9/24"])
      let far = try daemon.host("far", "tag=20", addresses: ["10.0.20.9/24"])
      for (host, gateway) in [(near, "10.0.10.254"), (far, "10.0.20.254")] {
        try lab.run(["ip", "-n", host, "route", "add", "default", "via", gateway])
      }
      for guest in [left, right, router] { try guest.waitUntilReady() }

      #expect(try left.reaches("10.0.20.1", byteCount: 1472))
      #expect(try left.require("ping -c 1 10.0.20.1").contains("ttl=63"))
      #expect(try right.reaches("10.0.20.9"))
      #expect(try lab.canPing("10.0.10.1", from: near, count: 5))
      #expect(try lab.canPing("10.0.20.1", from: near, count: 5))
      #expect(try lab.canPing("10.0.10.1", from: far, count: 5))
      let streams = attachment.queuePairs > 1 ? "-P 2" : ""
      #expect(try left.sendTCP(to: right, "10.0.20.1", streams) > 1)
      #expect(try right.sendTCP(to: left, "10.0.10.1", streams) > 1)
      for (from, to, address) in [(left, right, "10.0.20.1"), (right, left, "10.0.10.1")] {
        let datagrams = try from.sendUDP(to: to, address)
        #expect(datagrams.received > 50 && datagrams.damaged == 0, "\(datagrams)")
      }
      #expect(try left.sendFile(to: right, "10.0.20.1", byteCount: 1_000_000))

      for port in try daemon.portStatistics() { #expect(port.addsUp, "\(port)") }
      let status = try daemon.configure("get interface v-left status")
      #expect(status.contains("ring_layout=\(attachment.isPacked ? "packed" : "split")"), "\(status)")
      #expect(status.contains("running_vrings=\"\(2 * attachment.queuePairs)\""), "\(status)")
      #expect(!status.contains("fault"), "\(status)")

      // Nothing but the router joins the VLANs.
      try router.require("echo 0 > /proc/sys/net/ipv4/ip_forward")
      #expect(try !left.reachesAtAll("10.0.20.1"), "the VLANs are joined without the router")
      try left.require("ip addr add 10.0.20.7/24 dev eth0")
      #expect(try !left.reachesAtAll("10.0.20.254"), "an untagged guest of VLAN 10 reaches VLAN 20")
    }
  }

  static let jumbo =
    wantsAll ? all.filter { $0.isServer } : [Attachment(isPacked: true), Attachment(isMergeable: false)]

  @Test(arguments: jumbo) func jumboFramesPassWhole(attachment: Attachment) throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0")
      let guests = try (1...2).map { number in
        var device = attachment.device(try daemon.guestPort("v\(number)", "", in: lab.directory))
        device.mtu = 9000
        return try lab.guest(
          "g\(number)", [device], net: "eth0:10.0.0.\(number)/24", processors: attachment.queuePairs)
      }
      let host = try daemon.host("tap", interface: "mtu_request=9000", addresses: ["10.0.0.9/24"])
      for guest in guests { try guest.waitUntilReady() }
      // The guest takes the device's MTU by itself, and the switch has been told.
      #expect(try guests[0].require("cat /sys/class/net/eth0/mtu") == "9000\n")
      #expect(try daemon.configure("get interface v1 mtu").hasPrefix("9000"))
      #expect(try guests[0].reaches("10.0.0.2", byteCount: 8972))
      #expect(try lab.canPing("10.0.0.1", from: host, count: 5, byteCount: 8972, ["-M", "do"]))
      let datagrams = try guests[0].sendUDP(to: guests[1], "10.0.0.2", byteCount: 8900)
      #expect(datagrams.received > 50 && datagrams.damaged == 0, "\(datagrams)")
      #expect(try guests[1].sendFile(to: guests[0], "10.0.0.1", byteCount: 3_000_000))
    }
  }
}
