import Glibc
import TestSupport
import Testing

/// Switch and guests come and go in any order, and traffic goes on without a guest's reboot.
@Suite(.enabled(if: canRunGuests, "needs root, qemu-system-x86 and busybox-static"), .serialized)
struct RestartTests {
  static let attachments =
    wantsAll
    ? ForwardingTests.all
    : [
      Attachment(isPacked: true, isServer: true), Attachment(isPacked: false, isServer: false),
    ]

  @Test(arguments: attachments) func guestsGoOnAfterTheSwitchWasKilledUnderLoad(attachment: Attachment) throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0")
      let guests = try (1...2).map { number in
        let socket = try daemon.guestPort("v\(number)", isServer: attachment.isServer, in: lab.directory)
        return try lab.guest(
          "g\(number)", [attachment.device(socket)], net: "eth0:10.0.0.\(number)/24", processors: attachment.queuePairs)
      }
      for guest in guests { try guest.waitUntilReady() }
      #expect(try guests[0].reaches("10.0.0.2"))
      for round in 0..<3 {
        // A stream under way when it happens; TCP goes on with it afterwards.
        try guests[1].require("iperf3 -s -1 -D > /dev/null 2>&1; sleep 0.5")
        try guests[0].require("iperf3 -c 10.0.0.2 -t 4 > /tmp/stream 2>&1 & sleep 0.7")
        let isUnderWay = try eventually(.seconds(10), every: .milliseconds(50)) {
          try guests[0].run("netstat -tn | grep -c '10.0.0.2:5201 .*ESTABLISHED'").output.contains("2")
        }
        #expect(isUnderWay, "iperf3 has not connected")
        try guests[0].require("ping -i 0.05 -c 400 10.0.0.2 > /tmp/ping 2>&1 & sleep 0.2")
        func echoCount() throws -> Int {
          Int(try guests[0].run("grep -c 'bytes from' /tmp/ping").output.filter(\.isNumber)) ?? 0
        }
        if round == 1 { #expect(daemon.stop() == 0) } else { daemon.kill9() }
        let before = try echoCount()
        #expect(before > 0)
        try daemon.start()
        var bothUp = ContinuousClock.now
        if !attachment.isServer {
          // QEMU looks for a socket that has gone once a second, which is its own time.
          #expect(
            try eventually(.seconds(3), every: .milliseconds(5)) {
              try ["v1", "v2"].allSatisfy {
                try daemon.configure("get interface \($0) status").contains("status=connected")
              }
            }, "QEMU does not connect")
          bothUp = .now
        }
        let isBack = try eventually(.seconds(10), every: .milliseconds(10)) { try echoCount() > before }
        let gap = ContinuousClock.now - bothUp
        print("\(attachment), round \(round): traffic \(gap) after both ends are up")
        // An emulated guest on a busy machine takes half a second to notice; the switch's own time: RestartedRingTests.
        #expect(isBack && gap < .seconds(Guest.hasKVM ? 1 : 2), "\(attachment), round \(round): traffic after \(gap)")
        try guests[0].run("killall ping")
        #expect(try guests[0].reaches("10.0.0.2", count: 20))
        let isEnded = try eventually(.seconds(20), every: .milliseconds(200)) {
          try guests[0].run("cat /tmp/stream").output.contains("receiver")
        }
        let stream = try guests[0].run("cat /tmp/stream").output
        #expect(isEnded, "the stream did not end: \(stream)")
        let status = try daemon.configure("get interface v1 status")
        #expect(!status.contains("fault"), "\(status)")
      }
    }
  }

  @Test(arguments: [
    Attachment(isPacked: true), Attachment(isMergeable: false, isServer: false, isLegacy: true),
  ])
  func aGuestThatEndsIsReplacedByTheNext(attachment: Attachment) throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0")
      let stay = try lab.guest(
        "g1", [attachment.device(try daemon.guestPort("v1", isServer: attachment.isServer, in: lab.directory))],
        net: "eth0:10.0.0.1/24")
      let socket = try daemon.guestPort("v2", isServer: attachment.isServer, in: lab.directory)
      for round in 0..<2 {
        let guest = try lab.guest("g2r\(round)", [attachment.device(socket)], net: "eth0:10.0.0.2/24")
        try guest.waitUntilReady()
        if round == 0 { try stay.waitUntilReady() }
        #expect(try guest.reaches("10.0.0.1"))
        let features = try daemon.configure("get interface v2 status:features").filter(\.isHexDigit).dropFirst()
        #expect(UInt64(features, radix: 16).map { $0 >> 32 & 1 == 0 } == attachment.isLegacy, "\(features)")
        // The driver starts anew on the same device.
        try guest.require("echo virtio0 > /sys/bus/virtio/drivers/virtio_net/unbind")
        try guest.require("echo virtio0 > /sys/bus/virtio/drivers/virtio_net/bind; ip link set eth0 up")
        try guest.require("ip addr add 10.0.0.2/24 dev eth0")
        #expect(try guest.reaches("10.0.0.1"))
        guest.stop()
        #expect(try eventually { try daemon.configure("get interface v2 link_state").hasPrefix("down") })
      }
    }
  }
}
