// What the command line and the environment ask for, checked and with defaults filled in. Pure but for `Environment`.

import Glibc
import Logging
import OVSDB
import Transport
import VSwitchCore

/// The daemon's options.
struct DaemonOptions: Sendable, Equatable {
  var runDirectory: String
  var storeFile: String
  /// Where the files are that table SSL may name.
  var tlsDirectory: String
  /// Servers that hold the database; none: it is embedded, in `storeFile`.
  var databases: [Endpoint] = []
  var tls: TLSFiles?
  var logLevel: Logger.Level
  var logFile: String?
  var workerCPU: Int?

  /// Where the rows of tables Manager, Controller and SSL may name files.
  var places: RemotePlaces {
    RemotePlaces(sockets: ConfinedDirectory(runDirectory), tlsFiles: ConfinedDirectory(tlsDirectory))
  }

  static let defaultRunDirectory = "/run/vswitch"
  static let defaultStoreFile = "/var/lib/vswitch/vswitch.sqlite"

  init(_ arguments: VSwitchDaemon, environment: (String) -> String?) throws(ConfigError) {
    let asked = arguments.runDir ?? environment("VSWITCH_RUNDIR").flatMap { $0.isEmpty ? nil : $0 }
    runDirectory = try Self.path(asked ?? Self.defaultRunDirectory, "--run-dir")
    let store = arguments.store ?? (asked == nil ? Self.defaultStoreFile : runDirectory + "/vswitch.sqlite")
    storeFile = try Self.path(store, "--store")
    tlsDirectory = try Self.path(arguments.tlsDir, "--tls-dir")
    if let text = arguments.db {
      if arguments.store != nil {
        throw ConfigError(
          cause: "--store and --db exclude each other", remedy: "give --db alone to use the server's database")
      }
      databases = try Self.databases(text, runDirectory)
    }
    tls = try Self.tls(arguments, databases)
    guard let level = Logger.Level(rawValue: arguments.logLevel) else {
      throw ConfigError(
        cause: "there is no log level \"\(arguments.logLevel)\"",
        remedy: "give --log-level one of " + Logger.Level.allCases.map(\.rawValue).joined(separator: ", "))
    }
    logLevel = level
    logFile = if let file = arguments.logFile { try Self.path(file, "--log-file") } else { nil }
    if let cpu = arguments.workerCPU {
      let count = sysconf(Int32(_SC_NPROCESSORS_CONF))
      guard (0..<count).contains(cpu) else {
        throw ConfigError(cause: "there is no CPU \(cpu)", remedy: "give --worker-cpu a number from 0 to \(count - 1)")
      }
    }
    workerCPU = arguments.workerCPU
    // sun_path holds 107 bytes; the longest name is ovs-vswitchd.<pid>.ctl.
    guard runDirectory.utf8.count <= 75 else {
      throw ConfigError(
        cause: "the run dir's path has \(runDirectory.utf8.count) bytes, too long for the names of sockets in it",
        remedy: "choose a --run-dir of at most 75 bytes")
    }
  }

  /// Servers as Open vSwitch's programs take them; the path of a socket is relative to the run dir, as theirs is.
  private static func databases(_ text: String, _ runDirectory: String) throws(ConfigError) -> [Endpoint] {
    var result: [Endpoint] = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      switch Endpoint(String(part)) {
      case nil:
        throw ConfigError(
          cause: "\"\(part)\" is no place of a database",
          remedy: "give --db unix:PATH, tcp:HOST:PORT or ssl:HOST:PORT, several with commas and without spaces")
      case .unix(let path) where !path.hasPrefix("/"): result.append(.unix(path: runDirectory + "/" + path))
      case let endpoint?: result.append(endpoint)
      }
    }
    return result
  }

  private static func tls(_ arguments: VSwitchDaemon, _ databases: [Endpoint]) throws(ConfigError) -> TLSFiles? {
    if let key = arguments.privateKey, let certificate = arguments.certificate, let authorities = arguments.caCert {
      return TLSFiles(
        privateKey: try path(key, "--private-key"), certificate: try path(certificate, "--certificate"),
        authorities: try path(authorities, "--ca-cert"))
    }
    let given = [arguments.privateKey, arguments.certificate, arguments.caCert].compactMap(\.self)
    guard given.isEmpty, !databases.contains(where: \.isTLS) else {
      throw ConfigError(
        cause: "TLS needs a key, its certificate and the certificates of those whom we trust",
        remedy: "give --private-key, --certificate and --ca-cert together")
    }
    return nil
  }

  /// Absolute, without a slash at its end.
  private static func path(_ text: String, _ option: String) throws(ConfigError) -> String {
    guard !text.isEmpty, !text.utf8.contains(0) else {
      throw ConfigError(cause: "\(option) is empty", remedy: "give it a path")
    }
    var path = text
    if !path.hasPrefix("/") {
      guard let directory = Environment.currentDirectory() else {
        throw ConfigError(cause: "the current directory is gone", remedy: "give \(option) an absolute path")
      }
      path = directory + (directory.hasSuffix("/") ? "" : "/") + path
    }
    while path.utf8.count > 1, path.hasSuffix("/") { path.removeLast() }
    return path
  }
}

/// The process's surroundings.
enum Environment {
  static func variable(_ name: String) -> String? {
    guard let value = unsafe getenv(name) else { return nil }
    return unsafe String(cString: value)
  }

  static func currentDirectory() -> String? {
    guard let path = unsafe getcwd(nil, 0) else { return nil }
    defer { unsafe free(path) }
    return unsafe String(cString: path)
  }
}
