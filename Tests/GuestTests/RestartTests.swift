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
        if round == 1 { #expect(daemon.stop() == 0) } else { daemon.kill9() }
        try daemon.start()
        let started = ContinuousClock.now
        let isBack = try eventually(.seconds(10), every: .milliseconds(10)) {
          try guests[0].run("ping -c 1 -W 1 10.0.0.2").output.contains("1 packets received")
        }
        #expect(isBack)
        print("\(attachment), round \(round): traffic \(ContinuousClock.now - started) after the start")
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

  @Test(arguments: [Attachment(isPacked: true), Attachment(isServer: false)])
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
