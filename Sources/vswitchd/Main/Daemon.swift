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
  let linkSocket: LinkMonitorSocket?
  let system: SystemInformation

  /// Runs until a signal or the control socket ends it.
  func run() async throws(ConfigError) {
    let started = ContinuousClock.now
    let logger = Logger(label: "vswitchd")
    let opened = try await OpenStore(options)
    var datapathOptions = DatapathOptions()
    datapathOptions.workerCPU = options.workerCPU
    datapathOptions.avoidIOUring = Environment.variable("VSWITCH_NO_IO_URING") == "1"
    datapathOptions.captureDirectory = captureDirectory
    datapathOptions.runDirectory = options.runDirectory
    datapathOptions.linkSocket = linkSocket
    // If it can't be made, a pcap port says so when there is one.
    try? RunDirectoryLock.makeDirectory(captureDirectory)
    let datapath = try Datapath(datapathOptions)
    let coverage = Coverage()
    var random = SystemRandomNumberGenerator()
    let relay = ServiceRelay()
    let network = NetworkService(
      plane: datapath, logger: Logger(label: "network"), seed: random.next(), handlers: [relay])
    let natNetworks = NATNetworkService(
      plane: datapath, store: opened.store, logger: Logger(label: "natnet"), relay: relay,
      wallSeconds: { Int64(time(nil)) }, neighbours: { await network.neighbours(of: $0) ?? [] })
    let security = SecurityService(plane: datapath, logger: Logger(label: "security"))
    let controllers = ControllerService(
      store: opened.store, plane: datapath, places: options.places, logger: Logger(label: "openflow"),
      punts: network.inbox)
    let reconciler = Reconciler(
      store: opened.store, plane: datapath, logger: Logger(label: "reconciler"), system: system, coverage: coverage,
      routers: network, natNetworks: natNetworks, security: security,
      onApplied: { await controllers.follow($0, $1) })
    await reconciler.start()

    lock.removeStaleSockets()
    await controllers.open()
    let ending = EndRequest()
    let commands = ControlCommands(
      plane: datapath, reconciler: reconciler, store: opened.store, location: opened.location, sink: sink, lock: lock,
      started: started, coverage: coverage, network: network, end: { ending.request() })
    let control: JSONRPCServer
    do {
      _ = try await opened.server?.listen(on: .unix(path: options.runDirectory + "/db.sock"))
      control = try await ControlServer.listen(path: lock.controlSocketPath, commands, Logger(label: "control"))
    } catch {
      throw OpenStore.configError(error, remedy: "check \(options.runDirectory)")
    }
    logger.info(
      "ready",
      metadata: [
        "version": "\(Version.program)", "run_dir": "\(options.runDirectory)", "store": "\(opened.location)",
        "start_ms": "\(Self.milliseconds(ContinuousClock.now - started))",
      ])
    ServiceManager.notify("READY=1\nMAINPID=\(lock.processID)", logger: logger)

    var services: [any Service] = [reconciler, controllers, network, natNetworks, HangupService(sink: sink), ending]
    // A real ovsdb-server serves the clients of its database itself.
    if let server = opened.server { services.append(ManagerService(server, options)) }
    var configuration = ServiceGroupConfiguration(
      services: services.map { .init(service: $0, successTerminationBehavior: .gracefullyShutdownGroup) },
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
    do {
      try await opened.close()
    } catch {
      logger.error("could not close the store", metadata: ["reason": "\(error)"])
    }
    datapath.shutdown()
  }

  /// Where pcap ports may have their files: beside the store, so that a run dir of its own keeps its captures too.
  private var captureDirectory: String {
    let directory = options.storeFile.lastIndex(of: "/").map { String(options.storeFile[..<$0]) } ?? ""
    return directory + "/pcap"
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
