// Programs in Python, from PyPI, that configure the switch with no change. `scripts/install-python-packages.sh` makes
// the environment that they run in; without it they are skipped, and in CI they fail.

import Foundation
import TestSupport
import Testing

@Suite(.blocking) struct PythonClientTests {
  private static let repository = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()
  private static let python = repository.appending(path: ".build/python/bin/python3").path
  private static var canRun: Bool {
    TestEnvironment.isContinuousIntegration
      || TestEnvironment.canUseNamespaces && FileManager.default.isExecutableFile(atPath: python)
  }

  @Test(
    .enabled(if: canRun, "needs root and scripts/install-python-packages.sh"))
  func ovsdbappConfiguresTheSwitch() throws {
    try withLab { lab in
      let daemon = try lab.daemon()
      let script = Self.repository.appending(path: "Tests/SystemTests/Clients/ovsdbapp_commands.py").path
      let result = try runCommand([Self.python, script, daemon.database], deadline: .seconds(50))
      #expect(result.isSuccess, "\(result.output)\(result.errorOutput)\n\(daemon.log)")
      #expect(result.output.hasSuffix("ok del_br\ndone\n"))
      #expect(try daemon.vsctl("list-br").output == "")
    }
  }
}
