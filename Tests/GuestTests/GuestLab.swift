// What the tests of guests share: a switch, ports for guests, and measures of what passes between them.

import Foundation
import TestSupport
import Testing

/// Whether guests can be booted here; in CI what is missing is a failure, not a skip.
let canRunGuests =
  TestEnvironment.isContinuousIntegration
  || (TestEnvironment.canUseNamespaces && TestEnvironment.hasProgram("qemu-system-x86_64")
    && TestEnvironment.hasProgram("busybox"))

/// The whole matrix instead of a covering choice.
let wantsAll = ProcessInfo.processInfo.environment["VSWITCH_GUEST_MATRIX"] == "all"

/// One way to attach a guest.
struct Attachment: CustomStringConvertible, Sendable {
  var isPacked = false
  var isMergeable = true
  var queuePairs = 1
  /// QEMU listens (type vhostuserclient).
  var isServer = true
  /// A device from before virtio 1.0: no VIRTIO_F_VERSION_1.
  var isLegacy = false

  var description: String {
    "\(isLegacy ? "legacy, " : "")\(isPacked ? "packed" : "split"), mergeable \(isMergeable ? "on" : "off"), \(queuePairs) queue pairs, "
      + (isServer ? "QEMU listens" : "the switch listens")
  }
  func device(_ socket: String) -> Guest.Device {
    var device = Guest.Device()
    device.socket = socket
    device.isServer = isServer
    device.isPacked = isPacked
    device.hasMergeableBuffers = isMergeable
    device.queuePairs = queuePairs
    if isLegacy { device.properties = ["disable-modern": "on", "disable-legacy": "off"] }
    return device
  }
}

extension Daemon {
  /// Adds a port for a guest.
  /// - Returns: the socket for QEMU.
  func guestPort(_ name: String, isServer: Bool = true, _ settings: String = "", in directory: String) throws -> String
  {
    if isServer {
      let socket = "\(directory)/\(name).sock"
      try configure(
        "add-port br0 \(name) \(settings) -- set interface \(name) type=dpdkvhostuserclient options:vhost-server-path=\(socket)"
      )
      return socket
    }
    try configure("add-port br0 \(name) \(settings) -- set interface \(name) type=dpdkvhostuser")
    return "\(runDirectory)/\(name)"
  }
}

extension Guest {
  /// Whether every echo comes back; the first one, which waits for ARP, does not count.
  func reaches(_ address: String, count: Int = 5, byteCount: Int = 56) throws -> Bool {
    _ = try run("ping -c 1 -W 2 \(address)")
    return try run("ping -c \(count) -i 0.1 -W 2 -s \(byteCount) \(address)").output.contains(
      " \(count) packets received")
  }

  /// Whether any echo comes back.
  func reachesAtAll(_ address: String) throws -> Bool {
    try !run("ping -c 2 -i 0.1 -W 1 \(address)").output.contains(" 0 packets received")
  }

  /// Sends over TCP for a second.
  /// - Returns: Mbit/s received by `other` at its `address`.
  func sendTCP(to other: Guest, _ address: String, _ more: String = "") throws -> Double {
    try other.require(
      "iperf3 -s -1 -D >/dev/null 2>&1; for i in 1 2 3 4 5 6 7 8 9; do netstat -ltn | grep -q :5201 && break; usleep 50000; done"
    )
    let output = try require("iperf3 -c \(address) -t 1 -f m \(more)")
    let line = output.split(separator: "\n").last { $0.contains("receiver") } ?? ""
    let words = line.split(separator: " ")
    guard let unit = words.firstIndex(where: { $0.hasPrefix("Mbits/sec") }), unit > 0,
      let rate = Double(words[unit - 1])
    else { throw TestFailure("no rate in \(output)") }
    return rate
  }

  /// Sends datagrams for a second, with their checksums finished by the sender, so that the receiver's kernel compares every byte.
  /// - Returns: how many came whole, and how many with other bytes than were sent.
  func sendUDP(to other: Guest, _ address: String, byteCount: Int = 1400) throws -> (received: Int, damaged: Int) {
    func damaged() throws -> Int {
      // Two lines of the protocol: names, then values; InCsumErrors is the seventh.
      let line = try other.require("grep Udp: /proc/net/snmp | tail -n 1").split(separator: " ")
      return line.count > 7 ? Int(line[7].prefix { $0.isNumber }) ?? -1 : -1
    }
    let before = try damaged()
    try require("ethtool -K eth0 tx off > /dev/null")
    try other.require(
      "iperf3 -s -1 -D >/dev/null 2>&1; for i in 1 2 3 4 5 6 7 8 9; do netstat -ltn | grep -q :5201 && break; usleep 50000; done"
    )
    let output = try require("iperf3 -u -b 8M -c \(address) -t 1 -l \(byteCount) -f m")
    try require("ethtool -K eth0 tx on > /dev/null")
    // "... 0/714 (0%)  receiver"
    let line = output.split(separator: "\n").last { $0.contains("receiver") } ?? ""
    guard let counts = line.split(separator: " ").first(where: { $0.contains("/") && ($0.first?.isNumber ?? false) }),
      let lost = Int(counts.split(separator: "/")[0]), let sent = Int(counts.split(separator: "/")[1])
    else { throw TestFailure("no counts in \(output)") }
    return (sent - lost, try damaged() - before)
  }

  /// Sends a file over TCP and compares its sum at the other end.
  func sendFile(to other: Guest, _ address: String, byteCount: Int) throws -> Bool {
    try require("head -c \(byteCount) /dev/urandom > /tmp/file")
    try other.require("{ sleep 99 | nc -l -p 9000 | sha256sum; } > /tmp/sum 2>&1 & sleep 0.3")
    try require("nc \(address) 9000 < /tmp/file & sleep 0.1; wait", deadline: .seconds(60))
    let wanted = try require("sha256sum < /tmp/file")
    return try eventually(.seconds(20), every: .milliseconds(200)) { try other.run("cat /tmp/sum").output == wanted }
  }
}
