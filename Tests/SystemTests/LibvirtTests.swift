// libvirt, unmodified: a network with <virtualport type='openvswitch'/> on a bridge of the switch, machines that come and
// go. It runs `ovs-vsctl` by its name in the search path: ours.

import Foundation
import TestSupport
import Testing

private let isRunnable =
  (TestEnvironment.canUseNamespaces && TestEnvironment.hasProgram("libvirtd") && TestEnvironment.hasProgram("virsh"))
  || TestEnvironment.isContinuousIntegration

@Suite(.blocking, .enabled(if: isRunnable, "needs root, libvirt-daemon-driver-qemu and libvirt-clients"))
struct LibvirtTests {
  @Test(arguments: [true, false])
  func machinesOfALibvirtNetworkArePorts(byOurProgram: Bool) throws {
    try withLab { lab in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0")
      let programs = "\(lab.directory)/bin"
      try FileManager.default.createDirectory(atPath: programs, withIntermediateDirectories: true)
      if byOurProgram {
        try FileManager.default.createSymbolicLink(
          atPath: "\(programs)/ovs-vsctl", withDestinationPath: "\(TestEnvironment.programDirectory)/vsctl")
      }
      let script = "\(TestEnvironment.sourceDirectory)/Tests/SystemTests/Clients/libvirt_network.sh"
      let result = try runCommand(
        ["ip", "netns", "exec", daemon.namespace, script, "\(lab.directory)/libvirt"],
        environment: [
          "PATH": "\(programs):/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
          "OVS_RUNDIR": daemon.runDirectory,
        ], deadline: .seconds(120))
      #expect(result.isSuccess, "\(result.output)\(result.errorOutput)\(daemon.log)")
      let lines = result.output.split(separator: "\n").map(String.init)
      #expect(lines.prefix(2) == ["vm1 vnet0", "vm2 vnet1"])
      #expect(lines.count == 7, "\(result.output)")
      guard lines.count == 7 else { return }
      #expect(lines[2].hasPrefix("10 [] [] [] {attached-mac=\"52:54:00:00:00:01\", iface-id=\""))
      #expect(lines[2].contains("iface-status=active, vm-id=\"11111111-2222-3333-4444-000000000001\"}"))
      #expect(lines[3].hasPrefix("10 native-untagged [10, 20] [] {attached-mac=\"52:54:00:00:00:02\", iface-id=\""))
      #expect(lines[4] == "8", "domifstat: eight counters of the tap")
      #expect(lines[5] == "vnet1", "the other machine's port stays")
      #expect(lines[6] == "left: ")
    }
  }
}
