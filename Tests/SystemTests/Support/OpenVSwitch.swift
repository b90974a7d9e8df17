// A private Open vSwitch with ports in memory ("dummy"), as a judge of the reference switch: frames go in by a command,
// copies come out in capture files, and its clock stands still until it is moved. It touches no interface of the machine.
// Thread: one at a time.

import Foundation
import ReferenceSwitch
import TestSupport
import VSwitchCore

/// Open vSwitch as an oracle.
final class OpenVSwitch {
  static let daemonPath = "/usr/lib/openvswitch-switch/ovs-vswitchd"

  static var isInstalled: Bool {
    TestEnvironment.hasProgram("ovsdb-server") && TestEnvironment.hasProgram("ovs-vsctl")
      && FileManager.default.isExecutableFile(atPath: daemonPath)
  }

  private let directory: String
  private let server: BackgroundCommand
  private let daemon: BackgroundCommand
  private let control: UnixClient
  private var bridges: [String] = []
  private var ports: [(bridge: String, port: String)] = []
  private var generation = 0
  private var readOffsets: [String: Int] = [:]

  /// - Parameter directory: an empty one for its files.
  init(directory: String) throws {
    self.directory = directory
    let environment = [
      "OVS_RUNDIR": directory, "OVS_DBDIR": directory, "OVS_LOGDIR": directory, "OVS_SYSCONFDIR": directory,
    ]
    try require(
      ["ovsdb-tool", "create", "\(directory)/conf.db", "/usr/share/openvswitch/vswitch.ovsschema"],
      environment: environment)
    server = try BackgroundCommand(
      ["ovsdb-server", "\(directory)/conf.db", "--remote=punix:\(directory)/db.sock", "--unixctl=\(directory)/db.ctl"],
      environment: environment)
    guard eventually(.seconds(20), { Self.listens("\(directory)/db.sock") }) else {
      throw TestFailure("ovsdb-server did not start: \(server.errorOutput)")
    }
    try require(["ovs-vsctl", "--db=unix:\(directory)/db.sock", "--no-wait", "init"])
    daemon = try BackgroundCommand(
      [
        Self.daemonPath, "unix:\(directory)/db.sock", "--enable-dummy", "--unixctl=\(directory)/sw.ctl",
        "--disable-system",
      ], environment: environment)
    guard eventually(.seconds(20), { Self.listens("\(directory)/sw.ctl") }) else {
      throw TestFailure("ovs-vswitchd did not start: \(daemon.errorOutput)")
    }
    control = try UnixClient(path: "\(directory)/sw.ctl")
  }

  /// Whether somebody takes connections: a socket's file is there before that.
  private static func listens(_ path: String) -> Bool { (try? UnixClient(path: path)) != nil }

  deinit {
    daemon.kill9()
    server.kill9()
  }

  /// Brings it to a configuration, replacing what it had; its MAC tables are empty then.
  func apply(_ config: SwitchConfig) throws {
    generation += 1
    ports = []
    readOffsets = [:]
    if !bridges.isEmpty { try vsctl(bridges.flatMap { ["--", "del-br", $0] }) }
    bridges = config.bridges.map(\.name)
    var arguments = ["--", "set", "Open_vSwitch", ".", "other_config:vlan-limit=2"]
    for bridge in config.bridges {
      arguments += ["--", "add-br", bridge.name, "--", "set", "bridge", bridge.name, "datapath_type=dummy"]
      arguments += ["fail-mode=standalone", "other_config:mac-aging-time=\(bridge.macAgeingSeconds)"]
      arguments += ["other_config:mac-table-size=\(bridge.macTableLimit)"]
      arguments += ["other_config:forward-bpdu=\(bridge.forwardReservedMulticast)"]
      arguments += ["flood_vlans=\(Self.set(bridge.floodVLANs))"]
      for port in bridge.ports { arguments += ["--", "add-port", bridge.name, port.name] + columns(of: port) }
    }
    try vsctl(arguments)
    try control.call("time/stop", [])
  }

  /// A bridge with ports in memory of these names, whose OpenFlow numbers are 1, 2 and so on.
  /// - Parameter arguments: further commands of ovs-vsctl in the same transaction.
  func addBridge(_ bridge: String, ports names: [String], _ arguments: [String] = []) throws {
    bridges.append(bridge)
    var commands = ["--", "add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=dummy"]
    for (index, name) in names.enumerated() {
      ports.append((bridge, name))
      commands += ["--", "add-port", bridge, name, "--", "set", "interface", name, "type=dummy"]
      commands += ["ofport_request=\(index + 1)", "options:tx_pcap=\(capturePath(name))"]
    }
    try vsctl(commands + arguments)
  }

  /// Where it speaks OpenFlow of a bridge.
  func managementSocket(_ bridge: String) -> String { "\(directory)/\(bridge).mgmt" }

  /// A command of its control socket.
  @discardableResult
  func command(_ name: String, _ arguments: [String] = []) throws -> String {
    try control.call(name, arguments) as? String ?? ""
  }

  private func columns(of port: PortConfig) -> [String] {
    let vlan = port.vlan
    var columns = ["vlan_mode=\(vlan.mode.rawValue)", "protected=\(port.isProtected)"]
    if vlan.mode != .trunk { columns.append("tag=\(vlan.tag)") }
    if !vlan.trunks.isEmpty { columns.append("trunks=\(Self.set(vlan.trunks))") }
    if !vlan.customerVLANs.isEmpty { columns.append("cvlans=\(Self.set(vlan.customerVLANs))") }
    columns.append("other_config:priority-tags=\(vlan.priorityTags.rawValue)")
    columns.append("other_config:qinq-ethtype=\(vlan.serviceEtherType == 0x8100 ? "802.1q" : "802.1ad")")
    columns += ["--", "set", "interface", port.name]
    if port.interface.kind == .patch {
      return columns + ["type=patch", "options:peer=\(port.interface.options["peer"] ?? "")"]
    }
    ports.append((port.name.hasPrefix("p2") ? "br2" : "br1", port.name))
    return columns + ["type=dummy", "options:tx_pcap=\(capturePath(port.name))"]
  }

  private static func set(_ vlans: Set<UInt16>) -> String {
    "[\(vlans.sorted().map(String.init).joined(separator: ","))]"
  }

  private func capturePath(_ port: String) -> String { "\(directory)/\(port)-\(generation).pcap" }

  func vsctl(_ arguments: [String]) throws {
    try require(["ovs-vsctl", "--db=unix:\(directory)/db.sock", "--timeout=10"] + arguments)
  }

  /// One frame comes in.
  /// - Returns: the copies that left, in the reference's order.
  func receive(frame: [UInt8], port: String) throws -> [ReferenceSwitch.Output] {
    try control.call("netdev-dummy/receive", [port, frame.hexadecimal])
    // The frame is forwarded in one of the next turns of the main loop; each command waits for one. What was cached on its way is thrown away, so that each
    // frame is translated and learned from anew.
    for command in ["version", "version", "revalidator/purge", "revalidator/purge"] { try control.call(command, []) }
    let copies = try newFrames()
    if !copies.isEmpty { return copies }
    // None yet, or none at all.
    for _ in 0..<3 {
      pauseThread(.milliseconds(5))
      try control.call("version", [])
    }
    return try newFrames()
  }

  /// Copies that left since the last call.
  func newFrames() throws -> [ReferenceSwitch.Output] {
    try ports.flatMap { port in
      try newFrames(port.port).map { ReferenceSwitch.Output(bridge: port.bridge, port: port.port, frame: $0) }
    }.sorted()
  }

  /// What Open vSwitch says of a frame's way, for the message of a failure.
  func trace(frame: [UInt8], bridge: String, port: String) -> String {
    (try? control.call("ofproto/trace", [bridge, "in_port=\(port)", frame.hexadecimal])) as? String ?? ""
  }

  /// Lets time pass.
  func advance(seconds: Int) throws {
    if seconds == 0 { return }
    try control.call("time/warp", ["\(seconds * 1000)"])
    // Entries age in the next turns of the main loop.
    for _ in 0..<2 { try control.call("version", []) }
  }

  func addStatic(bridge: String, vlan: UInt16, address: MACAddress, port: String) throws {
    try control.call("fdb/add", [bridge, port, "\(vlan)", address.description])
  }

  /// Port name, VLAN and address of every entry, sorted; static ones included.
  func macTable(bridge: String) throws -> [String] {
    guard let text = try control.call("fdb/show", [bridge]) as? String else { return [] }
    return text.split(separator: "\n").dropFirst().map { line in
      line.split(separator: " ").dropFirst().prefix(2).joined(separator: " ")
    }.sorted()
  }

  private func newFrames(_ port: String) throws -> [[UInt8]] {
    guard let data = FileManager.default.contents(atPath: capturePath(port)) else { return [] }
    let bytes = [UInt8](data)
    var offset = readOffsets[port] ?? 24
    var frames: [[UInt8]] = []
    while offset + 16 <= bytes.count {
      let count = (0..<4).reduce(0) { $0 | Int(bytes[offset + 8 + $1]) << (8 * $1) }
      guard offset + 16 + count <= bytes.count else { break }
      frames.append(Array(bytes[offset + 16..<offset + 16 + count]))
      offset += 16 + count
    }
    readOffsets[port] = offset
    return frames
  }
}
