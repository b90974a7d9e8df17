import Foundation
import TestSupport
import Testing

@testable import Datapath

@Suite struct ControlGroupTests {
  private func write(_ text: String, _ path: String) throws {
    try FileManager.default.createDirectory(
      atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
    try text.write(toFile: path, atomically: false, encoding: .utf8)
  }

  @Test func theTightestOfTheGroupsAroundTheProcessCounts() throws {
    let directory = try TemporaryDirectory()
    let root = directory.path
    try write("max\n", root + "/a/b/memory.max")
    try write("1000000\n", root + "/a/memory.max")
    try write("400000\n", root + "/a/memory.current")
    let group = ControlGroup("0::/a/b\n", root: root)
    #expect(group.hasRoom(for: 600_000) && !group.hasRoom(for: 600_001))
    // Cached files give way.
    try write("anon 1\ninactive_file 100000\nactive_file 50000\n", root + "/a/memory.stat")
    #expect(group.hasRoom(for: 750_000) && !group.hasRoom(for: 750_001))
    try write("2000000\n", root + "/a/memory.current")
    #expect(!group.hasRoom(for: 1))
    try write("10\n", root + "/a/b/memory.max")
    #expect(!group.hasRoom(for: 11))
  }

  @Test func theFirstVersionsLimitCountsToo() throws {
    let directory = try TemporaryDirectory()
    try write("5000\n", directory.path + "/memory/x/memory.limit_in_bytes")
    try write("1000\n", directory.path + "/memory/x/memory.usage_in_bytes")
    let group = ControlGroup("9:name=systemd:/y\n4:cpu,memory:/x\n", root: directory.path)
    #expect(group.hasRoom(for: 4000) && !group.hasRoom(for: 4001))
  }

  @Test func withoutLimitsThereIsRoom() {
    #expect(ControlGroup("", root: "/nowhere").hasRoom(for: .max))
    #expect(ControlGroup("0::/x\nnonsense\n", root: "/nowhere").hasRoom(for: .max))
  }
}
