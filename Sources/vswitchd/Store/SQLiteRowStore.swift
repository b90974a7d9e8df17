// The rows of the embedded database in one SQLite file: a table of (table, UUID, columns as JSON). Write-ahead log
// with synchronous=FULL: when `commit` has returned, the change survives kill -9 and power loss. The file is locked
// exclusively, so that two daemons can't share it by accident. Any thread; GRDB's queue serializes.

import GRDB
import Glibc
import OVSDB

/// The durable rows of the embedded database.
final class SQLiteRowStore: DurableStore {
  let path: String
  private let queue: DatabaseQueue

  /// Opens or makes the store.
  init(path: String) throws(StoreError) {
    self.path = path
    let isNew = try StoreFile.prepare(path)
    var configuration = Configuration()
    configuration.label = "store"
    configuration.prepareDatabase { database in
      try database.execute(sql: "PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = FULL")
    }
    do {
      queue = try DatabaseQueue(path: path, configuration: configuration)
      try queue.inDatabase { database in
        if isNew {
          // In rollback mode, in one transaction: the header in the file has its marks from the first moment on.
          try database.inTransaction(.exclusive) {
            try database.execute(
              sql: """
                PRAGMA application_id = \(StoreFile.applicationID);
                PRAGMA user_version = \(StoreFile.version);
                CREATE TABLE row (
                  "table" TEXT NOT NULL, uuid TEXT NOT NULL, columns TEXT NOT NULL, PRIMARY KEY ("table", uuid)
                ) STRICT, WITHOUT ROWID;
                """)
            return .commit
          }
        }
        try database.execute(sql: "PRAGMA journal_mode = WAL")
        // The log may hold a newer header than the file.
        let version = try Int.fetchOne(database, sql: "PRAGMA user_version") ?? 0
        guard version == Int(StoreFile.version) else {
          throw StoreError(
            cause: "the store \(path) has version \(version), and this vswitchd reads version \(StoreFile.version)",
            remedy: "start the vswitchd that wrote it, or choose another --store")
        }
      }
    } catch {
      throw Self.failure(error, path)
    }
  }

  func load() async throws -> [PersistedRow] {
    do {
      return try await queue.read { database in
        var rows: [PersistedRow] = []
        let cursor = try GRDB.Row.fetchCursor(database, sql: "SELECT \"table\", uuid, columns FROM row")
        while let row = try cursor.next() {
          let text: String = row[1]
          guard let uuid = RowUUID(text) else {
            throw StoreError(
              cause: "the store \(self.path) holds a row named \"\(text)\"", remedy: "put a backup in its place")
          }
          rows.append(PersistedRow(table: row[0], uuid: uuid, columns: row[2]))
        }
        return rows
      }
    } catch {
      throw Self.failure(error, path)
    }
  }

  func commit(_ changes: [PersistentChange]) async throws {
    do {
      try await queue.write { database in
        let put = try database.cachedStatement(
          sql: "INSERT OR REPLACE INTO row (\"table\", uuid, columns) VALUES (?, ?, ?)")
        let remove = try database.cachedStatement(sql: "DELETE FROM row WHERE \"table\" = ? AND uuid = ?")
        for change in changes {
          switch change {
          case .put(let row): try put.execute(arguments: [row.table, row.uuid.description, row.columns])
          case .remove(let table, let uuid): try remove.execute(arguments: [table, uuid.description])
          }
        }
      }
    } catch {
      throw Self.failure(error, path)
    }
  }

  /// Closes the file; the log is merged into it.
  func close() throws(StoreError) {
    do {
      try queue.close()
    } catch {
      throw Self.failure(error, path)
    }
  }

  private static func failure(_ error: any Error, _ path: String) -> StoreError {
    if let error = error as? StoreError { return error }
    guard let error = error as? DatabaseError else {
      return StoreError(cause: "the store \(path) failed (\(error))", remedy: "check the file")
    }
    switch error.resultCode {
    case .SQLITE_FULL:
      return StoreError(cause: "could not write the store \(path) (No space left)", remedy: "free space there")
    case .SQLITE_BUSY, .SQLITE_LOCKED:
      return StoreError(
        cause: "the store \(path) is in use by another process", remedy: "end that process or choose another --store")
    case .SQLITE_CORRUPT, .SQLITE_NOTADB, .SQLITE_SCHEMA:
      return StoreError(
        cause: "the store \(path) is damaged (\(error.message ?? "no details"))",
        remedy: "put a backup in its place, or move it away to start with an empty one")
    case .SQLITE_READONLY, .SQLITE_CANTOPEN, .SQLITE_PERM, .SQLITE_AUTH:
      return StoreError(
        cause: "could not write the store \(path) (\(error.message ?? "no permission"))",
        remedy: "let the daemon's user write it and its directory, or choose another --store")
    case .SQLITE_IOERR:
      return StoreError(
        cause: "could not write the store \(path) (\(error.message ?? "input/output error"))",
        remedy: "check the disk and its free space")
    default:
      return StoreError(
        cause: "the store \(path) failed (\(error.message ?? "code \(error.resultCode.rawValue)"))",
        remedy: "check the file and its file system")
    }
  }
}
