// A flood of packets for hosts that there are not, through a router: those that it knows go on as before, and memory stays bounded.

import Foundation
import TestSupport
import Testing

@Suite(.blocking, .enabled(if: TestEnvironment.canUseNamespaces, "needs root"))
struct NeighbourFloodTests {
  /// Datagrams to hosts of a network in turn, some thousand a second: other tests run beside this one.
  private static let flood = """
    import ipaddress, socket, sys, time
    network, seconds = ipaddress.ip_network(sys.argv[1]), float(sys.argv[2])
    s = socket.socket(socket.AF_INET6 if network.version == 6 else socket.AF_INET, socket.SOCK_DGRAM)
    first, end, number = int(network.network_address) + 1000, time.monotonic() + seconds, 0
    while time.monotonic() < end:
        for _ in range(16):
            number += 1
            try: s.sendto(b"x" * 1000, (str(ipaddress.ip_address(first + number % 60000)), 9))
            except OSError: pass
        time.sleep(0.004)
    print(number)
    """

  @Test(arguments: ["10.20.0.0/16", "fd00:20::/64"])
  func unknownNeighboursNeitherStopWhatIsEstablishedNorGrowMemory(network: String) throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0 -- add-router r1")
      try daemon.configure("add-router-port r1 br0 tag=10 addresses=10.0.10.1/24,fd00:10::1/64")
      try daemon.configure("add-router-port r1 br0 tag=20 addresses=10.20.0.1/16,fd00:20::1/64")
      func host(_ name: String, _ vlan: Int, _ addresses: [String]) throws -> String {
        let host = try daemon.host(name, "tag=\(vlan)", addresses: addresses)
        let gateway = vlan == 10 ? "10.0.10.1" : "10.20.0.1"
        try lab.run(["ip", "-n", host, "route", "add", "default", "via", gateway])
        try lab.run(["ip", "-n", host, "-6", "route", "replace", "default", "via", "fd00:\(vlan)::1", "metric", "1"])
        return host
      }
      let a = try host("a", 10, ["10.0.10.2/24", "fd00:10::2/64"])
      let bad = try host("bad", 10, ["10.0.10.3/24", "fd00:10::3/64"])
      _ = try host("b", 20, ["10.20.0.2/16", "fd00:20::2/64"])
      let target = network.contains(":") ? "fd00:20::2" : "10.20.0.2"
      #expect(try lab.canPing(target, from: a))
      let before = try daemon.residentKibibytes()
      let flooding = try lab.start(["python3", "-c", Self.flood, network, "4"], in: bad)
      let ping = try lab.attempt(
        ["ping", "-n", "-q", "-c", "120", "-i", "0.025", "-W", "2", target], in: a)
      #expect(ping.output.contains(" 0% packet loss"), "\(ping.output)")
      _ = flooding.waitForExit(.seconds(15))
      let sent = Int(flooding.output.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0
      #expect(sent > 2000, "\(flooding.output)\(flooding.errorOutput)")
      let grown = try daemon.residentKibibytes() - before
      #expect(grown < 40 * 1024, "\(grown) KiB more after \(sent) packets")
      // 256 may be waited for, and the port's three hosts.
      let neighbours = try daemon.configure("router neighbours r1").split(separator: "\n").count
      #expect(neighbours < 300, "\(neighbours)")
      // What waits is over soon: others are found again.
      let late = try host("late", 20, ["10.20.0.9/16", "fd00:20::9/64"])
      let other = network.contains(":") ? "fd00:20::9" : "10.20.0.9"
      #expect(try eventually(.seconds(15)) { try lab.canPing(other, from: a) }, "\(late)")
    }
  }
}

extension Daemon {
  /// Memory of the daemon that is resident.
  func residentKibibytes() throws -> Int {
    let status = try String(contentsOfFile: "/proc/\(processID ?? 0)/status", encoding: .utf8)
    let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") } ?? ""
    return Int(line.split(separator: " ").dropLast().last ?? "") ?? .max
  }
}
