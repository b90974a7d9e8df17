import TestSupport
import Testing

/// The labs of examples/ do what they say.
@Suite(.enabled(if: canRunGuests, "needs root, qemu-system-x86 and busybox-static"), .serialized)
struct ExampleTests {
  @Test(arguments: [
    "examples/guest-lab.sh", "examples/libvirt-lab.sh", "examples/gateway-lab.sh",
    "examples/guest-router-lab.sh", "examples/virtual-router-lab.sh",
    "examples/firewall-lab.sh",
  ]) func allClaimsHold(script: String) throws {
    let result = try runCommand(
      ["\(TestEnvironment.sourceDirectory)/\(script)"],
      environment: ["VSWITCH_BINDIR": TestEnvironment.programDirectory], deadline: .seconds(120))
    #expect(result.isSuccess, "\(result.output)\(result.errorOutput)")
    #expect(result.output.contains("All claims hold"), "\(result.output)")
    // Where libvirt is installed it is what starts the machines.
    if script.contains("libvirt"), TestEnvironment.hasProgram("libvirtd") || TestEnvironment.isContinuousIntegration {
      #expect(result.output.contains("All claims hold (by libvirt)"), "\(result.output)\(result.errorOutput)")
    }
  }
}
