import Foundation
import TestSupport
import Testing

@testable import Transport

@Suite struct ConfinedDirectoryTests {
  @Test func fileIsReadBelowTheDirectoryAndNowhereElse() throws {
    let outside = try TemporaryDirectory()
    let directory = outside.path + "/keys"
    let files = FileManager.default
    try files.createDirectory(atPath: directory + "/ca", withIntermediateDirectories: true)
    for path in ["/secret", "/keys/a.pem", "/keys/ca/b.pem"] {
      #expect(files.createFile(atPath: outside.path + path, contents: Data("x".utf8)))
    }
    try files.createSymbolicLink(atPath: directory + "/link", withDestinationPath: outside.path + "/secret")
    try files.createSymbolicLink(atPath: directory + "/up", withDestinationPath: outside.path)
    #expect(unsafe mkfifo(directory + "/fifo", 0o600) == 0)
    #expect(files.createFile(atPath: directory + "/large", contents: Data(count: (1 << 20) + 1)))
    let confined = ConfinedDirectory(directory)
    for name in ["a.pem", "ca/b.pem", directory + "/a.pem", directory + "/ca/b.pem"] {
      #expect(try confined.read(name).bytes == Array("x".utf8), "\(name)")
    }
    for name in [
      "../secret", outside.path + "/secret", directory + "/../secret", "link", "up/secret", "ca/../../secret", "", ".",
      "ca", "/", "/etc/passwd", "none", "fifo", "large", "a.pem\u{0}", "a.pem/x",
    ] {
      #expect(throws: TransportError.self, "\(name)") { try confined.read(name) }
    }
  }
}
