import Foundation
import Glibc
import TestSupport
import Testing
import VSwitchCore

@testable import Datapath

/// Runs `body` with a directory that is removed afterwards.
private func withDirectory(_ body: (String) throws -> Void) throws {
  let path = "/tmp/vst\(getpid())-\(UInt64.random(in: 0...UInt64.max))"
  try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
  defer { try? FileManager.default.removeItem(atPath: path) }
  try body(path)
}

private func write(_ frames: [[UInt8]], to writer: inout CaptureWriter) -> Bool {
  for (i, frame) in frames.enumerated() {
    let isWritten = unsafe frame.withUnsafeBytes {
      unsafe writer.write($0, timestampNanoseconds: 1_700_000_000_123_456_789 + UInt64(i))
    }
    if !isWritten { return false }
  }
  return writer.flush()
}

private func readAll(_ reader: inout CaptureReader, bufferByteCount: Int = 70_000) -> [[UInt8]] {
  var frames: [[UInt8]] = []
  unsafe withUnsafeTemporaryAllocation(byteCount: bufferByteCount, alignment: 1) { buffer in
    while let byteCount = unsafe reader.next(into: buffer) { unsafe frames.append(Array(buffer[..<byteCount])) }
  }
  return frames
}

private func cause(_ body: () throws -> Void) -> String {
  do {
    try body()
    return ""
  } catch {
    let text = "\(error)"
    return error is ConfigError && !text.contains("\n") ? text : "not one ConfigError in one line: \(text)"
  }
}

private func frames(_ count: Int) -> [[UInt8]] {
  (0..<count).map { i in
    var frame = TestFrame()
    frame.transport = i % 2 == 0 ? .tcp : .udp
    frame.payload = [UInt8](repeating: UInt8(truncatingIfNeeded: i), count: i * 37)
    return frame.bytes()
  }
}

@Suite struct CaptureFileTests {
  @Test func whatWasWrittenIsReadBack() throws {
    try withDirectory { path in
      let given = frames(40)
      do {
        var writer = try CaptureWriter("a.pcap", in: CaptureDirectory(path), byteLimit: 1 << 20)
        #expect(write(given, to: &writer))
        #expect(try FileManager.default.attributesOfItem(atPath: path + "/a.pcap")[.size] as? Int == writer.byteCount)
      }
      var reader = try CaptureReader("\(path)/a.pcap", in: CaptureDirectory(path))
      #expect(readAll(&reader) == given)
      #expect(reader.failure == nil)
      #expect(reader.timestampNanoseconds == 1_700_000_000_123_456_789 + 39)
      let mode = try FileManager.default.attributesOfItem(atPath: path + "/a.pcap")[.posixPermissions] as? Int
      #expect(mode == 0o600)
    }
  }

  @Test(.enabled(if: unsafe access("/usr/bin/tcpdump", X_OK) == 0, "needs tcpdump"))
  func tcpdumpReadsWhatWasWritten() throws {
    try withDirectory { path in
      var writer = try CaptureWriter("a.pcap", in: CaptureDirectory(path), byteLimit: 1 << 20)
      #expect(write(frames(4), to: &writer))
      // Read from standard input: tcpdump gives up root before it opens a file.
      let text = try run("/bin/sh", ["-c", "/usr/bin/tcpdump -nn -tt --nano -vv -r - < \(path)/a.pcap"])
      #expect(text.contains("1700000000.123456789 "))
      #expect(text.contains("192.0.2.1.4000 > 198.51.100.200.53"))
      #expect(text.contains("(correct)") && !text.contains("incorrect"))
      #expect(text.contains("[udp sum ok]"))
    }
  }

  @Test func fileStopsGrowingAtItsLimit() throws {
    try withDirectory { path in
      var writer = try CaptureWriter("a.pcap", in: CaptureDirectory(path), byteLimit: 24 + 3 * (16 + 60))
      let frame = [UInt8](repeating: 1, count: 60)
      #expect(write([frame, frame, frame], to: &writer))
      #expect(!write([frame], to: &writer))
      #expect(!write([[1]], to: &writer))
      #expect(
        writer.failure.map { "\($0)" }
          == "capture file a.pcap has reached its limit of 252 bytes: raise the limit, or give another file")
      #expect(try FileManager.default.attributesOfItem(atPath: path + "/a.pcap")[.size] as? Int == 252)
    }
  }

  @Test(.enabled(if: mayMakeNamespaces, "needs root"))
  func fullDiskEndsTheFileWithARemedy() throws {
    try withDirectory { path in
      try run("/bin/mount", ["-t", "tmpfs", "-o", "size=64k", "vst", path])
      defer { _ = try? run("/bin/umount", ["-l", path]) }
      var writer = try CaptureWriter("a.pcap", in: CaptureDirectory(path), byteLimit: 1 << 30)
      let frame = [UInt8](repeating: 1, count: 1500)
      var isWritten = true
      for _ in 0..<100 where isWritten { isWritten = write([frame], to: &writer) }
      #expect(!isWritten)
      #expect(
        writer.failure.map { "\($0)" }
          == "could not write capture file a.pcap (No space left on device): free space on the disk")
    }
  }

  @Test func fileOfAnotherKindIsRefused() throws {
    try withDirectory { path in
      let directory = CaptureDirectory(path)
      unsafe mkfifo(path + "/pipe", 0o600)
      try FileManager.default.createDirectory(atPath: path + "/sub", withIntermediateDirectories: false)
      for name in ["pipe", "sub"] {
        #expect(cause { _ = try CaptureReader(name, in: directory) }.contains(name))
        #expect(cause { _ = try CaptureWriter(name, in: directory, byteLimit: 1000) }.contains(name))
      }
    }
  }

  @Test func nameDoesNotLeadOutOfTheDirectory() throws {
    try withDirectory { path in
      let directory = CaptureDirectory(path + "/in")
      try FileManager.default.createDirectory(atPath: path + "/in/sub", withIntermediateDirectories: true)
      try "secret".write(toFile: path + "/outside", atomically: false, encoding: .utf8)
      unsafe symlink(path + "/outside", path + "/in/link")
      unsafe symlink(path, path + "/in/away")
      unsafe Glibc.link(path + "/outside", path + "/in/hard")
      let names = [
        "", ".", "..", "../outside", "sub/../../outside", "/etc/passwd", path + "/outside", path + "/in/../outside",
        path + "/in", "sub//x", "a\u{0}b", "link", "away/outside", "hard", "sub/",
      ]
      for name in names {
        #expect(!cause { _ = try CaptureReader(name, in: directory) }.isEmpty, "\(name.debugDescription)")
        #expect(
          !cause { _ = try CaptureWriter(name, in: directory, byteLimit: 1000) }.isEmpty, "\(name.debugDescription)")
      }
      #expect(try String(contentsOfFile: path + "/outside", encoding: .utf8) == "secret")
      #expect(cause { _ = try CaptureWriter("sub/fine", in: directory, byteLimit: 1000) } == "")
      #expect(
        cause { _ = try CaptureReader("link", in: directory) }
          == "could not open capture file link (Too many levels of symbolic links): "
          + "give a file itself, symbolic links are not followed")
      #expect(
        cause { _ = try CaptureReader("none", in: directory) }
          == "could not open capture file none (No such file or directory): create it, or check the name")
    }
  }

  @Test func wrongFilesAreRefusedInOneLine() throws {
    try withDirectory { path in
      let directory = CaptureDirectory(path)
      func header(_ linkType: UInt8) -> Data {
        Data([0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, linkType, 0, 0, 0])
      }
      try Data("no capture at all, but text".utf8).write(to: URL(fileURLWithPath: path + "/text"))
      #expect(cause { _ = try CaptureReader("text", in: directory) }.hasPrefix("text is no capture file"))
      try Data().write(to: URL(fileURLWithPath: path + "/empty"))
      #expect(cause { _ = try CaptureReader("empty", in: directory) }.hasPrefix("empty is no capture file"))
      try header(113).write(to: URL(fileURLWithPath: path + "/cooked"))
      #expect(
        cause { _ = try CaptureReader("cooked", in: directory) }
          == "capture file cooked has link type LINUX_SLL, not Ethernet: "
          + "capture on an Ethernet interface (not on \"any\")")
      // A record that says 100 bytes, of which 2 follow.
      let record: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 100, 0, 0, 0, 100, 0, 0, 0, 1, 2]
      try (header(1) + Data(record)).write(to: URL(fileURLWithPath: path + "/cut"))
      var reader = try CaptureReader("cut", in: directory)
      #expect(readAll(&reader) == [])
      #expect(reader.failure.map { "\($0)".hasPrefix("capture file cut is broken") } == true)
      #expect(readAll(&reader) == [])
    }
  }

  @Test func framesThatAreNotWholeAreCountedAndSkipped() throws {
    try withDirectory { path in
      var writer = try CaptureWriter("a.pcap", in: CaptureDirectory(path), byteLimit: 1 << 20)
      #expect(write([[1, 2, 3], [UInt8](repeating: 9, count: 100), [4, 5]], to: &writer))
      var small = try CaptureReader("a.pcap", in: CaptureDirectory(path))
      #expect(readAll(&small, bufferByteCount: 99) == [[1, 2, 3], [4, 5]])
      #expect(small.skippedFrameCount == 1)
      // The first record's original length, made longer than what was captured.
      let file = try FileHandle(forUpdating: URL(fileURLWithPath: path + "/a.pcap"))
      try file.seek(toOffset: 24 + 12)
      try file.write(contentsOf: Data([60]))
      try file.close()
      var cut = try CaptureReader("a.pcap", in: CaptureDirectory(path))
      #expect(readAll(&cut).count == 2)
      #expect(cut.skippedFrameCount == 1)
    }
  }

  @Test(arguments: 0..<10 as Range<UInt64>)
  func anyBytesOfAFileEndAsFramesOrAnError(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    try withDirectory { path in
      var writer = try CaptureWriter("a.pcap", in: CaptureDirectory(path), byteLimit: 1 << 20)
      #expect(write(frames(5), to: &writer))
      let good = try Data(contentsOf: URL(fileURLWithPath: path + "/a.pcap"))
      for _ in 0..<100 {
        var bad = good
        for _ in 0..<Int.random(in: 1...6, using: &random) {
          bad[Int.random(in: 0..<bad.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
        }
        try bad.write(to: URL(fileURLWithPath: path + "/b.pcap"))
        let error = cause {
          var reader = try CaptureReader("b.pcap", in: CaptureDirectory(path))
          #expect(readAll(&reader).count <= 5 + 100)
        }
        #expect(!error.hasPrefix("not one"))
      }
    }
  }
}
