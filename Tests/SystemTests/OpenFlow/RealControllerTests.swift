// Controllers that other people wrote, from PyPI, program the switch as they program any other: os-ken's apps and Faucet.
// `scripts/install-python-packages.sh` makes the environment that they run in; without it they are skipped, and in CI they
// fail.

import Foundation
import TestSupport
import Testing

private let environment = "\(TestEnvironment.sourceDirectory)/.build/python-controllers"
private let clients = "\(TestEnvironment.sourceDirectory)/Tests/SystemTests/Clients"
private let canRun =
  TestEnvironment.isContinuousIntegration
  || TestEnvironment.canUseNamespaces && FileManager.default.isExecutableFile(atPath: "\(environment)/bin/faucet")

@Suite(.enabled(if: canRun, "needs root and scripts/install-python-packages.sh"), .blocking)
struct RealControllerTests {
  /// A bridge with datapath id 1 and its hosts, and a controller's app that it is connected to.
  private func withApp(
    _ app: String, hosts: [(name: String, address: String, gateway: String?)],
    _ body: (Lab, Daemon, [String], BackgroundCommand) throws -> Void
  ) throws {
    try withLab { lab in
      let daemon = try lab.daemon()
      let namespaces = try makeBridge(lab, daemon, hosts)
      let program = try lab.start(
        ["\(environment)/bin/python3", "\(clients)/os_ken_app.py", "6653", app], in: daemon.namespace)
      try connect(daemon, program)
      try body(lab, daemon, namespaces, program)
    }
  }

  private func makeBridge(
    _ lab: Lab, _ daemon: Daemon, _ hosts: [(name: String, address: String, gateway: String?)]
  ) throws -> [String] {
    try daemon.configure(
      "add-br br0 -- set bridge br0 other_config:datapath-id=0000000000000001 fail_mode=secure protocols=OpenFlow13")
    var namespaces: [String] = []
    for (number, host) in hosts.enumerated() {
      let namespace = try daemon.host(
        host.name, interface: "ofport_request=\(number + 1)", addresses: [host.address])
      if let gateway = host.gateway { try lab.run(["ip", "-n", namespace, "route", "add", "default", "via", gateway]) }
      namespaces.append(namespace)
    }
    return namespaces
  }

  private func connect(_ daemon: Daemon, _ program: BackgroundCommand) throws {
    try daemon.configure("set-controller br0 tcp:127.0.0.1:6653")
    let isConnected = try eventually(.seconds(30), every: .milliseconds(200)) {
      try daemon.controllerColumn("is_connected") == "true"
    }
    guard isConnected else {
      throw TestFailure("no controller:\n\(program.output)\(program.errorOutput)\n\(daemon.log)")
    }
  }

  private func flows(_ lab: Lab, _ daemon: Daemon) throws -> String {
    try lab.run(["ovs-ofctl", "-O", "OpenFlow13", "dump-flows", "unix:\(daemon.runDirectory)/br0.mgmt"])
  }

  /// Calls an app's REST interface.
  private func rest(_ lab: Lab, _ daemon: Daemon, _ path: String, _ body: String? = nil) throws -> String {
    let script = """
      import sys, urllib.request
      data = sys.argv[2].encode() if len(sys.argv) > 2 else None
      print(urllib.request.urlopen(urllib.request.Request(sys.argv[1], data=data), timeout=10).read().decode())
      """
    return try lab.run(
      ["python3", "-c", script, "http://127.0.0.1:8080" + path] + (body.map { [$0] } ?? []), in: daemon.namespace)
  }

  @Test func simpleSwitchLearnsWhereHostsAre() throws {
    let hosts = [("h1", "10.0.1.1/24", nil), ("h2", "10.0.1.2/24", nil)] as [(String, String, String?)]
    try withApp("os_ken.app.simple_switch_13", hosts: hosts) { lab, daemon, namespaces, program in
      #expect(
        try eventually(.seconds(20)) { try lab.canPing("10.0.1.2", from: namespaces[0], count: 1) },
        "\(program.errorOutput)")
      #expect(try lab.canPing("10.0.1.2", from: namespaces[0], count: 5))
      let rules = try flows(lab, daemon)
      #expect(rules.contains("priority=1,in_port=1") && rules.contains("actions=output:2"), "\(rules)")
      #expect(rules.contains("priority=0 actions=CONTROLLER:65535"))
    }
  }

  @Test func restRouterRoutesBetweenNetworks() throws {
    let hosts =
      [("h1", "10.0.1.1/24", "10.0.1.254"), ("h2", "10.0.2.1/24", "10.0.2.254")] as [(String, String, String?)]
    try withApp("os_ken.app.rest_router", hosts: hosts) { lab, daemon, namespaces, program in
      #expect(
        try eventually(.seconds(20), every: .milliseconds(200)) {
          try rest(lab, daemon, "/router/0000000000000001").contains("switch_id")
        }, "\(program.errorOutput)")
      for address in ["10.0.1.254/24", "10.0.2.254/24"] {
        let answer = try rest(lab, daemon, "/router/0000000000000001", #"{"address":"\#(address)"}"#)
        #expect(answer.contains("success"), "\(answer)")
      }
      #expect(
        try eventually(.seconds(20)) { try lab.canPing("10.0.2.1", from: namespaces[0], count: 1) },
        "\(program.errorOutput)\n\((try? flows(lab, daemon)) ?? "")")
      #expect(try lab.canPing("10.0.2.1", from: namespaces[0], count: 5))
      #expect(try flows(lab, daemon).contains("idle_timeout=1800, priority=35,ip,nw_dst=10.0.2.1 actions=dec_ttl"))
    }
  }

  @Test func ofctlRestAsksAndChangesEverything() throws {
    let hosts = [("h1", "10.0.1.1/24", nil), ("h2", "10.0.1.2/24", nil)] as [(String, String, String?)]
    try withApp("os_ken.app.ofctl_rest", hosts: hosts) { lab, daemon, namespaces, program in
      #expect(
        try eventually(.seconds(20), every: .milliseconds(200)) {
          try rest(lab, daemon, "/stats/switches").contains("[1]")
        }, "\(program.errorOutput)")
      for (path, expected) in [
        ("desc", "software switch"), ("flow", "\"1\": []"), ("aggregateflow", "\"flow_count\": 0"),
        ("table", "\"table_id\": 253"), ("port", "\"duration_sec\""), ("portdesc", "\"name\": \"h1\""),
        ("queue", "\"1\": []"), ("queueconfig", "\"queues\": []"), ("group", "\"1\": []"), ("groupdesc", "\"1\": []"),
        ("groupfeatures", "SELECT_WEIGHT"), ("meter", "\"1\": []"), ("meterconfig", "\"1\": []"),
        ("meterfeatures", "DSCP_REMARK"), ("tablefeatures", "\"name\": \"\""), ("role", "EQUAL"),
      ] {
        let answer = try rest(lab, daemon, "/stats/\(path)/1")
        #expect(answer.contains(expected), "\(path): \(answer)")
      }
      _ = try rest(
        lab, daemon, "/stats/meterentry/add",
        #"{"dpid":1,"meter_id":1,"flags":["KBPS"],"bands":[{"type":"DROP","rate":100000}]}"#)
      _ = try rest(
        lab, daemon, "/stats/groupentry/add",
        #"{"dpid":1,"group_id":7,"type":"ALL","buckets":[{"actions":[{"type":"OUTPUT","port":2}]}]}"#)
      _ = try rest(
        lab, daemon, "/stats/flowentry/add",
        #"{"dpid":1,"priority":9,"match":{"in_port":1},"actions":[{"type":"METER","meter_id":1},"#
          + #"{"type":"GROUP","group_id":7}]}"#)
      _ = try rest(
        lab, daemon, "/stats/flowentry/add",
        #"{"dpid":1,"priority":9,"match":{"in_port":2},"actions":[{"type":"OUTPUT","port":1}]}"#)
      #expect(
        try eventually { try lab.canPing("10.0.1.2", from: namespaces[0], count: 1) },
        "\((try? flows(lab, daemon)) ?? "")")
      #expect(try rest(lab, daemon, "/stats/meterconfig/1").contains("\"rate\": 100000"))
      #expect(try rest(lab, daemon, "/stats/groupdesc/1").contains("\"group_id\": 7"))
      #expect(try rest(lab, daemon, "/stats/flow/1").contains("GROUP:7"))
      _ = try rest(lab, daemon, "/stats/role", #"{"dpid":1,"role":"MASTER"}"#)
      #expect(try eventually { try daemon.controllerColumn("role") == "master" })
      _ = try rest(lab, daemon, "/stats/portdesc/modify", #"{"dpid":1,"port_no":2,"config":32,"mask":32}"#)
      #expect(try eventually { try !lab.canPing("10.0.1.2", from: namespaces[0], count: 1) })
      _ = try rest(lab, daemon, "/stats/portdesc/modify", #"{"dpid":1,"port_no":2,"config":0,"mask":32}"#)
      #expect(try eventually { try lab.canPing("10.0.1.2", from: namespaces[0], count: 1) })
      _ = try rest(lab, daemon, "/stats/groupentry/delete", #"{"dpid":1,"group_id":7}"#)
      #expect(try eventually { try !flows(lab, daemon).contains("group:7") })
    }
  }

  @Test func faucetRoutesBetweenItsVLANs() throws {
    try withLab { lab in
      let daemon = try lab.daemon()
      let namespaces = try makeBridge(
        lab, daemon,
        [
          ("h1", "10.0.1.1/24", "10.0.1.254"), ("h2", "10.0.1.2/24", "10.0.1.254"), ("h3", "10.0.2.1/24", "10.0.2.254"),
        ])
      let program = try lab.start(
        ["\(environment)/bin/faucet", "--ryu-ofp-tcp-listen-port", "6653", "--ryu-config-file", "/dev/null"],
        in: daemon.namespace,
        environment: [
          // It starts osken-manager by the search path.
          "PATH": "\(environment)/bin:/usr/sbin:/usr/bin:/sbin:/bin",
          "FAUCET_CONFIG": "\(clients)/faucet.yaml", "FAUCET_LOG": "\(lab.directory)/faucet.log",
          "FAUCET_EXCEPTION_LOG": "\(lab.directory)/faucet.exceptions",
        ])
      try connect(daemon, program)
      func log() -> String {
        ["log", "exceptions"].map {
          (try? String(contentsOfFile: "\(lab.directory)/faucet.\($0)", encoding: .utf8)) ?? ""
        }
        .joined()
      }
      // Within a VLAN, to the router, and through it both ways; the first packet of a host waits for its address.
      for (address, from) in [("10.0.1.254", 0), ("10.0.1.2", 0), ("10.0.2.1", 0), ("10.0.1.2", 2)] {
        #expect(
          try eventually(.seconds(30)) { try lab.canPing(address, from: namespaces[from], count: 1) },
          "\(address)\n\(log())\n\((try? flows(lab, daemon)) ?? "")")
        #expect(try lab.canPing(address, from: namespaces[from], count: 3), "\(address)")
      }
      let rules = try flows(lab, daemon)
      #expect(rules.contains("cookie=0x5adc15c0") && rules.contains("dec_ttl"), "\(rules)")
      #expect(((try? String(contentsOfFile: "\(lab.directory)/faucet.exceptions", encoding: .utf8)) ?? "") == "")
    }
  }
}
