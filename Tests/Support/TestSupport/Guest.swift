// Linux guests in QEMU, on sockets or taps of a switch: booted in seconds, asked to run commands, migrated. They use KVM
// where the processor shows it, else emulation. Thread: one at a time. Ended by the lab that made them.

import Foundation
import Glibc

/// A running guest.
package final class Guest {
  /// One virtio-net device.
  package struct Device {
    /// The vhost-user socket; empty for a tap.
    package var socket = ""
    /// QEMU listens on the socket, and the switch connects.
    package var isServer = true
    package var tap = ""
    package var queuePairs = 1
    package var isPacked = false
    package var hasMergeableBuffers = true
    /// 0 leaves it out.
    package var mtu = 0
    package var address = ""
    /// Further properties of virtio-net-pci.
    package var properties: [String: String] = [:]
    package init() {}
  }

  package let name: String
  private let directory: String
  private let command: BackgroundCommand
  private var control: Int32 = -1
  private var pending: [UInt8] = []
  /// Waits for a migration; it takes commands only after that.
  private let isIncoming: Bool

  /// Whether guests run on the processor itself. A `/dev/kvm` without the processor's flag emulates most instructions, slower
  /// than QEMU's own emulation.
  package static var hasKVM: Bool {
    let processor = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
    let flags = Set(processor.split(whereSeparator: \.isWhitespace))
    return unsafe access("/dev/kvm", W_OK) == 0 && (flags.contains("vmx") || flags.contains("svm"))
  }

  /// Kernel and initramfs, built once.
  private static let image: Result<String, any Error> = Result {
    let script = "\(TestEnvironment.sourceDirectory)/Tests/Support/GuestImage/build.sh"
    return try TestSupport.require([script], deadline: .seconds(300)).trimmingCharacters(in: .whitespacesAndNewlines)
  }

  fileprivate init(
    _ name: String, _ devices: [Device], directory: String, net: String, gateway: String, isRouter: Bool,
    isIncoming: Bool, processors: Int, hasIOMMU: Bool, namespace: String?
  ) throws {
    self.name = name
    self.directory = directory
    self.isIncoming = isIncoming
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    let image = try Self.image.get()
    var kernel =
      "console=ttyS0 quiet panic=-1 nokaslr mitigations=off cryptomgr.notests tsc=reliable no_timer_check "
      + "random.trust_cpu=on rcupdate.rcu_expedited=1 8250.nr_uarts=2 net.ifnames=0 rdinit=/init"
    if !net.isEmpty { kernel += " net=\(net)" }
    if !gateway.isEmpty { kernel += " gw=\(gateway)" }
    if isRouter { kernel += " fwd=1" }
    if hasIOMMU { kernel += " intel_iommu=on" }
    let machine = hasIOMMU ? (Self.hasKVM ? "q35,kernel-irqchip=split" : "q35") : "pc"
    let emulation = "tcg,tb-size=64" + (processors > 1 ? ",thread=multi" : "")
    var arguments = namespace.map { ["ip", "netns", "exec", $0] } ?? []
    arguments += [
      "qemu-system-x86_64", "-name", name, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
      "-machine", "\(machine),memory-backend=ram", "-accel", Self.hasKVM ? "kvm" : emulation, "-cpu",
      Self.hasKVM ? "host" : "qemu64", "-smp", "\(processors)", "-m", "128",
      "-object", "memory-backend-memfd,id=ram,size=128M,share=on", "-kernel", "\(image)/vmlinuz",
      "-initrd", "\(image)/initramfs", "-append", kernel, "-serial", "file:\(directory)/console.log",
      "-serial", "unix:\(directory)/ctl,server=on,wait=off", "-qmp", "unix:\(directory)/qmp,server=on,wait=off",
    ]
    // `device-iotlb=on`, and `ats=on` with devices behind root ports, which alone have ATS: else Linux flushes the whole domain for
    // pages that it takes away, and QEMU before 8.0 tells a back-end nothing of that.
    if hasIOMMU { arguments += ["-device", "intel-iommu,intremap=on,device-iotlb=on"] }
    for (index, device) in devices.enumerated() {
      if device.socket.isEmpty {
        arguments += ["-netdev", "tap,id=n\(index),ifname=\(device.tap),script=no,downscript=no,vhost=off"]
      } else {
        let how = device.isServer ? "server=on,wait=off" : "reconnect=1"
        arguments += [
          "-chardev", "socket,id=c\(index),path=\(device.socket),\(how)",
          "-netdev", "vhost-user,id=n\(index),chardev=c\(index),queues=\(device.queuePairs)",
        ]
      }
      let address =
        device.address.isEmpty
        ? String(
          format: "52:54:%02x:%02x:%02x:%02x", name.utf8.reduce(0) { ($0 &* 31 &+ Int($1)) & 0xff },
          Int(getpid() >> 8) & 0xff, Int(getpid()) & 0xff, index) : device.address
      var properties = [
        "id": "nic\(index)", "netdev": "n\(index)", "mac": address, "romfile": "",
        "packed": device.isPacked ? "on" : "off", "mrg_rxbuf": device.hasMergeableBuffers ? "on" : "off",
      ]
      if hasIOMMU {
        properties["iommu_platform"] = "on"
        properties["disable-legacy"] = "on"
        properties["ats"] = "on"
        properties["bus"] = "port\(index)"
        arguments += ["-device", "pcie-root-port,id=port\(index),chassis=\(index + 1),slot=\(index + 1)"]
      }
      if device.mtu > 0 { properties["host_mtu"] = "\(device.mtu)" }
      if device.queuePairs > 1 {
        properties["mq"] = "on"
        properties["vectors"] = "\(2 * device.queuePairs + 2)"
      }
      // QEMU 7.2 crashes on vhost-user with MSI-X under emulation; INTx works.
      if !device.socket.isEmpty, !Self.hasKVM { properties["vectors"] = "0" }
      properties.merge(device.properties) { $1 }
      arguments += [
        "-device",
        "virtio-net-pci," + properties.sorted { $0.key < $1.key }.map { "\($0)=\($1)" }.joined(separator: ","),
      ]
    }
    if isIncoming { arguments += ["-incoming", "defer"] }
    command = try BackgroundCommand(arguments)
    // At once: what the guest says to no listener is lost.
    if !isIncoming { control = try connect("ctl") }
  }

  deinit { stop() }

  /// Ends the guest as a power failure would.
  package func stop() {
    command.kill9()
    if control >= 0 { close(control) }
    control = -1
  }

  package var isRunning: Bool { command.isRunning }

  private func connect(_ file: String) throws -> Int32 {
    var found: Int32 = -1
    let isThere = try eventually(.seconds(30)) {
      guard command.isRunning else {
        throw TestFailure("\(name): QEMU ended\n\(command.errorOutput)\(command.output)")
      }
      let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
      if unixConnect(descriptor, "\(directory)/\(file)") {
        found = descriptor
        return true
      }
      close(descriptor)
      return false
    }
    guard isThere else { throw TestFailure("\(name): no \(file)") }
    return found
  }

  /// Waits until the guest takes commands. One whose QEMU listens boots once the switch has connected.
  package func waitUntilReady(_ deadline: Duration = .seconds(90)) throws {
    let text = try until(deadline)
    guard text.hasSuffix("ready") else { throw TestFailure("\(name): \(text)") }
  }

  /// Runs one line of shell in the guest; what stays in the background has to redirect its output.
  @discardableResult
  package func run(_ line: String, deadline: Duration = .seconds(60)) throws -> CommandResult {
    try begin(line)
    return try end(deadline)
  }

  /// Runs a line that has to succeed.
  @discardableResult
  package func require(_ line: String, deadline: Duration = .seconds(60)) throws -> String {
    let result = try run(line, deadline: deadline)
    guard result.isSuccess else {
      // Why a program that is there does not run, or packets are lost, its kernel knows best.
      let question = "free; dmesg | tail -n 8; grep -E 'Icmp:|Udp:|Tcp:' /proc/net/snmp; cat /proc/tty/driver/serial"
      let state = (try? run(question, deadline: .seconds(10)).output) ?? ""
      throw TestFailure("\(name): \(line): exit code \(result.status)\n\(result.output)\n\(state)")
    }
    return result.output
  }

  /// Starts a line without waiting for it, so that two guests work at a time.
  package func begin(_ line: String) throws {
    let bytes = Array((line + "\n").utf8)
    guard
      unsafe bytes.withUnsafeBytes({ unsafe send(control, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) })
        == bytes.count
    else { throw TestFailure("\(name): its console is gone") }
  }

  package func end(_ deadline: Duration = .seconds(60)) throws -> CommandResult {
    let output = try until(deadline)
    return CommandResult(status: Int32(try until(.seconds(10))) ?? -1, output: output, errorOutput: "")
  }

  /// What comes up to the next separator.
  private func until(_ deadline: Duration) throws -> String {
    let limit = ContinuousClock.now + deadline
    while true {
      if let index = pending.firstIndex(of: 0x1e) {
        let text = String(decoding: pending[..<index], as: UTF8.self)
        pending.removeFirst(index + 1)
        return text
      }
      guard command.isRunning, ContinuousClock.now < limit else {
        let console = (try? String(contentsOfFile: "\(directory)/console.log", encoding: .utf8)) ?? ""
        throw TestFailure(
          "\(name): no answer; so far: \(String(decoding: pending.suffix(400), as: UTF8.self))\n"
            + "\(console.suffix(800))\n\(command.errorOutput)")
      }
      pending += receive(control, milliseconds: 200)
    }
  }

  private func receive(_ descriptor: Int32, milliseconds: Int32) -> [UInt8] {
    var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    guard unsafe Glibc.poll(&poll, 1, milliseconds) > 0 else { return [] }
    var buffer = [UInt8](repeating: 0, count: 65536)
    let count = unsafe buffer.withUnsafeMutableBytes { unsafe recv(descriptor, $0.baseAddress, $0.count, 0) }
    return Array(buffer.prefix(max(count, 0)))
  }

  // MARK: - QEMU's monitor

  private lazy var monitor: Result<UnixClientLines, any Error> = Result {
    let lines = UnixClientLines(try connect("qmp"))
    _ = try lines.next()
    _ = try lines.execute("qmp_capabilities", [:])
    return lines
  }

  /// Asks QEMU's monitor.
  @discardableResult
  package func monitor(_ name: String, _ arguments: [String: Any] = [:]) throws -> Any {
    try monitor.get().execute(name, arguments)
  }

  /// Moves the guest, running, into `target`, which has the same devices and waits.
  /// - Returns: milliseconds in which neither ran.
  package func migrate(to target: Guest) throws -> Int {
    let address = "unix:\(target.directory)/migration"
    try target.monitor("migrate-incoming", ["uri": address])
    try monitor("migrate", ["uri": address])
    var downtime = 0
    let isDone = try eventually(.seconds(60)) {
      let state = try monitor("query-migrate") as? [String: Any]
      guard state?["status"] as? String != "failed" else { throw TestFailure("migration failed: \(state ?? [:])") }
      downtime = state?["downtime"] as? Int ?? 0
      return state?["status"] as? String == "completed"
    }
    guard isDone else { throw TestFailure("the migration does not end") }
    _ = try eventually(.seconds(10)) {
      (try target.monitor("query-status") as? [String: Any])?["running"] as? Bool == true
    }
    target.control = try target.connect("ctl")
    return downtime
  }
}

/// JSON objects by lines on a socket.
private final class UnixClientLines {
  private let descriptor: Int32
  private var pending: [UInt8] = []

  init(_ descriptor: Int32) { self.descriptor = descriptor }
  deinit { close(descriptor) }

  func next() throws -> [String: Any] {
    let limit = ContinuousClock.now + .seconds(60)
    while ContinuousClock.now < limit {
      if let index = pending.firstIndex(of: UInt8(ascii: "\n")) {
        let line = Data(pending[..<index])
        pending.removeFirst(index + 1)
        return try JSONSerialization.jsonObject(with: line) as? [String: Any] ?? [:]
      }
      var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      guard unsafe Glibc.poll(&poll, 1, 1000) > 0 else { continue }
      var buffer = [UInt8](repeating: 0, count: 65536)
      let count = unsafe buffer.withUnsafeMutableBytes { unsafe recv(descriptor, $0.baseAddress, $0.count, 0) }
      guard count > 0 else { throw TestFailure("QEMU's monitor is gone") }
      pending += buffer.prefix(count)
    }
    throw TestFailure("QEMU's monitor does not answer")
  }

  func execute(_ name: String, _ arguments: [String: Any]) throws -> Any {
    let bytes = [UInt8](try JSONSerialization.data(withJSONObject: ["execute": name, "arguments": arguments])) + [10]
    _ = unsafe bytes.withUnsafeBytes { unsafe send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
    while true {
      let object = try next()
      if let result = object["return"] { return result }
      if let error = object["error"] { throw TestFailure("\(name): \(error)") }
    }
  }
}

private func unixConnect(_ descriptor: Int32, _ path: String) -> Bool {
  var address = [UInt8](repeating: 0, count: 110)
  address[0] = UInt8(AF_UNIX)
  address.replaceSubrange(2..<2 + min(path.utf8.count, 107), with: Array(path.utf8.prefix(107)))
  return unsafe address.withUnsafeBytes { bytes in
    guard let base = bytes.baseAddress else { return false }
    return unsafe connect(descriptor, base.assumingMemoryBound(to: sockaddr.self), socklen_t(bytes.count)) == 0
  }
}

extension Lab {
  /// Starts a guest; `waitUntilReady` waits for it.
  /// - Parameters:
  ///   - net: addresses by device, "eth0:10.0.0.1/24,eth0.10:10.0.10.1/24".
  ///   - hasIOMMU: its devices are behind a virtual IOMMU, which its kernel uses.
  ///   - namespace: where its taps are.
  package func guest(
    _ name: String, _ devices: [Guest.Device], net: String = "", gateway: String = "", isRouter: Bool = false,
    isIncoming: Bool = false, processors: Int = 1, hasIOMMU: Bool = false, namespace: String? = nil
  ) throws -> Guest {
    let guest = try Guest(
      name, devices, directory: "\(directory)/\(name)", net: net, gateway: gateway, isRouter: isRouter,
      isIncoming: isIncoming, processors: processors, hasIOMMU: hasIOMMU, namespace: namespace)
    keep { guest.stop() }
    return guest
  }
}
