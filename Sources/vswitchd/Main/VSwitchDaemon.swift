// The program: options, then everything that must happen while the process has one thread (umask, lock, privileges),
// then the daemon itself. An error at start is one line on standard error with cause and remedy, and exit code 1.

import ArgumentParser
import Datapath
import Dispatch
import Glibc
import Logging
import VSwitchCore

@main
struct VSwitchDaemon: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "vswitchd",
    abstract: "The daemon of the virtual switch: runs in the foreground until SIGTERM.",
    discussion: """
      Configure it with vsctl or any client of OVSDB on <run dir>/db.sock, or with --db on a server of yours. SIGHUP opens the log file anew.
      """,
    version: "vswitchd \(Version.program)")

  @Option(
    help: ArgumentHelp(
      "Directory of sockets and pidfile (default: $VSWITCH_RUNDIR, else /run/vswitch).", valueName: "dir"))
  var runDir: String?

  @Option(
    help: ArgumentHelp(
      "File of the database (default: /var/lib/vswitch/vswitch.sqlite; inside the run dir if one is given).",
      valueName: "file"))
  var store: String?

  @Option(
    help: ArgumentHelp("Directory of the keys and certificates that table SSL may name.", valueName: "dir"))
  var tlsDir: String = "/etc/vswitch/tls"

  @Option(
    help: ArgumentHelp(
      """
      Take the configuration from ovsdb-server at unix:PATH, tcp:HOST:PORT or ssl:HOST:PORT (several with commas: the \
      members of a cluster) instead of serving it.
      """, valueName: "servers"))
  var db: String?

  @Option(
    name: [.customShort("p"), .long], help: ArgumentHelp("For ssl: the private key, a PEM file.", valueName: "file"))
  var privateKey: String?

  @Option(
    name: [.customShort("c"), .long], help: ArgumentHelp("For ssl: our certificate, a PEM file.", valueName: "file"))
  var certificate: String?

  @Option(
    name: [.customShort("C"), .long],
    help: ArgumentHelp("For ssl: certificates of those whom we trust, a PEM file.", valueName: "file"))
  var caCert: String?

  @Option(help: ArgumentHelp("trace, debug, info, notice, warning, error or critical.", valueName: "level"))
  var logLevel: String = "info"

  @Option(help: ArgumentHelp("Append the log to this file instead of standard error.", valueName: "file"))
  var logFile: String?

  @Option(help: ArgumentHelp("CPU to pin the packet worker to.", valueName: "n", visibility: .hidden))
  var workerCPU: Int?

  func run() throws {
    let options: DaemonOptions
    let lock: RunDirectoryLock
    let sink: LogSink
    let linkSocket: LinkMonitorSocket?
    let missing = Privileges.missing()
    do throws(ConfigError) {
      options = try DaemonOptions(self, environment: Environment.variable)
      umask(0o077)
      signal(SIGPIPE, SIG_IGN)
      // Log rotation may come while we start; `HangupService` listens later.
      signal(SIGHUP, SIG_IGN)
      // Both need more than the daemon keeps. Without the second it hears no link events: the datapath says why.
      NamespaceBroker.start()
      linkSocket = try? LinkMonitorSocket()
      lock = try RunDirectoryLock(directory: options.runDirectory)
      sink = try LogSink(path: options.logFile, level: options.logLevel)
      try Privileges.drop()
    } catch {
      Self.fail(error.description)
    }
    LoggingSystem.bootstrap { LineLogHandler(label: $0, sink: sink) }

    for line in missing { Logger(label: "vswitchd").notice("\(line)") }

    // The main thread only waits: the packet worker and Swift's executors have threads of their own.
    let finished = DispatchSemaphore(value: 0)
    let daemon = Daemon(
      options: options, lock: lock, sink: sink, linkSocket: linkSocket, system: SystemInformation.current())
    Task {
      do throws(ConfigError) {
        try await daemon.run()
      } catch {
        Self.fail(error.description)
      }
      finished.signal()
    }
    finished.wait()
    lock.release()
    // Not by return: nothing that is still torn down by destructors may outlive the lock and block the exit.
    Glibc.exit(0)
  }

  /// Ends the process with one line.
  private static func fail(_ line: String) -> Never {
    let text = "vswitchd: " + LogText.escaped(line) + "\n"
    var bytes = text
    bytes.withUTF8 { _ = unsafe Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
    _exit(1)
  }
}
