// `make install`, as a package's build calls it: into a directory of its own, and what is there works from there.

import Foundation
import TestSupport
import Testing

@Suite(
  .blocking, .enabled(if: TestEnvironment.canUseNamespaces && TestEnvironment.hasProgram("make"), "needs root and make")
)
struct InstallTests {
  private static func files(_ directory: String) throws -> [String] {
    try FileManager.default.subpathsOfDirectory(atPath: directory).filter {
      (try? FileManager.default.attributesOfItem(atPath: "\(directory)/\($0)")[.type] as? FileAttributeType)
        != .typeDirectory
    }.sorted()
  }

  private static func make(_ lab: Lab, _ target: String, _ settings: [String]) throws -> CommandResult {
    try lab.attempt(
      [
        "make", "-C", TestEnvironment.sourceDirectory, target, "DESTDIR=\(lab.directory)/root",
        "BIN=\(TestEnvironment.programDirectory)",
      ] + settings)
  }

  @Test func whatIsInstalledWorksAndGoesAgain() throws {
    try withLab { lab throws in
      let root = "\(lab.directory)/root"
      let installed = try Self.make(lab, "install", ["PREFIX=/usr", "COMPAT=1"])
      #expect(installed.isSuccess, "\(installed.errorOutput)")
      #expect(
        try Self.files(root) == [
          "lib/systemd/system/vswitchd.service", "usr/bin/ovs-vsctl", "usr/bin/vsctl", "usr/sbin/vswitchd",
          "usr/share/bash-completion/completions/vsctl", "usr/share/fish/vendor_completions.d/vsctl.fish",
          "usr/share/zsh/site-functions/_vsctl",
        ])
      let unit = try String(contentsOfFile: "\(root)/lib/systemd/system/vswitchd.service", encoding: .utf8)
      #expect(unit.contains("\nExecStart=/usr/sbin/vswitchd\n"))

      let namespace = try lab.namespace("sw")
      let run = "\(lab.directory)/run"
      let daemon = try lab.start(["\(root)/usr/sbin/vswitchd", "--run-dir", run], in: namespace)
      #expect(eventually { FileManager.default.fileExists(atPath: "\(run)/db.sock") }, "\(daemon.errorOutput)")
      // By this name it has the other program's grammar: an abbreviated option, several tables' columns, its usage text.
      let client = "\(root)/usr/bin/ovs-vsctl"
      let environment = ["OVS_RUNDIR": run]
      let added = try runCommand(
        [
          client, "--time=15", "add-br", "br0", "--", "add-port", "br0", "p1", "--", "set", "Int", "p1",
          "type=internal",
        ],
        environment: environment)
      #expect(added.isSuccess && added.output == "", "\(added.errorOutput)")
      #expect(try runCommand([client, "list-ports", "br0"], environment: environment).output == "p1\n")
      let refused = try runCommand([client, "add-br", "br0"], environment: environment)
      #expect(refused.status == 1)
      #expect(
        refused.errorOutput == "ovs-vsctl: cannot create a bridge named br0 because a bridge named br0 already exists\n"
      )
      #expect(daemon.stop() == 0)

      // Somebody else's program of that name stays.
      #expect(try Self.make(lab, "uninstall", ["PREFIX=/usr"]).isSuccess)
      #expect(try Self.files(root) == [])
      try "#!/bin/sh\n".write(toFile: client, atomically: true, encoding: .utf8)
      #expect(try Self.make(lab, "install", ["PREFIX=/usr"]).isSuccess)
      #expect(try Self.make(lab, "uninstall", ["PREFIX=/usr"]).isSuccess)
      #expect(try Self.files(root) == ["usr/bin/ovs-vsctl"])
    }
  }

  @Test func billOfMaterialsIsThatOfTheBuild() throws {
    let source = TestEnvironment.sourceDirectory
    let text = try require(
      ["python3", "\(source)/scripts/sbom.py", TestEnvironment.programDirectory], deadline: .seconds(60))
    struct Bill: Decodable {
      struct Package: Decodable { var name, versionInfo, downloadLocation: String }
      var packages: [Package]
    }
    let bill = try JSONDecoder().decode(Bill.self, from: Data(text.utf8))
    let versions = Dictionary(bill.packages.map { ($0.name, $0.versionInfo) }) { first, _ in first }
    // As Package.swift asks for them.
    let manifest = try String(contentsOfFile: "\(source)/Package.swift", encoding: .utf8)
    let asked = manifest.matches(of: /\.package\(url: "[^"]+\/([^"\/]+)", exact: "([^"]+)"\)/)
      .filter { $0.1 != "benchmark" }
    #expect(asked.count >= 7)
    for package in asked { #expect(versions[package.1.lowercased()] == String(package.2)) }
    #expect(
      bill.packages.filter { $0.downloadLocation.hasPrefix("git+") }.allSatisfy { $0.downloadLocation.contains("@") })
    // As the system has the libraries that the daemon loads.
    for library in ["liburing2", "libnl-route-3-200", "libpcap0.8", "libsqlite3-0"] {
      #expect(try versions[library] == require(["dpkg-query", "-W", "-f", "${Version}", library]))
    }
    let nowhere = try runCommand(["python3", "\(source)/scripts/sbom.py", "/nonexistent"])
    #expect(nowhere.status == 1 && nowhere.errorOutput == "/nonexistent has no vswitchd: build first\n")
  }
}
