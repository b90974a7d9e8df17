// The command lines of the labs in Faucet's documentation (docs.faucet.nz, "Installing Faucet for the first time" and what
// builds on it), by ours and by Debian's `ovs-vsctl`: the switch is as they want it.

import Foundation
import TestSupport
import Testing

@Suite(.blocking, .enabled(if: TestEnvironment.canUseNamespaces, "needs root"))
struct FaucetLabTests {
  @Test(arguments: [true, false])
  func theLabsCommandLinesConfigureTheSwitch(byOurProgram: Bool) throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      var client = "ovs-vsctl"
      if byOurProgram {
        client = "\(lab.directory)/ovs-vsctl"
        try FileManager.default.createSymbolicLink(
          atPath: client, withDestinationPath: "\(TestEnvironment.programDirectory)/vsctl")
      }
      func run(_ line: String) throws -> String {
        try require(
          [client] + line.split(whereSeparator: \.isWhitespace).map(String.init),
          environment: ["OVS_RUNDIR": daemon.runDirectory])
      }
      for host in ["host1", "host2"] {
        let namespace = try lab.namespace(host)
        try lab.run([
          "ip", "link", "add", "veth-\(host)", "netns", daemon.namespace, "type", "veth", "peer", "name", "veth0",
          "netns", namespace,
        ])
        try lab.run(["ip", "-n", daemon.namespace, "link", "set", "veth-\(host)", "up"])
      }
      _ = try run(
        """
        add-br br1 -- set bridge br1 other-config:datapath-id=0000000000000001
        -- set bridge br1 other-config:disable-in-band=true -- set bridge br1 fail_mode=secure
        -- add-port br1 veth-host1 -- set interface veth-host1 ofport_request=1
        -- add-port br1 veth-host2 -- set interface veth-host2 ofport_request=2
        -- set-controller br1 tcp:127.0.0.1:6653 tcp:127.0.0.1:6654
        """)
      #expect(
        try run("get bridge br1 datapath_id fail_mode other_config") == """
          "0000000000000001"
          secure
          {datapath-id="0000000000000001", disable-in-band="true"}

          """)
      #expect(try run("get interface veth-host1 ofport error") == "1\n[]\n")
      #expect(try run("get interface veth-host2 ofport error") == "2\n[]\n")
      #expect(try run("get-controller br1") == "tcp:127.0.0.1:6653\ntcp:127.0.0.1:6654\n")

      // A second switch and the link between them; then a port that leaves for a bond of the host's, and all of it.
      _ = try run(
        """
        add-br br2 -- set bridge br2 other-config:datapath-id=0000000000000002 protocols=OpenFlow13
        -- add-port br1 l-br1_3-br2_3 -- set interface l-br1_3-br2_3 type=patch options:peer=l-br2_3-br1_3 ofport_request=3
        -- add-port br2 l-br2_3-br1_3 -- set interface l-br2_3-br1_3 type=patch options:peer=l-br1_3-br2_3 ofport_request=3
        """)
      #expect(try run("get interface l-br2_3-br1_3 ofport error") == "3\n[]\n")
      #expect(try run("get bridge br2 protocols datapath_id") == "[OpenFlow13]\n\"0000000000000002\"\n")
      _ = try run("del-controller br1 -- set-fail-mode br1 standalone -- del-port br1 veth-host2")
      #expect(try run("list-ports br1") == "l-br1_3-br2_3\nveth-host1\n")
      _ = try run("--if-exists del-br br1 -- --if-exists del-br br2 -- --if-exists del-br br3")
      #expect(try run("show").contains("Bridge") == false)
    }
  }
}
