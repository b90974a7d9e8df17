// The store that the options ask for, opened: the embedded server over SQLite, or the client of a real ovsdb-server.

import Logging
import OVSDB
import Transport
import VSwitchCore

/// An open store and what belongs to its kind.
struct OpenStore: Sendable {
  let store: any ConfigurationStore
  /// Serves `db.sock`; nil where another process is the server.
  let server: DatabaseServer?
  /// For people: the file, or the servers.
  let location: String
  private let end: @Sendable () async throws -> Void

  /// - Throws: cause and remedy.
  init(_ options: DaemonOptions) async throws(ConfigError) {
    if options.databases.isEmpty {
      do {
        let rows = try SQLiteRowStore(path: options.storeFile)
        let server = try await DatabaseServer(store: rows, logger: Logger(label: "ovsdb"))
        try await Self.fill(server)
        self.init(store: server, server: server, location: options.storeFile) {
          await server.close()
          try rows.close()
        }
      } catch {
        throw Self.configError(error, remedy: "put a backup of \(options.storeFile) in its place")
      }
    } else {
      let remote = try Self.remote(options)
      self.init(
        store: remote, server: nil, location: options.databases.map(\.description).joined(separator: ",")
      ) { await remote.close() }
      await remote.start()
    }
  }

  private init(
    store: any ConfigurationStore, server: DatabaseServer?, location: String,
    end: @escaping @Sendable () async throws -> Void
  ) {
    self.store = store
    self.server = server
    self.location = location
    self.end = end
  }

  func close() async throws { try await end() }

  private static func remote(_ options: DaemonOptions) throws(ConfigError) -> RemoteDatabase {
    if options.databases.contains(where: \.isTLS), let files = options.tls {
      // What is wrong with the files is told now, not when the first server answers.
      do throws(TransportError) {
        _ = try files.clientContext()
      } catch {
        throw ConfigError(cause: "\(error)", remedy: "see --private-key, --certificate and --ca-cert")
      }
    }
    var settings = RemoteDatabase.Options(endpoints: options.databases)
    settings.tls = options.tls
    settings.lock = "ovs_vswitchd"
    // Other programs' notes, written often by some; those of the root row hold the system's id.
    settings.ignored = Dictionary(
      uniqueKeysWithValues: ["Bridge", "Port", "Interface"].map { ($0, ["external_ids"]) })
    return RemoteDatabase(settings, logger: Logger(label: "database"))
  }

  /// A new database gets its one row of Open_vSwitch: `ovs-vsctl init` is not needed.
  private static func fill(_ database: DatabaseServer) async throws {
    guard await database.snapshot().only("Open_vSwitch") == nil else { return }
    let reply = await database.transact([["op": "insert", "table": "Open_vSwitch", "row": [:]]])
    if let error = reply.error { throw error }
  }

  static func configError(_ error: any Error, remedy: String) -> ConfigError {
    switch error {
    case let error as ConfigError: error
    case let error as StoreError: ConfigError(cause: error.cause, remedy: error.remedy)
    case let error as OVSDBError: ConfigError(cause: "the store could not be used (\(error))", remedy: remedy)
    default: ConfigError(cause: "\(error)", remedy: remedy)
    }
  }
}
