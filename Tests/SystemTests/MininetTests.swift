// mininet, unmodified, on this switch: it runs `ovs-vsctl` (ours, by its name in the search path), makes veth pairs and
// hosts, and pings from each to each. All of it in a network namespace of its own.

import Foundation
import TestSupport
import Testing

private let isRunnable =
  (TestEnvironment.canUseNamespaces && TestEnvironment.hasProgram("mn")) || TestEnvironment.isContinuousIntegration

@Suite(.enabled(if: isRunnable, "needs root and mininet")) struct MininetTests {
  private static let script = """
    from mininet.net import Mininet
    from mininet.node import OVSSwitch
    from mininet.topolib import TreeTopo
    net = Mininet(TreeTopo(depth=3, fanout=2), controller=None, waitConnected=False,
                  switch=lambda name, **options: OVSSwitch(name, datapath='user', failMode='standalone', **options))
    net.start()
    try:
        print('switches', len(net.switches), 'hosts', len(net.hosts), 'lost', net.pingAll(timeout='2'))
    finally:
        net.stop()
    """

  @Test(arguments: [true, false])
  func inATreeOfSevenSwitchesEveryHostReachesEveryOther(byOurProgram: Bool) throws {
    try withLab { lab in
      let daemon = try lab.daemon()
      let directory = "\(lab.directory)/bin"
      try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
      if byOurProgram {
        try FileManager.default.createSymbolicLink(
          atPath: "\(directory)/ovs-vsctl", withDestinationPath: "\(TestEnvironment.programDirectory)/vsctl")
      }
      try Self.script.write(toFile: "\(lab.directory)/tree.py", atomically: true, encoding: .utf8)
      let result = try runCommand(
        ["ip", "netns", "exec", daemon.namespace, "python3", "\(lab.directory)/tree.py"],
        environment: [
          "PATH": "\(directory):/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
          "OVS_RUNDIR": daemon.runDirectory,
        ], deadline: .seconds(120))
      #expect(
        result.output.contains("switches 7 hosts 8 lost 0.0"), "\(result.output)\(result.errorOutput)\(daemon.log)")
      #expect(try daemon.configure("list-br") == "", "mininet has not taken its bridges away")
    }
  }
}
