import Testing
import VSwitchCore

@testable import vswitchd

struct DaemonOptionsTests {
  private func options(_ arguments: [String], _ environment: [String: String] = [:]) throws -> DaemonOptions {
    try DaemonOptions(try VSwitchDaemon.parse(arguments)) { environment[$0] }
  }

  @Test func defaultsAreTheSystemsDirectories() throws {
    let options = try options([])
    #expect(options.runDirectory == "/run/vswitch")
    #expect(options.storeFile == "/var/lib/vswitch/vswitch.sqlite")
    #expect(options.tlsDirectory == "/etc/vswitch/tls")
    #expect(options.logLevel == .info)
  }

  @Test func givenRunDirHoldsTheStoreToo() throws {
    #expect(try options(["--run-dir", "/tmp/a/"]).storeFile == "/tmp/a/vswitch.sqlite")
    #expect(try options([], ["VSWITCH_RUNDIR": "/tmp/b"]).storeFile == "/tmp/b/vswitch.sqlite")
    let both = try options(["--run-dir", "/tmp/a", "--store", "/tmp/c"], ["VSWITCH_RUNDIR": "/tmp/b"])
    #expect(both.runDirectory == "/tmp/a")
    #expect(both.storeFile == "/tmp/c")
  }

  @Test func emptyVariableIsNoRunDir() throws {
    #expect(try options([], ["VSWITCH_RUNDIR": ""]).runDirectory == "/run/vswitch")
  }

  @Test func relativePathsAreMadeAbsolute() throws {
    let directory = try #require(Environment.currentDirectory())
    #expect(try options(["--run-dir", "x"]).runDirectory == directory + "/x")
  }

  @Test(arguments: [
    ["--log-level", "loud"], ["--run-dir", ""], ["--worker-cpu", "4096"], ["--worker-cpu=-1"],
    ["--run-dir", "/" + String(repeating: "x", count: 100)],
  ])
  func badValueNamesCauseAndRemedy(_ arguments: [String]) throws {
    let error = #expect(throws: ConfigError.self) { try options(arguments) }
    #expect(error?.cause.isEmpty == false)
    #expect(error?.remedy.isEmpty == false)
  }
}
