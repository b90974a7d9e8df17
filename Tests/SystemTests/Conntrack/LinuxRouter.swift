// A Linux router with nftables in a namespace, and raw sockets at its two links: what connection tracking and translation are
// compared with.

import TestSupport

/// Masquerades what comes from inside, forwards port 8080 of its outer addresses to `second`, also for those inside, lets in only
/// what belongs to it, and drops what its tracker calls invalid. IPv4 and IPv6.
final class LinuxRouter {
  private let inner: RawSocket
  private let outer: RawSocket
  private let innerRouterAddress: [UInt8]
  private let outerRouterAddress: [UInt8]
  private static let innerHost: [UInt8] = [2, 0, 0, 0, 1, 1]
  private static let outerHost: [UInt8] = [2, 0, 0, 0, 1, 2]
  /// IP protocol of packets that are neither tracked nor stopped: they tell that all before them is through.
  private static let marker: UInt8 = 253
  private var markerCount: UInt32 = 0

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
      try lab.run(["ip", "-n", router, "link", "set", link, "up"])
      for offload in ["tx", "rx", "gro", "gso", "tso"] {
        _ = try lab.attempt(["ethtool", "-K", link, offload, "off"], in: router)
        _ = try lab.attempt(["ethtool", "-K", "h\(link)", offload, "off"], in: hosts)
      }
    }
    try lab.run([
      "ip", "netns", "exec", router, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0",
      "net.ipv4.conf.in0.rp_filter=0", "net.ipv4.conf.out0.rp_filter=0",
      "net.ipv4.conf.all.send_redirects=0", "net.ipv4.conf.in0.send_redirects=0", "net.ipv6.conf.all.forwarding=1",
    ])
    for plan in [TranslationPlan.ipv4, .ipv6] { try Self.configure(lab, router, plan) }
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

  private static func configure(_ lab: Lab, _ router: String, _ plan: TranslationPlan) throws {
    let ip = ["ip", "-n", router, plan.isIPv6 ? "-6" : "-4"]
    func text(_ address: [UInt8]) -> String { TranslationPlan.text(address) }
    try lab.run(ip + ["addr", "add", text(plan.gateway) + (plan.isIPv6 ? "/64" : "/16"), "dev", "in0"])
    try lab.run(ip + ["addr", "add", text(plan.outside) + (plan.isIPv6 ? "/64" : "/24"), "dev", "out0"])
    try lab.run(ip + ["route", "add", "default", "dev", "out0"])
    for (hosts, link, hardware) in [
      ([plan.client, plan.second], "in0", "02:00:00:00:01:01"),
      ([plan.server, plan.other], "out0", "02:00:00:00:01:02"),
    ] {
      for host in hosts {
        try lab.run(ip + ["neigh", "add", text(host), "lladdr", hardware, "dev", link, "nud", "permanent"])
      }
    }
    let family = plan.isIPv6 ? "ip6" : "ip"
    let target = plan.isIPv6 ? "[\(text(plan.second))]" : text(plan.second)
    let rules = """
      table \(family) t {
        chain raw {
          type filter hook prerouting priority raw;
          meta l4proto \(marker) notrack
        }
        chain forward {
          type filter hook forward priority 0; policy drop;
          meta l4proto \(marker) accept
          ct state invalid drop
          ct state established,related accept
          iifname "in0" ct state new accept
          ct status dnat accept
        }
        chain pre {
          type nat hook prerouting priority dstnat;
          \(family) daddr \(text(plan.outside)) tcp dport 8080 dnat to \(target):80
          \(family) daddr \(text(plan.outside)) udp dport 8080 dnat to \(target):53
        }
        chain post {
          type nat hook postrouting priority srcnat;
          oifname "out0" masquerade
          iifname "in0" oifname "in0" ct status dnat masquerade
        }
      }
      """
    try lab.run(["nft", rules], in: router)
  }

  /// Sends the packet of a step; gives those that come out where it is looked for.
  func send(_ plan: TranslationPlan, _ step: TranslationStep) throws -> [[UInt8]] {
    let from = step.isFromInside ? inner : outer
    let to = step.isFromInside && !step.comesBack ? outer : inner
    func send(_ packet: [UInt8]) throws {
      try from.send(
        FrameBuilder.ethernet(
          to: step.isFromInside ? innerRouterAddress : outerRouterAddress,
          from: step.isFromInside ? Self.innerHost : Self.outerHost, etherType: plan.etherType, packet))
    }
    try send(step.packet)
    markerCount += 1
    let target = step.comesBack ? plan.second : step.isFromInside ? plan.server : plan.client
    let marker = plan.packet(
      step.isFromInside ? plan.client : plan.server, target, Self.marker, markerCount.octets)
    try send(marker)
    var found: [[UInt8]] = []
    let deadline = ContinuousClock.now + .seconds(5)
    while let frame = to.receive(deadline - ContinuousClock.now) {
      guard let packet = plan.routed(frame) else { continue }
      if packet[plan.isIPv6 ? 6 : 9] == Self.marker {
        // One of another step is late.
        if packet.suffix(4) == marker.suffix(4) { return found }
        continue
      }
      found.append(packet)
    }
    throw TestFailure("the router did not forward what is behind \(step.name)")
  }
}
