// Controllers that the database names: how the switch comes to them and they to it, what it does without them, what the
// rows of Controller then say.

import Foundation
import Glibc
import OpenFlow
import TestSupport
import Testing
import VSwitchCore

@Suite(.enabled(if: TestEnvironment.canUseNamespaces, "needs root"), .blocking)
struct ControllerTests {
  private func withBridge(_ body: (Lab, Daemon) throws -> Void) throws {
    try withLab { lab in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0")
      try body(lab, daemon)
    }
  }

  private func show(
    _ lab: Lab, _ daemon: Daemon, _ target: String, _ more: [String] = [], version: String = "OpenFlow13"
  )
    throws -> CommandResult
  {
    try lab.attempt(["ovs-ofctl", "-O", version, "--timeout=5"] + more + ["show", target], in: daemon.namespace)
  }

  // MARK: connections

  @Test func aConnectionThatEndsIsMadeAgainAfterAPause() throws {
    try withBridge { _, daemon in
      let controller = try daemon.controller()
      try daemon.configure("set-controller br0 unix:\(daemon.runDirectory)/controller")
      var session: TestSession? = try controller.session(.v13)
      #expect(try eventually { try daemon.controllerColumn("is_connected") == "true" })
      #expect(try daemon.controllerColumn("role") == "other")
      #expect(try daemon.controllerColumn("status").contains("ACTIVE"))
      session = nil
      #expect(session == nil)
      #expect(try eventually { try daemon.controllerColumn("is_connected") == "false" })
      let status = try daemon.controllerColumn("status")
      #expect(status.contains("sec_since_disconnect"), "\(status)")
      #expect(try controller.connection(.milliseconds(300)) == nil, "no pause before the next try")
      _ = try controller.session(.v13)
    }
  }

  @Test func aSilentControllerIsProbedAndLeft() throws {
    try withBridge { _, daemon in
      let controller = try daemon.controller()
      try daemon.configure(
        "-- --id=@c create controller target=\"unix:\(daemon.runDirectory)/controller\" inactivity_probe=1000 "
          + "-- set bridge br0 controller=@c")
      let session = try controller.session(.v13)
      // Signs of life are enough to stay.
      var probes = 0
      let end = ContinuousClock.now + .milliseconds(4500)
      while ContinuousClock.now < end {
        if let message = try session.receive(.milliseconds(500)), case .echoRequest(let data) = message.body {
          probes += 1
          #expect(data.isEmpty)
          try session.send(.echoReply(data))
        }
      }
      #expect(probes >= 2)
      #expect(try session.isClosed(.seconds(6)))
      #expect(try eventually { try daemon.controllerColumn("status").contains("no response to inactivity probe") })
    }
  }

  @Test func protocolsOfTheBridgeAreTheOnesSpoken() throws {
    try withBridge { lab, daemon in
      try daemon.configure("set bridge br0 protocols=OpenFlow13,OpenFlow15")
      let socket = "unix:\(daemon.runDirectory)/br0.mgmt"
      #expect(try show(lab, daemon, socket, version: "OpenFlow15").isSuccess)
      #expect(try !show(lab, daemon, socket, version: "OpenFlow14").isSuccess)
      #expect(try !show(lab, daemon, socket, version: "OpenFlow10").isSuccess)
      // A controller that speaks everything up to 1.4 gets 1.3.
      let controller = try daemon.controller()
      try daemon.configure("set-controller br0 unix:\(daemon.runDirectory)/controller")
      let session = try #require(try controller.connection())
      try session.send([4, 0, 0, 8, 0, 0, 0, 1])
      let hello = try #require(try session.receive())
      #expect(hello.version == .v15 && hello.body == .hello(Hello(versions: VersionSet([.v13, .v15]))))
      try session.send([4, 5, 0, 8, 0, 0, 0, 2])
      #expect(try session.receive()?.version == .v13)
    }
  }

  @Test func listenersServePrograms() throws {
    try withBridge { lab, daemon in
      try daemon.configure("set-controller br0 ptcp:6653:127.0.0.1 punix:\(daemon.runDirectory)/more")
      #expect(try show(lab, daemon, "tcp:127.0.0.1:6653").output.contains("n_tables:254"))
      #expect(try show(lab, daemon, "unix:\(daemon.runDirectory)/more").isSuccess)
      // Its rules are the bridge's own still: who listens for programs does not depend on them.
      let flows = try lab.run(["ovs-ofctl", "dump-flows", "tcp:127.0.0.1:6653"], in: daemon.namespace)
      #expect(flows.contains("actions=NORMAL"))
      let ours = try lab.run(
        [TestEnvironment.programDirectory + "/vsctl", "dump-flows", "tcp:127.0.0.1:6653"], in: daemon.namespace)
      #expect(ours.contains("actions=NORMAL"))
      try daemon.configure("del-controller br0")
      #expect(try !show(lab, daemon, "tcp:127.0.0.1:6653").isSuccess)
      #expect(!FileManager.default.fileExists(atPath: "\(daemon.runDirectory)/more"))
    }
  }

  @Test func targetsThatCannotBeAreSaidSo() throws {
    try withBridge { _, daemon in
      for (target, reason) in [
        ("unix:/tmp/elsewhere", "not below"), ("ssl:127.0.0.1:1", "set-ssl"), ("tcp:127.0.0.1:1", "refused"),
        ("nonsense", "is no target"),
      ] {
        try daemon.configure("set-controller br0 \(target)")
        #expect(try eventually { try daemon.controllerColumn("status").contains(reason) }, "\(target)")
        #expect(try daemon.controllerColumn("is_connected") == "false")
      }
    }
  }

  @Test func tlsPeersOfTheAuthorityAreServedAndNobodyElse() throws {
    try withLab { lab in
      let keys = "\(lab.directory)/tls"
      let ours = try PrivateKeys(lab, keys)
      try ours.makeAuthority("ca")
      try ours.makeAuthority("other")
      try ours.make("switch", by: "ca")
      try ours.make("client", by: "ca")
      try ours.make("stranger", by: "other")
      let daemon = try lab.daemon(arguments: ["--tls-dir", keys])
      try daemon.configure("add-br br0")
      try daemon.configure("set-ssl \(keys)/switch.key \(keys)/switch.pem \(keys)/ca.pem")
      try daemon.configure("set-controller br0 pssl:6653:127.0.0.1")
      func show(_ name: String, trusting authority: String) throws -> CommandResult {
        try self.show(
          lab, daemon, "ssl:127.0.0.1:6653",
          ["-p", "\(keys)/\(name).key", "-c", "\(keys)/\(name).pem", "-C", "\(keys)/\(authority).pem"])
      }
      let right = try show("client", trusting: "ca")
      #expect(right.isSuccess, "\(right.errorOutput)\n\(daemon.log)")
      #expect(try !show("stranger", trusting: "ca").isSuccess)
      for (name, isServed) in [("client", true), ("stranger", false)] {
        let found = try lab.attempt(
          [
            TestEnvironment.programDirectory + "/vsctl", "--private-key", "\(keys)/\(name).key", "--certificate",
            "\(keys)/\(name).pem", "--ca-cert", "\(keys)/ca.pem", "dump-desc", "ssl:127.0.0.1:6653",
          ], in: daemon.namespace)
        #expect(found.isSuccess == isServed, "\(name): \(found.output)\(found.errorOutput)")
      }
      // And a client that does not trust our authority gets nowhere, nor does one without TLS.
      #expect(try !show("client", trusting: "other").isSuccess)
      #expect(try !self.show(lab, daemon, "tcp:127.0.0.1:6653").isSuccess)
      #expect(try show("client", trusting: "ca").isSuccess)
      let old = try lab.attempt(
        [
          "openssl", "s_client", "-connect", "127.0.0.1:6653", "-tls1_1", "-cert", "\(keys)/client.pem", "-key",
          "\(keys)/client.key",
        ], in: daemon.namespace)
      #expect(!old.isSuccess)

      // The switch as the one that connects: a server of another authority is refused.
      let controller = try daemon.controller()
      for (name, isRight) in [("stranger", false), ("client", true)] {
        let relay = try lab.start(
          [
            "socat",
            "OPENSSL-LISTEN:6654,reuseaddr,fork,bind=127.0.0.1,cert=\(keys)/\(name).pem,key=\(keys)/\(name).key,"
              + "cafile=\(keys)/ca.pem,verify=1", "UNIX-CONNECT:\(daemon.runDirectory)/controller",
          ], in: daemon.namespace)
        try daemon.configure("set-controller br0 ssl:127.0.0.1:6654")
        if isRight {
          let session = try controller.session(.v13)
          guard case .featuresReply = try session.ask(.featuresRequest) else {
            Issue.record("no features")
            return
          }
        } else {
          #expect(
            try eventually { try daemon.controllerColumn("status").uppercased().contains("CERTIFICATE") },
            "\(daemon.log)")
          // What it gets to see of us is nothing that OpenFlow says.
          while let connection = try controller.connection(.milliseconds(100)) {
            #expect(try connection.receive(.milliseconds(300)) == nil)
          }
        }
        relay.kill9()
        try daemon.configure("del-controller br0")
      }
    }
  }

  // MARK: without a controller

  @Test func secureBridgeForwardsNothingByItself() throws {
    try withLab { lab in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0 -- set-fail-mode br0 secure")
      let a = try daemon.host("a", addresses: ["10.1.0.1/24"])
      _ = try daemon.host("b", addresses: ["10.1.0.2/24"])
      let socket = "unix:\(daemon.runDirectory)/br0.mgmt"
      #expect(try !lab.canPing("10.1.0.2", from: a, count: 1))
      #expect(try lab.run(["ovs-ofctl", "dump-aggregate", socket]).contains("flow_count=0"))
      try lab.run(["ovs-ofctl", "add-flow", socket, "actions=normal"])
      #expect(try lab.canPing("10.1.0.2", from: a))
      // Its rules stay while a controller is away, whatever time that takes.
      try daemon.configure("set-controller br0 unix:\(daemon.runDirectory)/nobody")
      #expect(try lab.run(["ovs-ofctl", "dump-aggregate", socket]).contains("flow_count=0"))
      // Without controllers and no longer secure it is a learning bridge again.
      try daemon.configure("del-controller br0 -- del-fail-mode br0")
      #expect(try lab.canPing("10.1.0.2", from: a))
      try daemon.configure("set-fail-mode br0 secure")
      #expect(try !lab.canPing("10.1.0.2", from: a, count: 1))
    }
  }

  @Test func standaloneBridgeForwardsByItselfWhileNoControllerAnswers() throws {
    try ConnectivityTests.withTwoHosts { lab, daemon, a, _ throws in
      let controller = try daemon.controller()
      try daemon.configure(
        "-- --id=@c create controller target=\"unix:\(daemon.runDirectory)/controller\" inactivity_probe=1000 "
          + "-- set bridge br0 controller=@c")
      var session: TestSession? = try controller.session(.v13)
      #expect(try session?.tell(.flowMod(FlowMod())) == nil)
      // Its rule drops everything.
      #expect(try !lab.canPing("10.1.0.2", from: a, count: 1))
      session = nil
      // Three times the probe later the bridge helps itself, and forgets nothing.
      #expect(try !lab.canPing("10.1.0.2", from: a, count: 1))
      #expect(try eventually(.seconds(10)) { try lab.canPing("10.1.0.2", from: a, count: 1) })
      let flows = try lab.run(["ovs-ofctl", "dump-flows", "unix:\(daemon.runDirectory)/br0.mgmt"])
      #expect(flows.contains("actions=drop") && !flows.contains("NORMAL"))
      // A controller that only says hello is not yet in command.
      session = try controller.session(.v13)
      _ = try session?.ask(.featuresRequest)
      #expect(try lab.canPing("10.1.0.2", from: a, count: 1))
      _ = try session?.ask(.barrierRequest)
      #expect(try eventually { try !lab.canPing("10.1.0.2", from: a, count: 1) })
    }
  }

  // MARK: roles

  @Test func onlyOnePrimaryCommandsAndTheNewestElectionCounts() throws {
    try withBridge { _, daemon in
      let sockets = [try daemon.controller("one"), try daemon.controller("two")]
      try daemon.configure("set-controller br0 unix:\(daemon.runDirectory)/one unix:\(daemon.runDirectory)/two")
      let one = try sockets[0].session(.v14)
      let two = try sockets[1].session(.v13)
      func role(_ session: TestSession, _ role: ControllerRole, _ election: UInt64) throws -> MessageBody {
        try session.ask(.roleRequest(RoleMessage(role, generationID: election), form: .standard))
      }
      // 1.4 may ask to be told of a lost role.
      var masks = AsyncConfiguration()
      masks.secondary.roleStatus = 1
      #expect(try one.tell(.setAsync(masks, form: .standard)) == nil)
      #expect(
        try role(one, .primary, 5) == .roleReply(RoleMessage(.primary, generationID: 5), form: .standard))
      #expect(try two.tell(.flowMod(FlowMod())) == nil)
      #expect(try role(two, .primary, 6) == .roleReply(RoleMessage(.primary, generationID: 6), form: .standard))
      let told = try one.wait { message in
        if case .roleStatus(let status) = message.body { status } else { nil }
      }
      #expect(told == RoleStatus(role: .secondary, reason: .primaryRequest, generationID: 6))
      #expect(try one.tell(.flowMod(FlowMod())) == .badRequestIsSlave)
      #expect(try one.tell(.packetOut(PacketOut())) == .badRequestIsSlave)
      guard case .multipartReply = try one.ask(.multipartRequest(MultipartRequest(.description))) else {
        Issue.record("a secondary may not read")
        return
      }
      if case .error(let error) = try role(one, .primary, 5) {
        #expect(error.reason == .known(.roleRequestFailedStale))
      } else {
        Issue.record("an old election was accepted")
      }
      let roles = try daemon.configure("--bare --columns=role list controller").split(separator: "\n")
      #expect(
        try eventually {
          Set(try daemon.configure("--bare --columns=role list controller").split(separator: "\n")) == [
            "master", "slave",
          ]
        }, "\(roles)")
    }
  }

  // MARK: those who listen in

  @Test func snoopShowsWhatControllersSay() throws {
    try withBridge { lab, daemon in
      let controller = try daemon.controller()
      try daemon.configure("set-controller br0 unix:\(daemon.runDirectory)/controller")
      let session = try controller.session(.v15)
      let snoop = try lab.start(
        ["ovs-ofctl", "snoop", "unix:\(daemon.runDirectory)/br0.snoop"],
        environment: ["OVS_RUNDIR": daemon.runDirectory])
      #expect(
        try eventually(.seconds(10)) {
          _ = try session.ask(.getConfigRequest)
          return snoop.errorOutput.contains("OFPT_GET_CONFIG_REQUEST (OF1.5)")
            && snoop.errorOutput.contains("OFPT_GET_CONFIG_REPLY (OF1.5)")
        }, "\(snoop.errorOutput)")
      // Programs' own questions are nobody's concern.
      _ = try lab.run(["ovs-ofctl", "-O", "OpenFlow13", "dump-tables", "unix:\(daemon.runDirectory)/br0.mgmt"])
      #expect(!snoop.errorOutput.contains("OF1.3"))
    }
  }
}

/// Keys and certificates, made by openssl.
private struct PrivateKeys {
  private let lab: Lab
  private let directory: String
  private static let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]

  init(_ lab: Lab, _ directory: String) throws {
    self.lab = lab
    self.directory = directory
    try FileManager.default.createDirectory(
      atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
  }

  private func files(_ name: String, _ kind: String) -> [String] {
    ["-keyout", "\(directory)/\(name).key", "-out", "\(directory)/\(name).\(kind)", "-subj", "/CN=\(name)"]
  }

  func makeAuthority(_ name: String) throws {
    try lab.run(["openssl", "req", "-x509", "-days", "2"] + Self.key + files(name, "pem"))
  }

  func make(_ name: String, by authority: String) throws {
    try lab.run(["openssl", "req"] + Self.key + files(name, "csr"))
    try lab.run([
      "openssl", "x509", "-req", "-in", "\(directory)/\(name).csr", "-CA", "\(directory)/\(authority).pem", "-CAkey",
      "\(directory)/\(authority).key", "-CAcreateserial", "-out", "\(directory)/\(name).pem", "-days", "2",
    ])
  }
}
