// The commands and what they share. Each file beside this one adds a group of them.

import Datapath
import Logging
import OVSDB
import VSwitchCore

/// What the commands act on.
struct ControlCommands: Sendable {
  let plane: any SwitchPlane
  let reconciler: Reconciler
  let store: any ConfigurationStore
  /// Where the store is, for people.
  let location: String
  let sink: LogSink
  let lock: RunDirectoryLock
  let started: ContinuousClock.Instant
  let coverage: Coverage
  /// Nil in tests without routers.
  let network: NetworkService?
  /// Ends the daemon.
  let end: @Sendable () -> Void
  let connectionEvents: ConnectionEventLog
  let blocking = BlockingCalls()

  init(
    plane: any SwitchPlane, reconciler: Reconciler, store: any ConfigurationStore, location: String, sink: LogSink,
    lock: RunDirectoryLock, started: ContinuousClock.Instant, coverage: Coverage = Coverage(),
    network: NetworkService? = nil, end: @escaping @Sendable () -> Void
  ) {
    self.plane = plane
    connectionEvents = ConnectionEventLog(plane: plane)
    self.reconciler = reconciler
    self.store = store
    self.location = location
    self.sink = sink
    self.lock = lock
    self.started = started
    self.coverage = coverage
    self.network = network
    self.end = end
  }

  var all: [ControlCommand] {
    fdbCommands + counterCommands + daemonCommands + logCommands + reportCommands + flowCommands + workerCommands
      + conntrackCommands + routerCommands
  }

  /// What Open vSwitch says; with `--json` also what to do about it.
  static func noBridge(_ name: String, _ call: ControlCall) -> ControlError {
    call.wantsJSON
      ? ControlError("there is no bridge \"\(LogText.escaped(name))\": see the bridges with list-br\n")
      : ControlError("no such bridge\n")
  }

  static func line(_ error: ConfigError) -> ControlError {
    ControlError(LogText.escaped(error.cause) + ": " + LogText.escaped(error.remedy) + "\n")
  }

  static func vlan(_ text: String) throws(ControlError) -> UInt16 {
    if let vlan = UInt16(text), vlan < 4096 { return vlan }
    throw ControlError("\"\(LogText.escaped(text))\" is no VLAN: give 0 to 4095\n")
  }

  static func address(_ text: String) throws(ControlError) -> MACAddress {
    if let address = MACAddress(text) { return address }
    throw ControlError("\"\(LogText.escaped(text))\" is no MAC address: write it as 52:54:00:12:34:56\n")
  }
}

extension JSONValue {
  /// A count; what no Int64 holds is its largest.
  init(_ count: UInt64) { self = .integer(Int64(clamping: count)) }
  init(_ number: Int) { self = .integer(Int64(number)) }
}
