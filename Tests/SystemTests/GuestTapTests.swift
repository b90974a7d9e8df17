// Taps that are there already when they become ports: one that a guest has open, as libvirt hands them over, and one that
// nobody has.

import Foundation
import TestSupport
import Testing

@Suite(.blocking, .enabled(if: TestEnvironment.canUseNamespaces, "needs root"))
struct GuestTapTests {
  /// With several queues the switch could open one more of them, and would then take a part of the guest's packets away.
  @Test(arguments: [1, 4])
  func aGuestBehindATapIsReached(queueCount: Int) throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0")
      let host = try daemon.host("a", "tag=10", addresses: ["10.1.0.1/24"])
      let script = "\(TestEnvironment.sourceDirectory)/Tests/SystemTests/Clients/tap_guest.py"
      let guest = try lab.start(["python3", script, "vnet0", "\(queueCount)", "10.1.0.9"], in: daemon.namespace)
      #expect(eventually { guest.output.contains("ready") }, "\(guest.errorOutput)")
      try lab.run(["ip", "-n", daemon.namespace, "link", "set", "vnet0", "up"])
      try daemon.configure("add-port br0 vnet0 tag=10")
      #expect(try lab.canPing("10.1.0.9", from: host, count: 20), "\(daemon.log)")
      #expect(try daemon.portStatistics().allSatisfy(\.addsUp))
      #expect(try daemon.configure("get interface vnet0 error link_state link_resets") == "[]\nup\n0\n")

      guest.kill9()
      #expect(
        try eventually { try daemon.configure("get interface vnet0 error").contains("No such device") },
        "its tap goes with the guest")
    }
  }

  @Test func aTapThatNobodyHasStaysOpenWhateverElseChanges() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try lab.run(["ip", "-n", daemon.namespace, "tuntap", "add", "t0", "mode", "tap"])
      try daemon.configure("add-br br0 -- add-port br0 t0")
      for number in 1...3 {
        try daemon.configure("add-port br0 x\(number) -- set interface x\(number) type=tap")
      }
      #expect(try daemon.configure("get interface t0 error link_resets") == "[]\n0\n")
    }
  }

  /// Deleted and made anew within a moment: its name says the same, but the port would be deaf.
  @Test func aLinkThatIsReplacedIsOpenedAgain() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0")
      let host = try daemon.host("a", addresses: ["10.1.0.1/24"])
      let other = try lab.namespace("b")
      let makeLink = """
        ip link add p0 type veth peer name b address 02:00:00:00:00:bb netns \(other); ip link set p0 up
        """
      try lab.run(["sh", "-c", makeLink], in: daemon.namespace)
      try lab.giveAddresses(["10.1.0.2/24"], to: "b", in: other)
      try daemon.configure("add-port br0 p0")
      #expect(try lab.canPing("10.1.0.2", from: host))
      try lab.run(["sh", "-c", "ip link del p0; \(makeLink)"], in: daemon.namespace)
      try lab.giveAddresses(["10.1.0.2/24"], to: "b", in: other)
      #expect(try eventually { try lab.canPing("10.1.0.2", from: host) }, "\(daemon.log)")
      #expect(try daemon.configure("get interface p0 link_resets") == "1\n")
    }
  }

  @Test func whatAnEventTellsIsInTheRow() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      let host = try lab.namespace("h")
      try daemon.configure(
        "add-br br0 -- add-port br0 t0 -- set interface t0 type=tap "
          + "-- add-port br0 t1 -- set interface t1 type=tap options:netns=\(host)")
      for (link, namespace) in [("t0", daemon.namespace), ("t1", host)] {
        try lab.run(["ip", "-n", namespace, "link", "set", link, "mtu", "1400", "address", "02:00:00:00:00:77", "up"])
        #expect(
          try eventually(.seconds(3)) {
            try daemon.configure("get interface \(link) mtu mac_in_use admin_state")
              == "1400\n\"02:00:00:00:00:77\"\nup\n"
          }, "\(link)")
        try lab.run(["ip", "-n", namespace, "link", "set", link, "down"])
        #expect(try eventually(.seconds(3)) { try daemon.configure("get interface \(link) admin_state") == "down\n" })
        try lab.run(["ip", "-n", namespace, "link", "set", link, "name", "other"])
        #expect(
          try eventually(.seconds(3)) { try daemon.configure("get interface \(link) status").contains("other") },
          "\(link) renamed")
      }
    }
  }
}
