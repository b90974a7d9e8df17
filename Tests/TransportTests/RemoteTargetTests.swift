import Testing

@testable import Transport

@Suite struct RemoteTargetTests {
  private static let sockets = ConfinedDirectory("/run/vswitch")

  @Test func targetsAreReadAsOpenVSwitchWritesThem() throws {
    func target(_ text: String) throws -> RemoteTarget { try RemoteTarget(text, sockets: Self.sockets) }
    #expect(try target("ptcp:6641:192.0.2.1") == .listen(.tcp(host: "192.0.2.1", port: 6641)))
    #expect(try target("ptcp::[::1]") == .listen(.tcp(host: "::1", port: 6640)))
    #expect(try target("pssl:0:[2001:db8::1]") == .listen(.ssl(host: "2001:db8::1", port: 0)))
    #expect(try target("tcp:192.0.2.1") == .connect(.tcp(host: "192.0.2.1", port: 6640)))
    #expect(try target("ssl:[2001:db8::1]:7000") == .connect(.ssl(host: "2001:db8::1", port: 7000)))
    #expect(try target("punix:mgmt.sock") == .listen(.unix(path: "/run/vswitch/mgmt.sock")))
    #expect(try target("punix:/run/vswitch/mgmt.sock") == .listen(.unix(path: "/run/vswitch/mgmt.sock")))
    #expect(try target("unix:x") == .connect(.unix(path: "/run/vswitch/x")))
  }

  @Test func plainTCPWithoutAnAddressIsForThisHostAlone() throws {
    #expect(try RemoteTarget("ptcp:6640", sockets: Self.sockets) == .listen(.tcp(host: "127.0.0.1", port: 6640)))
    #expect(try RemoteTarget("ptcp:", sockets: Self.sockets) == .listen(.tcp(host: "127.0.0.1", port: 6640)))
    #expect(try RemoteTarget("pssl:6640", sockets: Self.sockets) == .listen(.ssl(host: "0.0.0.0", port: 6640)))
  }

  @Test(arguments: [
    "", "ptcp", "ptcp:x", "ptcp:-1", "ptcp:+1", "ptcp:65536", "ptcp:1:", "tcp:", "tcp:h:0", "ssl:h:70000", "bogus:1",
    "punix:", "punix:../x", "punix:/etc/x", "punix:/run/vswitch/../x", "punix:a/b", "unix:/var/run/docker.sock",
    "punix:a\u{0}b", "punix:/run/vswitch",
  ])
  func otherTargetsAreRefused(_ text: String) {
    #expect(throws: TransportError.self) { try RemoteTarget(text, sockets: Self.sockets) }
  }
}
