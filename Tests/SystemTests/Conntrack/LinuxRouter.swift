// A Linux router with nftables in a namespace, and raw sockets at its two links: what connection tracking and translation are
// compared with.

import TestSupport

/// Masquerades what comes from inside, forwards port 8080 of its outer address to 10.0.0.2, also for those inside, lets in only what belongs to it, and drops what its tracker calls invalid.
final class LinuxRouter {
  /// Addresses of both worlds, and the router's own outside.
  static let inside: [UInt8] = [10, 0, 0, 1]
  static let outside: [UInt8] = [198, 51, 100, 7]

  private let inner: RawSocket
  private let outer: RawSocket
  private let innerRouterAddress: [UInt8]
  private let outerRouterAddress: [UInt8]
  private static let innerHost: [UInt8] = [2, 0, 0, 0, 1, 1]
  private static let outerHost: [UInt8] = [2, 0, 0, 0, 1, 2]

  init(_ lab: Lab) throws {
    let router = try lab.namespace("router")
    let hosts = try lab.namespace("hosts")
    for (link, address) in [("in0", "02:00:00:00:01:01"), ("out0", "02:00:00:00:01:02")] {
      try lab.run([
        "ip", "link", "add", link, "netns", router, "type", "veth", "peer", "name", "h\(link)", "netns", hosts,
      ])
      try lab.run(["ip", "-n", hosts, "link", "set", "h\(link)", "address", address])
      // Hosts are raw sockets: their kernel must not answer.
      try lab.run(["ip", "netns", "exec", hosts, "sysctl", "-qw", "net.ipv6.conf.h\(link).disable_ipv6=1"])
      try lab.run(["ip", "-n", hosts, "link", "set", "h\(link)", "up", "arp", "off"])
      try lab.run(["ip", "netns", "exec", router, "sysctl", "-qw", "net.ipv6.conf.\(link).disable_ipv6=1"])
      try lab.run(["ip", "-n", router, "link", "set", link, "up"])
      for offload in ["tx", "rx", "gro", "gso", "tso"] {
        _ = try lab.attempt(["ethtool", "-K", link, offload, "off"], in: router)
        _ = try lab.attempt(["ethtool", "-K", "h\(link)", offload, "off"], in: hosts)
      }
    }
    try lab.run(["ip", "-n", router, "addr", "add", "10.0.0.254/16", "dev", "in0"])
    try lab.run(["ip", "-n", router, "addr", "add", "198.51.100.7/24", "dev", "out0"])
    try lab.run(["ip", "-n", router, "route", "add", "default", "dev", "out0"])
    for (link, address) in [("in0", "10.0.0.1"), ("in0", "10.0.0.2")] {
      try lab.run([
        "ip", "-n", router, "neigh", "add", address, "lladdr", "02:00:00:00:01:01", "dev", link, "nud", "permanent",
      ])
    }
    for address in ["192.0.2.80", "203.0.113.1"] {
      try lab.run([
        "ip", "-n", router, "neigh", "add", address, "lladdr", "02:00:00:00:01:02", "dev", "out0", "nud", "permanent",
      ])
    }
    try lab.run([
      "ip", "netns", "exec", router, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0",
      "net.ipv4.conf.in0.rp_filter=0", "net.ipv4.conf.out0.rp_filter=0",
      "net.ipv4.conf.all.send_redirects=0", "net.ipv4.conf.in0.send_redirects=0",
    ])
    let rules = """
      table ip t {
        chain forward {
          type filter hook forward priority 0; policy drop;
          ct state invalid drop
          ct state established,related accept
          iifname "in0" ct state new accept
          ct status dnat accept
        }
        chain pre {
          type nat hook prerouting priority dstnat;
          ip daddr 198.51.100.7 tcp dport 8080 dnat to 10.0.0.2:80
          ip daddr 198.51.100.7 udp dport 8080 dnat to 10.0.0.2:53
        }
        chain post {
          type nat hook postrouting priority srcnat;
          oifname "out0" masquerade
          iifname "in0" oifname "in0" ct status dnat masquerade
        }
      }
      """
    try lab.run(["nft", rules], in: router)
    func address(_ link: String) throws -> [UInt8] {
      let text = try lab.run(["cat", "/sys/class/net/\(link)/address"], in: router)
      return text.trimmingCharacters(in: .whitespacesAndNewlines).split(separator: ":").compactMap {
        UInt8($0, radix: 16)
      }
    }
    innerRouterAddress = try address("in0")
    outerRouterAddress = try address("out0")
    inner = try RawSocket(namespace: hosts, interface: "hin0")
    outer = try RawSocket(namespace: hosts, interface: "hout0")
  }

  /// Sends an IP packet from inside or outside; gives those that come out at the other side, or inside again.
  func send(_ packet: [UInt8], fromInside: Bool, comesBack: Bool = false) throws -> [[UInt8]] {
    let from = fromInside ? inner : outer
    let to = fromInside && !comesBack ? outer : inner
    try from.send(
      FrameBuilder.ethernet(
        to: fromInside ? innerRouterAddress : outerRouterAddress, from: fromInside ? Self.innerHost : Self.outerHost,
        etherType: 0x0800, packet))
    // A frame that ends what this one has caused: the router forwards in order.
    var found: [[UInt8]] = []
    while let frame = to.receive(.milliseconds(found.isEmpty ? 120 : 30), where: { $0[12] == 8 && $0[13] == 0 }) {
      let count = Int(frame[16]) << 8 | Int(frame[17])
      // What the router says itself, to packets for its own address, is its host's and not its translation's.
      guard frame[22] == 63 else { continue }
      found.append(Array(frame[14..<min(14 + count, frame.count)]))
    }
    return found
  }
}
