import Foundation
import TestSupport
import Testing

/// A guest in a NAT network, with what its distribution would do: an address by DHCP and by SLAAC, names, the web outside, ports
/// that are forwarded to it.
@Suite(.enabled(if: canRunGuests, "needs root, qemu-system-x86 and busybox-static"), .serialized)
struct NATNetworkTests {
  private static let script = [
    "#!/bin/sh", "case $1 in bound|renew)", "ip addr flush dev $interface", "ip addr add $ip/$mask dev $interface",
    "ip route replace default via $router", "echo nameserver $dns > /etc/resolv.conf",
    "echo search $domain >> /etc/resolv.conf ;;", "esac",
  ].map { "'\($0)'" }.joined(separator: " ")

  private static func fetch(_ address: String, port: Int) -> String {
    "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 5 \(address) \(port)"
  }

  @Test func aGuestGetsAddressesNamesAndAWayOutAndIn() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0 -- add-br br-out")
      let outside = try daemon.host("outside", bridge: "br-out", addresses: ["192.0.2.1/24", "2001:db8::1/64"])
      _ = try lab.start(
        [
          "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-hosts", "--no-resolv", "--user=root",
          "--listen-address=127.0.0.1", "--bind-interfaces", "--pid-file=\(lab.directory)/dnsmasq.pid",
          "--address=/four.test/192.0.2.1", "--address=/six.test/2001:db8::1",
        ], in: daemon.namespace)
      try daemon.configure(
        "add-natnet lab 192.168.77.0/24,fd00:77::/64 tag=77 bridge=br0 uplink=br-out addresses=192.0.2.5/24,2001:db8::5/64 gateways=192.0.2.1,2001:db8::1 servers=127.0.0.1"
      )
      try daemon.configure("forward lab tcp 8080 vm:8000")
      let socket = try daemon.guestPort("v-vm", "tag=77", in: lab.directory)
      let guest = try lab.guest("vm", [Attachment(isPacked: true).device(socket)], net: "eth0:-")
      try "this is outside\n".write(toFile: "\(lab.directory)/index.html", atomically: true, encoding: .utf8)
      _ = try lab.start(
        ["python3", "-u", "-m", "http.server", "--bind", "::", "--directory", lab.directory, "80"], in: outside)
      try guest.waitUntilReady()

      // Addresses
      try guest.require("printf '%s\\n' \(Self.script) > /bin/lease; chmod 755 /bin/lease")
      try guest.require("udhcpc -i eth0 -f -q -n -t 10 -T 1 -s /bin/lease -x hostname:vm")
      #expect(try daemon.configure("leases lab").contains(" vm "))
      try guest.require(
        "echo 0 > /proc/sys/net/ipv6/conf/all/disable_ipv6; echo 0 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6; echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_dad; ip link set eth0 down; ip link set eth0 up; ip route replace default via 192.168.77.1"
      )
      let hasIPv6 = try eventually(.seconds(20)) {
        try guest.run("ip -6 addr show dev eth0 scope global").output.contains("fd00:77:")
      }
      #expect(hasIPv6, "no address by SLAAC")

      // Names and the web, by each IP version
      #expect(try guest.run("nslookup four.test").output.contains("192.0.2.1"))
      #expect(try guest.run("nslookup -type=aaaa six.test").output.contains("2001:db8::1"))
      #expect(try guest.run("nslookup vm.lab").output.contains("192.168.77."))
      #expect(try guest.reaches("192.0.2.1"))
      for address in ["192.0.2.1", "2001:db8::1"] {
        let fetched = try guest.run(Self.fetch(address, port: 80))
        #expect(fetched.output.hasSuffix("this is outside\n"), "\(address): \(fetched)")
      }
      let way = try guest.run("traceroute -n -q 1 -w 2 -m 4 192.0.2.1")
      #expect(way.output.contains("192.168.77.1 ") && way.output.contains(" 2  192.0.2.1"), "\(way)")

      // In, to the port that is forwarded
      try guest.require("mkdir -p /tmp/www; echo this is vm > /tmp/www/index.html; httpd -p 8000 -h /tmp/www")
      for (address, written) in [("192.0.2.5", "192.0.2.5"), ("2001:db8::5", "[2001:db8::5]")] {
        let isReached = try eventually(.seconds(10)) {
          try lab.attempt(["curl", "-g", "-s", "-m", "5", "http://\(written):8080/"], in: outside).output
            == "this is vm\n"
        }
        #expect(isReached, "\(address)")
        // The guest itself, by the outer address.
        let own = try guest.run(Self.fetch(address, port: 8080))
        #expect(own.output.hasSuffix("this is vm\n"), "\(address) from the guest: \(own)")
      }

      try Self.fetchByActiveFTP(lab, guest, from: outside, daemon)
      for address in ["192.0.2.1", "2001:db8::1"] { try Self.sendMuch(lab, guest, to: address, in: outside) }
      for port in try daemon.portStatistics() { #expect(port.addsUp, "\(port)") }
    }
  }
  /// The server opens the data connection to the guest (PORT), which lets it in because the control connection said so.
  private static func fetchByActiveFTP(_ lab: Lab, _ guest: Guest, from server: String, _ daemon: Daemon) throws {
    try daemon.configure("set nat_network lab helpers=ftp")
    let ftp = try FTPServer(lab, in: server)
    // A line at a time, as a client waits for answers; the port is 78 * 256 + 33.
    let lines = [
      "USER anonymous", "TYPE I",
      "PORT $(ip -4 -o addr show eth0 | awk '{sub(/\\/.*/, \"\", $4); gsub(/[.]/, \",\", $4); print $4}'),78,33",
      "RETR file",
    ]
    let words = lines.map { "printf '%s\\r\\n' \"\($0)\"; usleep 400000" }.joined(separator: "; ")
    let sum = try guest.require(
      "nc -l -p 20001 > /tmp/got & (usleep 500000; \(words); usleep 500000; printf 'QUIT\\r\\n'; sleep 1) | nc 192.0.2.1 21 > /tmp/said; wait; md5sum < /tmp/got"
    )
    let said = try guest.run("cat /tmp/said").output
    let wanted = try lab.run(["md5sum", "\(ftp.directory)/file"])
    #expect(sum.prefix(32) == wanted.prefix(32) && said.contains("226 "), "\(said)")
    #expect(try daemon.configure("conntrack list").contains("sport=20 "))
  }

  /// Ten seconds of TCP: no more than a fiftieth may be sent again.
  private static func sendMuch(_ lab: Lab, _ guest: Guest, to address: String, in server: String) throws {
    _ = try lab.start(["iperf3", "-s", "-1", "-B", address], in: server)
    #expect(try eventually(.seconds(5)) { try lab.run(["ss", "-Hltn"], in: server).contains(":5201") })
    // "… sec  12.3 MBytes  51.5 Mbits/sec  0  sender"
    let output = try guest.require("iperf3 -c \(address) -t 10 -f m", deadline: .seconds(60))
    let words = (output.split(separator: "\n").last { $0.contains("sender") } ?? "").split(separator: " ")
    let unit = words.firstIndex { $0.hasPrefix("Mbits/sec") } ?? 0
    let rate = unit > 0 ? Double(words[unit - 1]) ?? 0 : 0
    let again = words.indices.contains(unit + 1) ? Double(words[unit + 1]) ?? .infinity : .infinity
    #expect(rate > 1 && again * 1448 < rate * 125_000 * 10 / 50, "\(address): \(output)")
  }
}
