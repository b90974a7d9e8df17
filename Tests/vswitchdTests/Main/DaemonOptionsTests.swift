import OVSDB
import Testing
import Transport
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

  @Test func databasesOfServersAreRead() throws {
    let options = try options(["--run-dir", "/tmp/a", "--db", "unix:b.sock,tcp:192.0.2.1:6640,tcp:[::1]:7,unix:/c"])
    #expect(
      options.databases == [
        .unix(path: "/tmp/a/b.sock"), .tcp(host: "192.0.2.1", port: 6640), .tcp(host: "::1", port: 7),
        .unix(path: "/c"),
      ])
    #expect(options.tls == nil)
    #expect(try self.options([]).databases.isEmpty)
  }

  @Test func keyAndCertificatesComeTogether() throws {
    let options = try options(["--db", "ssl:h:1", "-p", "/k", "-c", "/c", "-C", "/a"])
    #expect(options.databases == [.ssl(host: "h", port: 1)])
    #expect(options.tls == TLSFiles(privateKey: "/k", certificate: "/c", authorities: "/a"))
  }

  @Test(arguments: [
    ["--db", ""], ["--db", "tcp:"], ["--db", "unix:/a, unix:/b"], ["--db", "tcp:h:70000"], ["--db", "ssl:h:1"],
    ["--db", "unix:/a", "--store", "/b"], ["--db", "tcp:h:1", "--private-key", "/k"],
  ])
  func badDatabaseNamesCauseAndRemedy(_ arguments: [String]) throws {
    let error = #expect(throws: ConfigError.self) { try options(arguments) }
    #expect(error?.cause.isEmpty == false)
    #expect(error?.remedy.isEmpty == false)
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
