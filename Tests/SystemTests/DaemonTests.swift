// The daemon as a citizen of the machine: it restarts as it was, guards its run dir, idles quietly, and refuses what is
// wrong in one line.

import Foundation
import Glibc
import TestSupport
import Testing

@Suite(.blocking, .enabled(if: TestEnvironment.canUseNamespaces, "needs root"))
struct DaemonTests {
  @Test func afterKill9TheNextStartRestoresTheConfiguration() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0 -- set bridge br0 other_config:mac-aging-time=60")
      let a = try daemon.host("a", "tag=10", addresses: ["10.1.0.1/24"])
      let b = try daemon.host("b", "tag=10", addresses: ["10.1.0.2/24"])
      try daemon.configure("add-port br0 t trunks=10,20 vlan_mode=native-untagged tag=10 -- set interface t type=tap")
      #expect(try lab.canPing("10.1.0.2", from: a))
      func columns() throws -> String {
        try daemon.configure("list-ports br0") + daemon.configure("get port t trunks tag vlan_mode")
          + daemon.configure("get bridge br0 other_config") + daemon.configure("get interface a type options")
      }
      let before = try columns()
      for _ in 0..<2 {
        daemon.kill9()
        #expect(!daemon.isRunning)
        try daemon.start()
        #expect(try columns() == before)
        // The taps are made anew, once the kernel has taken the killed daemon's away: addresses are the hosts' to give.
        let isMended = eventually(.seconds(15)) {
          for (link, host, address) in [("a", a, "10.1.0.1/24"), ("b", b, "10.1.0.2/24")] {
            _ = try? lab.attempt(["ip", "-n", host, "address", "replace", address, "dev", link])
            _ = try? lab.attempt(["ip", "-n", host, "link", "set", "dev", link, "up"])
          }
          return (try? lab.canPing("10.1.0.2", from: a, count: 1)) == true
        }
        #expect(isMended, "\(daemon.log)")
      }
    }
  }

  @Test func sigtermEndsCleanly() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0")
      _ = try daemon.host("a")
      #expect(daemon.stop() == 0, "\(daemon.log)")
      #expect(!FileManager.default.fileExists(atPath: "\(daemon.runDirectory)/db.sock"))
      try daemon.start()
      #expect(try daemon.configure("list-ports br0") == "a\n")
    }
  }

  @Test func aSecondDaemonOnTheSameRunDirSaysWhoHoldsIt() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      let second = try daemon.startSecond()
      #expect(second.status != 0)
      #expect(second.errorOutput.split(separator: "\n").count == 1, "\(second.errorOutput)")
      #expect(second.errorOutput.contains("\(daemon.processID ?? 0)"), "\(second.errorOutput)")
      #expect(try daemon.vsctl("show").isSuccess)
    }
  }

  @Test func openVSwitchsOwnToolsWork() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0")
      let adding = try daemon.ovsVsctl(
        "add-port", "br0", "x", "tag=10", "--", "set", "interface", "x", "type=tap")
      #expect(adding.isSuccess, "\(adding.errorOutput)")
      let show = try daemon.ovsVsctl("show")
      #expect(show.isSuccess)
      #expect(show.output.contains("Port x") && show.output.contains("tag: 10"), "\(show.output)")
      #expect(try daemon.ovsVsctl("list-ports", "br0").output == "x\n")
      #expect(try daemon.configure("list-ports br0") == "x\n")
      #expect(try lab.attempt(["ip", "-n", daemon.namespace, "link", "show", "dev", "x"]).isSuccess)

      let pid = daemon.processID ?? 0
      let sockets = try FileManager.default.contentsOfDirectory(atPath: daemon.runDirectory).filter {
        $0.hasSuffix(".ctl")
      }
      #expect(sockets.contains("ovs-vswitchd.\(pid).ctl"), "\(sockets)")
      guard let socket = sockets.first else { return }
      let fdb = try runCommand(["ovs-appctl", "-t", "\(daemon.runDirectory)/\(socket)", "fdb/show", "br0"])
      #expect(fdb.isSuccess, "\(fdb.errorOutput)")
      #expect(fdb.output.contains("MAC"))
      let wrong = try runCommand(["ovs-appctl", "-t", "\(daemon.runDirectory)/\(socket)", "no/such"])
      #expect(!wrong.isSuccess)
    }
  }

  /// Command lines that are wrong, one each.
  static let wrong: [[String]] = [
    ["frobnicate"],
    ["add-br"],
    ["add-br", "br0"],
    ["add-port", "nobr", "x"],
    ["add-port", "br0", "h"],
    ["add-port", "br0", "x", "--", "set", "interface", "x", "type=nosuch"],
    ["add-port", "br0", "x", "tag=4096"],
    ["add-port", "br0", "x", "colour=red"],
    ["set", "port", "h", "tag=4096"],
    ["set", "port", "h", "tag=ten"],
    ["set", "port", "h", "trunks=1,2,99999"],
    ["set", "port", "h", "vlan_mode=purple"],
    ["set", "port", "h", "nosuch=1"],
    ["set", "port", "nosuch", "tag=1"],
    ["set", "nosuch", "h", "tag=1"],
    ["del-br", "nobr"],
    ["del-port", "br0", "nosuch"],
    ["get", "interface", "nosuch", "type"],
    ["get", "interface", "h", "nosuch"],
    ["list", "nosuch"],
    ["port-to-br", "nosuch"],
    ["fdb", "show", "nobr"],
    ["fdb", "add", "br0", "h", "4096", "02:00:00:00:00:01"],
    ["fdb", "add", "br0", "h", "1", "02:00:00:00:00"],
    ["fdb", "add", "br0", "nosuch", "1", "02:00:00:00:00:01"],
    ["add-br", "br1", "--", "add-port", "nobr", "y"],
    ["add-port", "br0", "z", "--", "set", "port", "z", "tag=1", "--", "set", "interface", "z", "type=nosuch"],
  ]

  @Test func wrongCommandsAreRefusedInOneLineAndChangeNothing() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0")
      _ = try daemon.host("h", "tag=10")
      let before = try daemon.configure("show") + daemon.configure("get port h tag trunks vlan_mode")
      for arguments in Self.wrong {
        let result = try daemon.vsctl(arguments)
        let what = "vsctl \(arguments.joined(separator: " ")): \(result)"
        #expect(result.status != 0, "\(what)")
        #expect(result.output.isEmpty, "\(what)")
        #expect(result.errorOutput.split(separator: "\n").count == 1, "\(what)")
        #expect(!result.errorOutput.contains("log"), "\(what)")
        let after = try daemon.configure("show") + daemon.configure("get port h tag trunks vlan_mode")
        #expect(after == before, "\(what)")
        if after != before { return }
      }
    }
  }

  @Test func vsctlWithoutADaemonSaysSo() throws {
    try withLab { lab throws in
      let result = try runCommand(
        ["\(TestEnvironment.programDirectory)/vsctl", "--run-dir", "\(lab.directory)/none", "show"])
      #expect(result.status != 0)
      #expect(result.errorOutput.split(separator: "\n").count == 1, "\(result.errorOutput)")
      #expect(result.errorOutput.contains("vswitchd"), "\(result.errorOutput)")
    }
  }

  /// Starts a daemon that must refuse.
  /// - Returns: its one line.
  private func refusal(_ lab: Lab, _ arguments: [String], user: String? = nil) throws -> String {
    let program = "\(TestEnvironment.programDirectory)/vswitchd"
    let command = (user.map { ["setpriv", "--reuid=\($0)", "--regid=nogroup", "--clear-groups"] } ?? []) + [program]
    let result = try runCommand(command + arguments, deadline: .seconds(10))
    #expect(result.status != 0, "\(arguments)")
    let lines = result.errorOutput.split(separator: "\n")
    #expect(lines.count == 1, "\(result.errorOutput)")
    return result.errorOutput
  }

  @Test func aDaemonThatCannotStartSaysWhyInOneLine() throws {
    try withLab { lab throws in
      // A run dir that cannot be made, and one that belongs to another user.
      _ = try refusal(lab, ["--run-dir", "/proc/nosuch"])
      unsafe chmod(lab.directory, 0o755)
      _ = try refusal(lab, ["--run-dir", "\(lab.directory)/denied"], user: "nobody")
      #expect(!FileManager.default.fileExists(atPath: "\(lab.directory)/denied"))
      _ = try refusal(lab, ["--log-level", "loud", "--run-dir", "\(lab.directory)/r"])
      _ = try refusal(lab, ["--run-dir", ""])
    }
  }

  @Test func aStoreOfALaterVersionIsLeftAlone() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0")
      #expect(daemon.stop() == 0)
      let file = "\(daemon.runDirectory)/vswitch.sqlite"
      var bytes = [UInt8](FileManager.default.contents(atPath: file) ?? Data())
      guard bytes.count > 100 else { throw TestFailure("no store at \(file)") }
      // PRAGMA user_version stands at offset 60 of SQLite's header.
      bytes.replaceSubrange(60..<64, with: UInt32(9999).octets)
      try Data(bytes).write(to: URL(fileURLWithPath: file))
      let line = try refusal(lab, ["--run-dir", daemon.runDirectory])
      #expect(line.contains("version") || line.contains("later") || line.contains("newer"), "\(line)")
      #expect([UInt8](FileManager.default.contents(atPath: file) ?? Data()) == bytes)
    }
  }

  @Test func aFullDiskRefusesTheChangeAndKeepsTheRest() throws {
    try withLab { lab throws in
      let disk = "\(lab.directory)/disk"
      try FileManager.default.createDirectory(atPath: disk, withIntermediateDirectories: true)
      try lab.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "tmpfs", disk])
      defer { _ = try? lab.run(["umount", "-l", disk]) }
      let daemon = try lab.daemon(arguments: ["--store", "\(disk)/store.sqlite"])
      try daemon.configure("add-br br0")
      let a = try daemon.host("a", addresses: ["10.1.0.1/24"])
      _ = try daemon.host("b", addresses: ["10.1.0.2/24"])
      _ = try lab.attempt(["dd", "if=/dev/zero", "of=\(disk)/fill", "bs=4k"])
      var result = try daemon.vsctl("show")
      // The store may have a little room left in its files.
      for number in 0..<200 where result.isSuccess {
        let long = String(repeating: "x", count: 20_000)
        result = try daemon.vsctl("set", "bridge", "br0", "external_ids:k\(number)=\(long)")
      }
      #expect(!result.isSuccess)
      #expect(result.errorOutput.split(separator: "\n").count == 1, "\(result.errorOutput)")
      #expect(try lab.canPing("10.1.0.2", from: a))
      #expect(try daemon.configure("list-ports br0") == "a\nb\n")
      try FileManager.default.removeItem(atPath: "\(disk)/fill")
      try daemon.configure("set port a tag=7")
      #expect(try daemon.configure("get port a tag") == "7\n")
    }
  }

  @Test func theSocketsAreTheOwnersAlone() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      for name in try FileManager.default.contentsOfDirectory(atPath: daemon.runDirectory) {
        var status = stat()
        #expect(unsafe lstat("\(daemon.runDirectory)/\(name)", &status) == 0)
        let isLink = status.st_mode & S_IFMT == S_IFLNK
        if !isLink { #expect(status.st_mode & 0o077 == 0, "\(name): \(String(status.st_mode, radix: 8))") }
      }
    }
  }

  @Test func theDaemonHasOnlyThePrivilegesItNeeds() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      let status = try String(contentsOfFile: "/proc/\(daemon.processID ?? 0)/status", encoding: .utf8)
      #expect(status.contains("NoNewPrivs:\t1"))
      #expect(status.contains("Seccomp:\t2"))
      let line = status.split(separator: "\n").first { $0.hasPrefix("CapEff:") } ?? ""
      let effective = UInt64(line.split(separator: "\t").last ?? "", radix: 16) ?? .max
      // CAP_NET_ADMIN, CAP_NET_RAW only.
      let allowed: UInt64 = 1 << 12 | 1 << 13
      #expect(effective & ~allowed == 0, "\(line)")
    }
  }

  /// As pasta and passt do: an administrator makes the taps and gives them to a user, whose switch joins them.
  @Test func withoutAnyPrivilegeTapsOfTheUserAreBridged() throws {
    try withLab { lab throws in
      let user: uid_t = 65534
      let daemon = try lab.daemon(user: user)
      for name in ["br0", "a", "b"] {
        try lab.run([
          "ip", "-n", daemon.namespace, "tuntap", "add", "dev", name, "mode", "tap", "user", "\(user)", "vnet_hdr",
        ])
      }
      try daemon.configure("add-br br0 -- add-port br0 a -- add-port br0 b")
      let hosts = try ["a", "b"].map { try lab.namespace($0) }
      for (name, host, address) in [("a", hosts[0], "10.1.0.1/24"), ("b", hosts[1], "10.1.0.2/24")] {
        try lab.run(["ip", "-n", daemon.namespace, "link", "set", "dev", name, "netns", host])
        try lab.giveAddresses([address], to: name, in: host)
      }
      #expect(try lab.canPing("10.1.0.2", from: hosts[0]), "\(daemon.log)")
      #expect(
        try daemon.vsctl("add-port", "br0", "guest", "--", "set", "interface", "guest", "type=vhostuser").errorOutput
          == "")
      // What needs more says so.
      let refused = try daemon.vsctl("add-port", "br0", "c", "--", "set", "interface", "c", "type=tap")
      #expect(refused.errorOutput.contains("CAP_NET_ADMIN"), "\(refused)")
      #expect(daemon.log.contains("CAP_NET_ADMIN is missing"))
    }
  }

  @Test(.enabled(if: TestEnvironment.hasReleaseBuild, "limits of the release build: make system-test-release"))
  func idleWithFourPortsItSleepsAndIsSmall() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0")
      for name in ["a", "b", "c", "d"] { _ = try daemon.host(name, addresses: ["10.1.0.\(name.utf8.first ?? 1)/24"]) }
      pauseThread(.seconds(4))
      let process = daemon.processID ?? 0
      // By thread, for one that ends takes its count along.
      func wakeUps() throws -> [String: Int] {
        var counts: [String: Int] = [:]
        for thread in try FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/task") {
          let text = try String(contentsOfFile: "/proc/\(process)/task/\(thread)/status", encoding: .utf8)
          for line in text.split(separator: "\n") where line.contains("ctxt_switches") {
            counts[thread, default: 0] += Int(line.split(separator: "\t").last ?? "") ?? 0
          }
        }
        return counts
      }
      let before = try wakeUps()
      pauseThread(.seconds(10))
      let woken = try wakeUps().map { $0.value - before[$0.key, default: 0] }.reduce(0, +)
      let perSecond = Double(woken) / 10
      #expect(perSecond <= 7, "\(perSecond) wake-ups a second")
      let status = try String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
      let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") } ?? ""
      let kibibytes = Int(line.split(separator: " ").dropLast().last ?? "") ?? .max
      #expect(kibibytes <= 40 * 1024, "\(kibibytes / 1024) MiB resident")
    }
  }
}
