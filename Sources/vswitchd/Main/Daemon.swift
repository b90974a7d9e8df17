// Puts the daemon together, in the order that gets packets moving first: store, configuration, datapath, status, then
// listeners and the message that we are ready. Ends in the reverse order. What was answered is durable, so being
// killed at any moment is a correct, if impolite, end.

import Datapath
import Dispatch
import Glibc
import Logging
import OVSDB
import ServiceLifecycle
import UnixSignals
import VSwitchCore

/// The daemon after its options, lock and privileges are settled.
struct Daemon: Sendable {
  let options: DaemonOptions
  let lock: RunDirectoryLock
  let sink: LogSink

  /// Runs until a signal or the control socket ends it.
  func run() async throws(ConfigError) {
    let started = ContinuousClock.now
    let logger = Logger(label: "vswitchd")
    let store: SQLiteRowStore
    let database: DatabaseServer
    do {
      store = try SQLiteRowStore(path: options.storeFile)
      database = try await DatabaseServer(store: store, logger: Logger(label: "ovsdb"))
      try await Self.fill(database)
    } catch {
      throw Self.configError(error, remedy: "put a backup of \(options.storeFile) in its place")
    }
    var datapathOptions = DatapathOptions()
    datapathOptions.workerCPU = options.workerCPU
    datapathOptions.avoidIOUring = Environment.variable("VSWITCH_NO_IO_URING") == "1"
    datapathOptions.captureDirectory = captureDirectory
    datapathOptions.runDirectory = options.runDirectory
    // If it can't be made, a pcap port says so when there is one.
    try? RunDirectoryLock.makeDirectory(captureDirectory)
    let datapath = try Datapath(datapathOptions)
    let reconciler = Reconciler(store: database, plane: datapath, logger: Logger(label: "reconciler"))
    await reconciler.start()

    lock.removeStaleSockets()
    let ending = EndRequest()
    let commands = ControlCommands(
      plane: datapath, reconciler: reconciler, sink: sink, lock: lock, started: started, end: { ending.request() })
    let control: JSONRPCServer
    do {
      _ = try await database.listen(on: .unix(path: options.runDirectory + "/db.sock"))
      control = try await ControlServer.listen(path: lock.controlSocketPath, commands, Logger(label: "control"))
    } catch {
      throw Self.configError(error, remedy: "check \(options.runDirectory)")
    }
    logger.info(
      "ready",
      metadata: [
        "version": "\(Version.program)", "run_dir": "\(options.runDirectory)", "store": "\(options.storeFile)",
        "start_ms": "\(Self.milliseconds(ContinuousClock.now - started))",
      ])
    ServiceManager.notify("READY=1\nMAINPID=\(lock.processID)", logger: logger)

    var configuration = ServiceGroupConfiguration(
      services: [
        .init(service: reconciler, successTerminationBehavior: .gracefullyShutdownGroup),
        .init(service: HangupService(sink: sink), successTerminationBehavior: .gracefullyShutdownGroup),
        .init(service: ManagerService(database, options), successTerminationBehavior: .gracefullyShutdownGroup),
        .init(service: ending, successTerminationBehavior: .gracefullyShutdownGroup),
      ],
      gracefulShutdownSignals: [.sigterm, .sigint], logger: Logger(label: "services"))
    configuration.maximumGracefulShutdownDuration = .seconds(5)
    do {
      try await ServiceGroup(configuration: configuration).run()
    } catch {
      logger.error("a service failed", metadata: ["reason": "\(error)"])
    }
    ServiceManager.notify("STOPPING=1", logger: logger)
    logger.info("ending")
    await control.close()
    await database.close()
    datapath.shutdown()
    do {
      try store.close()
    } catch {
      logger.error("could not close the store", metadata: ["reason": "\(error)"])
    }
  }

  /// Where pcap ports may have their files: beside the store, so that a run dir of its own keeps its captures too.
  private var captureDirectory: String {
    let directory = options.storeFile.lastIndex(of: "/").map { String(options.storeFile[..<$0]) } ?? ""
    return directory + "/pcap"
  }

  /// A new database gets its one row of Open_vSwitch: `ovs-vsctl init` is not needed.
  private static func fill(_ database: DatabaseServer) async throws {
    guard await database.snapshot().only("Open_vSwitch") == nil else { return }
    let reply = await database.transact([["op": "insert", "table": "Open_vSwitch", "row": [:]]])
    if let error = reply.error { throw error }
  }

  private static func configError(_ error: any Error, remedy: String) -> ConfigError {
    switch error {
    case let error as ConfigError: error
    case let error as StoreError: ConfigError(cause: error.cause, remedy: error.remedy)
    case let error as OVSDBError: ConfigError(cause: "the store could not be used (\(error))", remedy: remedy)
    case let error as JSONRPCError: ConfigError(cause: "\(error)", remedy: remedy)
    default: ConfigError(cause: "\(error)", remedy: remedy)
    }
  }

  private static func milliseconds(_ duration: Duration) -> Int64 {
    duration.components.seconds * 1000 + duration.components.attoseconds / 1_000_000_000_000_000
  }
}

/// Opens the log anew on SIGHUP.
struct HangupService: Service {
  let sink: LogSink

  func run() async {
    let logger = Logger(label: "log")
    let signals = await UnixSignalsSequence(trapping: .sighup)
    for await _ in signals.cancelOnGracefulShutdown() {
      do {
        try sink.reopen()
        logger.info("log opened anew")
      } catch {
        logger.error("\(error)")
      }
    }
  }
}

/// Ends the daemon when asked to: its `run` returns, and with it the group of services.
final class EndRequest: Service {
  private let stream: AsyncStream<Void>
  private let source: AsyncStream<Void>.Continuation

  init() { (stream, source) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1)) }

  func request() { source.yield() }

  func run() async {
    for await _ in stream.cancelOnGracefulShutdown() { return }
  }
}
