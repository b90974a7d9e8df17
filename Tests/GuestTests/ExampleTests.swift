import Foundation
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

  /// `COMMAND | grep -q` ends with the first match: with `pipefail` the claim fails whenever the command writes on after it.
  @Test func noClaimDependsOnHowFastItsCommandWrites() throws {
    let folder = "\(TestEnvironment.sourceDirectory)/examples"
    let scripts = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".sh") }
    #expect(scripts.count > 5)
    for script in scripts {
      let lines = try String(contentsOfFile: "\(folder)/\(script)", encoding: .utf8).split(separator: "\n")
      // What `sh -c` runs has no pipefail.
      let cut = lines.filter { $0.contains(/\|\s*grep -\w*q/) && !$0.contains("sh -c") && !$0.hasPrefix("#") }
      #expect(cut.isEmpty, "\(script): \(cut)")
    }
  }
}
