// Commands on the daemon itself: version, state, end.

import Datapath
import Glibc
import Logging
import OVSDB
import VSwitchCore

extension ControlCommands {
  var daemonCommands: [ControlCommand] {
    [
      ControlCommand("version", "", 0...0) { call throws(ControlError) in
        call.wantsJSON
          ? .json(["name": "vswitchd", "version": .string(Version.program)])
          : .text("vswitchd \(Version.program)\n")
      },
      ControlCommand("status", "", 0...0) { call throws(ControlError) in
        let status = await status()
        return call.wantsJSON ? .json(status.json) : .text(status.text)
      },
      ControlCommand("exit", "[--cleanup]", 0...1) { call throws(ControlError) in
        if let argument = call.arguments.first, argument != "--cleanup" {
          throw ControlError("\"\(LogText.escaped(argument))\" is unknown: exit takes only --cleanup\n")
        }
        // The answer has to leave first.
        Task {
          try? await Task.sleep(for: .milliseconds(20))
          end()
        }
        return call.wantsJSON ? .json([:]) : .text("")
      },
    ]
  }

  private func status() async -> DaemonStatus {
    let states = await blocking { [plane] in plane.portStates() }
    return DaemonStatus(
      processID: Int(lock.processID), runDirectory: lock.directory,
      uptimeSeconds: Int((ContinuousClock.now - started).components.seconds), ioEngine: plane.engineName,
      database: await DatabaseStatus(location, store.access), ports: states)
  }
}

/// What `status` tells.
struct DaemonStatus: Sendable {
  var processID: Int
  var runDirectory: String
  var uptimeSeconds: Int
  /// How the worker reads and writes packets: io_uring, or epoll where the system refuses that.
  var ioEngine: String
  var database: DatabaseStatus
  var ports: [PortState]

  /// How packets move at the port; nil for ports without system calls.
  private static func engine(_ port: PortState) -> String? { port.status["io_engine"] }

  private static func link(_ port: PortState) -> String? { port.isLinkUp.map { $0 ? "up" : "down" } }

  var json: JSONValue {
    [
      "version": .string(Version.program), "pid": JSONValue(processID), "run_dir": .string(runDirectory),
      "uptime_seconds": JSONValue(uptimeSeconds), "io_engine": .string(ioEngine), "database": database.json,
      "ports": .array(
        sortedPorts.map { port in
          [
            "bridge": .string(port.bridge), "port": .string(port.name),
            "port_number": port.portNumber.map { JSONValue(Int($0)) } ?? .null,
            "link": Self.link(port).map(JSONValue.string) ?? .null,
            "mtu": port.mtu.map { JSONValue($0) } ?? .null,
            "mac": port.hardwareAddress.map { .string($0.description) } ?? .null,
            "io_engine": Self.engine(port).map(JSONValue.string) ?? .null,
            "error": port.error.map { .string($0.description) } ?? .null,
          ]
        }),
    ]
  }

  var text: String {
    let head = """
      vswitchd \(Version.program), pid \(processID), up \(uptimeSeconds) s, packets by \(ioEngine)
      run dir \(runDirectory)
      database \(LogText.escaped(database.text))

      """
    let table = TextTable.text(
      [
        ("bridge", .left), ("port", .left), ("number", .right), ("link", .left), ("mtu", .right), ("mac", .left),
        ("io engine", .left), ("error", .left),
      ],
      sortedPorts.map { port in
        [
          port.bridge, port.name, port.portNumber.map { String($0) } ?? "-", Self.link(port) ?? "-",
          port.mtu.map { String($0) } ?? "-", port.hardwareAddress?.description ?? "-", Self.engine(port) ?? "-",
          port.error.map { LogText.escaped($0.description) } ?? "",
        ]
      })
    return head + table
  }

  private var sortedPorts: [PortState] { ports.sorted { ($0.bridge, $0.name) < ($1.bridge, $1.name) } }
}

/// What `status` tells of the database.
struct DatabaseStatus: Sendable, Equatable {
  /// The embedded store's file, or the servers.
  var location: String
  var state: String
  /// Why it is not ready.
  var reason: String?

  init(_ location: String, _ access: DatabaseAccess) {
    self.location = location
    switch access {
    case .ready: state = "ready"
    case .away(let reason): (state, self.reason) = ("away", reason)
    case .contended: (state, reason) = ("locked", "another process holds its lock: this one changes nothing")
    }
  }

  var text: String { location + ", " + state + (reason.map { " (\($0))" } ?? "") }

  var json: JSONValue {
    ["location": .string(location), "state": .string(state), "reason": reason.map(JSONValue.string) ?? .null]
  }
}
