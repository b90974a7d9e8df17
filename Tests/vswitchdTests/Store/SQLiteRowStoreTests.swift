import Foundation
import Glibc
import OVSDB
import TestSupport
import Testing

@testable import vswitchd

struct SQLiteRowStoreTests {
  private func row(_ number: UInt64, _ columns: String = "{}") -> PersistedRow {
    PersistedRow(table: "Bridge", uuid: RowUUID(high: 7, low: number), columns: columns)
  }

  @Test func rowsSurviveClosing() async throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/a/b/store.sqlite"
    let store = try SQLiteRowStore(path: path)
    #expect(try await store.load().isEmpty)
    try await store.commit([.put(row(1)), .put(row(2, "{\"name\":\"é\\u0000\"}")), .put(row(3))])
    try await store.commit([.put(row(1, "{\"name\":\"br0\"}")), .remove(table: "Bridge", uuid: row(3).uuid)])
    try store.close()
    let again = try SQLiteRowStore(path: path)
    let rows = try await again.load().sorted { $0.uuid < $1.uuid }
    #expect(rows == [row(1, "{\"name\":\"br0\"}"), row(2, "{\"name\":\"é\\u0000\"}")])
  }

  @Test func fileIsForItsOwnerOnly() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/store.sqlite"
    _ = FileManager.default.createFile(atPath: path, contents: nil, attributes: [.posixPermissions: 0o666])
    let store = try SQLiteRowStore(path: path)
    let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
    #expect(mode == 0o600)
    try store.close()
  }

  @Test func secondUserOfTheFileIsRefused() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/store.sqlite"
    let store = try SQLiteRowStore(path: path)
    let error = #expect(throws: StoreError.self) { _ = try SQLiteRowStore(path: path) }
    #expect(error?.cause.contains("in use by another process") == true)
    try store.close()
  }

  @Test func storeOfALaterVersionIsRefusedAndUntouched() async throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/store.sqlite"
    let store = try SQLiteRowStore(path: path)
    try await store.commit([.put(row(1))])
    try store.close()
    var bytes = try Data(contentsOf: URL(filePath: path))
    bytes[63] = 2
    try bytes.write(to: URL(filePath: path))
    let error = #expect(throws: StoreError.self) { _ = try SQLiteRowStore(path: path) }
    #expect(error?.cause == "the store \(path) has version 2, and this vswitchd reads up to version 1")
    #expect(error?.remedy.isEmpty == false)
    #expect(try Data(contentsOf: URL(filePath: path)) == bytes)
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == ["store.sqlite"])
  }

  @Test(arguments: [
    "not a database", String(repeating: "x", count: 100),
    "SQLite format 3\0" + String(repeating: "\0", count: 200),
  ])
  func foreignFileIsRefusedAndUntouched(_ text: String) throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/store.sqlite"
    try Data(text.utf8).write(to: URL(filePath: path))
    #expect(throws: StoreError.self) { _ = try SQLiteRowStore(path: path) }
    #expect(try Data(contentsOf: URL(filePath: path)) == Data(text.utf8))
  }

  @Test func damagedPagesAreOneLineNotACrash() async throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/store.sqlite"
    let store = try SQLiteRowStore(path: path)
    try await store.commit((0..<200).map { .put(row($0, "{\"name\":\"bridge\($0)\"}")) })
    try store.close()
    var bytes = try Data(contentsOf: URL(filePath: path))
    for offset in 4096..<bytes.count { bytes[offset] = 0xa5 }
    try bytes.write(to: URL(filePath: path))
    let error = await #expect(throws: StoreError.self) { _ = try await SQLiteRowStore(path: path).load() }
    #expect(error?.cause.contains("damaged") == true)
    #expect(error?.description.contains("\n") == false)
  }

  @Test func symbolicLinkIsNotFollowed() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/store.sqlite"
    try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: directory.path + "/elsewhere")
    #expect(throws: StoreError.self) { _ = try SQLiteRowStore(path: path) }
    #expect(!FileManager.default.fileExists(atPath: directory.path + "/elsewhere"))
  }

  @Test(.enabled(if: geteuid() == 0, "mounting a small file system needs root"))
  func fullDiskFailsOneCommitAndKeepsWhatWasCommitted() async throws {
    let directory = try TemporaryDirectory()
    let mounted = unsafe mount("tmpfs", directory.path, "tmpfs", 0, "size=128k")
    try #require(mounted == 0)
    defer { _ = unsafe umount2(directory.path, Int32(MNT_DETACH)) }
    let path = directory.path + "/store.sqlite"
    let store = try SQLiteRowStore(path: path)
    try await store.commit([.put(row(1))])
    let big = String(repeating: "x", count: 200_000)
    let error = await #expect(throws: StoreError.self) { try await store.commit([.put(self.row(2, big))]) }
    #expect(error?.description.contains("\n") == false)
    #expect(error?.remedy.contains("space") == true)
    try await store.commit([.put(row(3))])
    try store.close()
    let rows = try await SQLiteRowStore(path: path).load()
    #expect(rows.map(\.uuid).sorted() == [row(1).uuid, row(3).uuid])
  }

  @Test(arguments: [0, 1, 50, 99])
  func shortHeaderIsNoStore(_ count: Int) {
    let bytes = [UInt8](repeating: 0, count: count)
    #expect(StoreFile.header(bytes) == (count == 0 ? .empty : .unreadable))
  }
}
