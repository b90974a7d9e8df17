// A NAT network between guests and an outer network with a gateway, a web server and a name server, for tests.

import Foundation
import TestSupport
import Testing

/// A switch with bridge br0, on which guests are in VLAN 77 of network `lab`, and br-out, where `outside` is.
struct NATLab {
  let lab: Lab
  let daemon: Daemon
  /// The host outside: 192.0.2.1 and 2001:db8::1.
  let outside: String

  static let clients = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Clients").path

  /// - Parameter settings: more of the network, such as `pool=…`.
  static func with(
    _ subnets: String = "192.168.77.0/24,fd00:77::/64", _ settings: String = "", _ body: (NATLab) throws -> Void
  ) throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0 -- add-br br-out")
      let outside = try daemon.host("outside", bridge: "br-out", addresses: ["192.0.2.1/24", "2001:db8::1/64"])
      try daemon.configure(
        "add-natnet lab \(subnets) tag=77 bridge=br0 uplink=br-out addresses=192.0.2.5/24,2001:db8::5/64 gateways=192.0.2.1,2001:db8::1 \(settings)"
      )
      try body(NATLab(lab: lab, daemon: daemon, outside: outside))
    }
  }

  /// A guest without an address; the device in it has its name.
  func guest(_ name: String) throws -> String {
    let guest = try daemon.host(name, "tag=77")
    try settle(name, in: guest)
    return guest
  }

  /// Gives a guest's device the address that it always has: taps of a daemon that was killed are new ones.
  func settle(_ name: String, in guest: String) throws {
    let number = name.utf8.reduce(0) { ($0 * 31 + Int($1)) % 65536 }
    let mac = "02:77:00:00:" + [number / 256, number % 256].map { String(format: "%02x", $0) }.joined(separator: ":")
    let isThere = try eventually(.seconds(10)) {
      try lab.attempt(["ip", "-n", guest, "link", "set", "dev", name, "address", mac]).isSuccess
    }
    try #require(isThere, "\(name) has not come back")
    try lab.run(["ip", "-n", guest, "link", "set", "dev", name, "up"])
  }

  enum Client { case udhcpc, dhclient }

  /// Has a client get a lease.
  /// - Returns: what it was told, as lines of `key=value`.
  @discardableResult
  func lease(_ client: Client, _ name: String, in guest: String, hostName: String? = nil) throws -> String {
    let notes = "\(lab.directory)/lease-\(name)"
    let script = "\(Self.clients)/lease_script.sh"
    let arguments: [String]
    switch client {
    case .udhcpc:
      arguments =
        [
          "busybox", "udhcpc", "-i", name, "-f", "-q", "-n", "-t", "6", "-T", "2", "-s", script, "-O", "mtu", "-O",
          "search",
        ]
        + (hostName.map { ["-x", "hostname:\($0)"] } ?? [])
    case .dhclient:
      let configuration = "\(lab.directory)/dhclient-\(name).conf"
      try """
      timeout 20;
      request subnet-mask, broadcast-address, routers, domain-name, domain-name-servers, domain-search, interface-mtu;
      \(hostName.map { "send host-name \"\($0)\";" } ?? "")
      """.write(toFile: configuration, atomically: true, encoding: .utf8)
      arguments = [
        "dhclient", "-1", "-sf", script, "-e", "LEASE_NOTES=\(notes)", "-cf", configuration, "-lf",
        "\(lab.directory)/dhclient-\(name).leases", "-pf", "\(lab.directory)/dhclient-\(name).pid", name,
      ]
    }
    try lab.run(["env", "LEASE_NOTES=\(notes)"] + arguments, in: guest, deadline: .seconds(40))
    return try String(contentsOfFile: notes, encoding: .utf8)
  }

  /// The value of a key of a lease's notes.
  static func value(_ key: String, _ notes: String) -> String {
    for word in notes.split(whereSeparator: { $0 == "\n" }).flatMap({ $0.components(separatedBy: " ") })
    where word.hasPrefix("\(key)=") {
      return String(word.dropFirst(key.count + 1))
    }
    return ""
  }

  /// What `dig` answers, one record a line.
  func dig(_ words: [String], from guest: String, server: String = "192.168.77.1") throws -> String {
    try lab.attempt(["dig", "+short", "+tries=2", "+time=3", "@\(server)"] + words, in: guest).output
      .trimmingCharacters(in: .whitespacesAndNewlines)
  }

  /// A name server on the switch's host, to which the resolver forwards.
  func startNameServer(_ records: [String]) throws {
    _ = try lab.start(
      [
        "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-hosts", "--no-resolv", "--user=root",
        "--listen-address=127.0.0.1", "--bind-interfaces", "--pid-file=\(lab.directory)/dnsmasq.pid",
        "--edns-packet-max=512",
      ] + records, in: daemon.namespace)
    let isThere = try eventually(.seconds(5)) {
      try lab.attempt(["dig", "+short", "+time=1", "+tries=1", "@127.0.0.1", "example.test"], in: daemon.namespace)
        .isSuccess
    }
    try #require(isThere, "dnsmasq does not answer")
    try daemon.configure("set nat_network lab servers=127.0.0.1")
  }

  /// A web server that says its name.
  func startWebServer(_ name: String, in namespace: String, port: Int) throws {
    let directory = "\(lab.directory)/www-\(name)"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    try "this is \(name)\n".write(toFile: "\(directory)/index.html", atomically: true, encoding: .utf8)
    _ = try lab.start(
      ["python3", "-u", "-m", "http.server", "--bind", "::", "--directory", directory, "\(port)"], in: namespace)
    let isThere = try eventually(.seconds(10)) {
      try lab.attempt(["curl", "-s", "-m", "1", "http://127.0.0.1:\(port)/"], in: namespace).isSuccess
    }
    try #require(isThere, "the web server of \(name) does not answer")
  }

  func fetch(_ address: String, from namespace: String) throws -> String {
    try lab.attempt(["curl", "-s", "-m", "5", "http://\(address)/"], in: namespace).output
  }

  func flood(_ link: String, in guest: String, count: Int, _ kind: String) throws -> BackgroundCommand {
    try lab.start(["python3", "\(Self.clients)/dhcp_flood.py", link, "\(count)", kind], in: guest)
  }
}
