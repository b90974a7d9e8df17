import TestSupport
import Testing

/// Guests behind a virtual IOMMU: the switch knows of their memory only what the front-ends tell it page by page, and forgets it again
/// when the guests take it away, which Linux does after each packet, many at a time.
@Suite(.enabled(if: canRunGuests, "needs root, qemu-system-x86 and busybox-static"), .serialized)
struct IOMMUTests {
  @Test(arguments: wantsAll ? [false, true] : [true]) func guestsBehindIOMMUsLoseNothing(isPacked: Bool) throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0")
      let attachment = Attachment(isPacked: isPacked)
      let guests = try (1...2).map { number in
        try lab.guest(
          "g\(number)", [attachment.device(try daemon.guestPort("v\(number)", in: lab.directory))],
          net: "eth0:10.0.0.\(number)/24", hasIOMMU: true)
      }
      let host = try daemon.host("tap", addresses: ["10.0.0.9/24"])
      for guest in guests { try guest.waitUntilReady() }
      let (guest, other) = (guests[0], guests[1])
      // VIRTIO_F_ACCESS_PLATFORM was agreed on, and the guest's kernel translates.
      let features = try daemon.configure("get interface v1 status:features").filter(\.isHexDigit)
      #expect(UInt64(features.dropFirst(), radix: 16).map { $0 >> 33 & 1 } == 1, "\(features)")
      #expect(try guest.require("ls /sys/class/iommu").contains("dmar"))
      // What nobody but the guests' own programs may change: a page that is written to after it was taken away shows here.
      let programs = "sha1sum /bin/busybox /bin/iperf3 /lib/x86_64-linux-gnu/*"
      let canary = "md5sum < /tmp/canary"
      for guest in guests { try guest.require("head -c 4000000 /dev/urandom > /tmp/canary") }
      for _ in 0..<2 {
        for guest in guests { try guest.require("cat /tmp/canary /tmp/canary > /tmp/c; mv /tmp/c /tmp/canary") }
      }
      let before = try guests.map { try $0.require("\(programs); \(canary)") }
      // (The first one waits for ARP.) On a busy machine an emulated IOMMU takes its time; lost is what does not come at all.
      func expectEchoes(_ guest: Guest, _ address: String, byteCount: Int = 56) throws {
        _ = try guest.run("ping -c 1 -W 5 \(address)")
        let echoes = try guest.run("ping -c 20 -i 0.1 -W 5 -s \(byteCount) \(address)").output
        #expect(echoes.contains(" 20 packets received"), "\(echoes)")
      }
      try expectEchoes(guest, "10.0.0.2")
      #expect(try lab.canPing("10.0.0.1", from: host, count: 10))
      for (guest, address) in [(guest, "10.0.0.2"), (other, "10.0.0.1")] {
        try expectEchoes(guest, address, byteCount: 1472)
      }
      #expect(try guest.sendTCP(to: other, "10.0.0.2") > 0)
      #expect(try other.sendTCP(to: guest, "10.0.0.1") > 0)
      #expect(try guest.sendFile(to: other, "10.0.0.2", byteCount: 300_000))
      #expect(try other.sendFile(to: guest, "10.0.0.1", byteCount: 300_000))
      let datagrams = try guest.sendUDP(to: other, "10.0.0.2")
      #expect(datagrams.received > 0 && datagrams.damaged == 0, "\(datagrams)")
      // It goes on after all that, and with each page that it had before taken away.
      try expectEchoes(other, "10.0.0.1", byteCount: 1472)
      try expectEchoes(guest, "10.0.0.9")
      for (guest, before) in zip(guests, before) { #expect(try guest.require("\(programs); \(canary)") == before) }
      for port in try daemon.portStatistics() { #expect(port.addsUp, "\(port)") }
      let status = try daemon.configure("get interface v1 status")
      #expect(!status.contains("fault"), "\(status)")
    }
  }
}
