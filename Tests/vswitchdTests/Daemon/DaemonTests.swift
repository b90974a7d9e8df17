import Foundation
import Glibc
import TestSupport
import Testing

@testable import vswitchd

@Suite(.blocking, .enabled(if: canRunDaemon, "needs root and ovs-vsctl"), .serialized)
struct DaemonTests {
  @Test func openVSwitchsToolsFindWhatTheyExpect() throws {
    let directory = try TemporaryDirectory()
    let daemon = try RunningDaemon(directory.path + "/run")
    #expect(try daemon.vsctl("add-br", "br0").status == 0)
    #expect(try daemon.vsctl("add-port", "br0", "t1", "tag=10", "--", "set", "interface", "t1", "type=tap").status == 0)
    #expect(try daemon.vsctl("get", "interface", "t1", "ofport").output == "1\n")
    #expect(try daemon.vsctl("get", "interface", "br0", "ofport").output == "65534\n")
    let show = try daemon.vsctl("show").output
    for part in ["Bridge br0", "Port t1", "tag: 10", "type: tap", "ovs_version: "] { #expect(show.contains(part)) }
    #expect(try daemon.appctl("version").output == "vswitchd \(Version.program)\n")
    let refused = try daemon.appctl("fdb/show", "nosuch")
    #expect(refused.status == 2)
    #expect(refused.errors.hasPrefix("no such bridge\n"))
    let standard = try runProgram(["ovs-appctl", "version"], environment: ["OVS_RUNDIR": daemon.runDirectory])
    #expect(standard.output == "vswitchd \(Version.program)\n", "the default target of ovs-appctl works too")
  }

  @Test func failedPortIsReportedAndTheRestWorks() throws {
    let directory = try TemporaryDirectory()
    let daemon = try RunningDaemon(directory.path + "/run")
    let result = try daemon.vsctl(
      "add-br", "br0", "--", "add-port", "br0", "nosuch1", "--", "add-port", "br0", "t1", "--", "set", "interface",
      "t1",
      "type=tap")
    #expect(result.status == 0)
    #expect(result.errors.contains("could not open network device nosuch1 (No such device)"))
    #expect(try daemon.vsctl("get", "interface", "nosuch1", "ofport").output == "-1\n")
    #expect(try daemon.vsctl("get", "interface", "t1", "error").output == "[]\n")
  }

  @Test(arguments: [SIGTERM, SIGINT])
  func signalEndsCleanly(_ signal: Int32) throws {
    let directory = try TemporaryDirectory()
    let daemon = try RunningDaemon(directory.path + "/run")
    try daemon.vsctl("add-br", "br0")
    daemon.send(signal)
    #expect(daemon.wait() == 0)
    let left = try FileManager.default.contentsOfDirectory(atPath: daemon.runDirectory)
    #expect(left.sorted() == ["pcap", "vswitch.sqlite"])
  }

  @Test func exitCommandEndsCleanly() throws {
    let directory = try TemporaryDirectory()
    let daemon = try RunningDaemon(directory.path + "/run")
    #expect(try daemon.appctl("exit").status == 0)
    #expect(daemon.wait() == 0)
  }

  @Test func secondDaemonSaysWhoHoldsTheRunDir() throws {
    let directory = try TemporaryDirectory()
    let daemon = try RunningDaemon(directory.path + "/run")
    let second = try runProgram([RunningDaemon.executable, "--run-dir", daemon.runDirectory])
    #expect(second.status == 1)
    #expect(second.errors.contains("(pid \(daemon.processID))"))
    #expect(second.errors.split(separator: "\n").count == 1)
    #expect(try daemon.vsctl("show").status == 0, "the first one is not disturbed")
  }

  @Test func logFileIsOpenedAnewOnHangup() throws {
    let directory = try TemporaryDirectory()
    let log = directory.path + "/log"
    let daemon = try RunningDaemon(directory.path + "/run", arguments: ["--log-file", log])
    try FileManager.default.moveItem(atPath: log, toPath: log + ".1")
    daemon.send(SIGHUP)
    for _ in 0..<400 where !FileManager.default.fileExists(atPath: log) { usleep(5000) }
    try daemon.vsctl("add-br", "br0", "--", "add-port", "br0", "nosuch1")
    let text = try String(contentsOfFile: log, encoding: .utf8)
    #expect(text.contains("log opened anew"))
    #expect(text.contains("port=nosuch1"))
    #expect(text.contains("bridge=br0"))
    let mode = try FileManager.default.attributesOfItem(atPath: log)[.posixPermissions] as? Int
    #expect(mode == 0o600)
  }

  @Test func hostileNamesCannotForgeLogLines() throws {
    let directory = try TemporaryDirectory()
    let daemon = try RunningDaemon(directory.path + "/run")
    try daemon.vsctl("add-br", "br0", "--", "add-port", "br0", "x\n2026 INFO forged: \u{1b}[2J")
    #expect(daemon.log.contains("\\n2026 INFO forged: \\u{1b}[2J"))
    #expect(!daemon.log.contains("\u{1b}"))
    #expect(!daemon.log.split(separator: "\n").contains { $0.hasPrefix("2026 INFO forged") })
  }

  @Test func readinessIsToldToTheServiceManager() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/notify"
    let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
    try #require(descriptor >= 0)
    defer { close(descriptor) }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: path.utf8) }
    let bound = unsafe withUnsafePointer(to: &address) {
      unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    try #require(bound == 0)
    let daemon = try RunningDaemon(directory.path + "/run", environment: ["NOTIFY_SOCKET": path])
    var buffer = [UInt8](repeating: 0, count: 256)
    let count = unsafe recv(descriptor, &buffer, buffer.count, 0)
    #expect(String(decoding: buffer.prefix(max(0, count)), as: UTF8.self) == "READY=1\nMAINPID=\(daemon.processID)")
  }

  @Test func runningDaemonHasOnlyThePrivilegesItNeeds() throws {
    let directory = try TemporaryDirectory()
    let daemon = try RunningDaemon(directory.path + "/run")
    try daemon.vsctl("add-br", "br0")
    let tasks = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(daemon.processID)/task")
    #expect(tasks.count > 1)
    for task in tasks {
      let status = try String(contentsOfFile: "/proc/\(daemon.processID)/task/\(task)/status", encoding: .utf8)
      // CAP_NET_ADMIN, CAP_NET_RAW.
      for set in ["CapPrm", "CapEff", "CapBnd"] { #expect(status.contains("\(set):\t0000000000003000\n")) }
      #expect(status.contains("CapInh:\t0000000000000000\n"))
      #expect(status.contains("NoNewPrivs:\t1\n"))
      #expect(status.contains("Seccomp:\t2\n"))
    }
  }

  @Test func theProcessThatEntersNamespacesHasNothingElse() throws {
    let directory = try TemporaryDirectory()
    let daemon = try RunningDaemon(directory.path + "/run")
    let children = try String(
      contentsOfFile: "/proc/\(daemon.processID)/task/\(daemon.processID)/children", encoding: .utf8
    ).split(separator: " ")
    try #require(children.count == 1)
    let status = try String(contentsOfFile: "/proc/\(children[0])/status", encoding: .utf8)
    #expect(status.hasPrefix("Name:\tvswitch-netns\n"))
    // CAP_NET_ADMIN, CAP_SYS_ADMIN.
    for set in ["CapPrm", "CapEff", "CapBnd"] { #expect(status.contains("\(set):\t0000000000201000\n")) }
    #expect(status.contains("CapInh:\t0000000000000000\n"))
    #expect(status.contains("NoNewPrivs:\t1\n"))
    #expect(status.contains("Seccomp:\t2\n"))
    // Nothing of the daemon's: nowhere, its socket, its own namespace.
    #expect(try FileManager.default.contentsOfDirectory(atPath: "/proc/\(children[0])/fd").count == 5)
    // It does not outlive the daemon.
    daemon.send(SIGKILL)
    daemon.wait()
    #expect(eventually { !FileManager.default.fileExists(atPath: "/proc/\(children[0])") })
  }

  @Test func filesAndSocketsAreForTheirOwnerOnly() throws {
    let directory = try TemporaryDirectory()
    let daemon = try RunningDaemon(directory.path + "/run")
    let path = daemon.runDirectory
    #expect(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int == 0o700)
    for name in try FileManager.default.contentsOfDirectory(atPath: path) {
      let attributes = try FileManager.default.attributesOfItem(atPath: path + "/" + name)
      switch attributes[.type] as? FileAttributeType {
      case .typeSymbolicLink: continue
      case .typeDirectory: #expect(attributes[.posixPermissions] as? Int == 0o700, "\(name)")
      default: #expect(attributes[.posixPermissions] as? Int == 0o600, "\(name)")
      }
    }
  }
}
