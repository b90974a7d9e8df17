// The datapath as the reconciler and the control commands use it, so that both can be tested with one that is made of
// memory. Calls block for milliseconds: they are made from `BlockingCalls`, never from a thread of Swift's executor.

import Datapath
import Dispatch
import VSwitchCore

/// What forwards packets.
protocol SwitchPlane: ConntrackPlane {
  /// How packets are read and written: "io_uring" or "epoll".
  var engineName: String { get }
  var events: AsyncStream<DatapathEvent> { get }
  /// Brings everything to `config`.
  /// - Returns: the states of all ports.
  func apply(_ config: SwitchConfig) -> [PortState]
  /// Brings some ports to what is wanted of them now.
  /// - Returns: the states of those that are wanted.
  func apply(_ changes: [PortChange]) -> [PortState]
  func portStates() -> [PortState]
  func counters() -> [(bridge: String, port: String, portNumber: UInt16, counters: PortCounters)]
  func macTable(bridge: String) -> [MACTableEntry]?
  func flushMACTable(bridge: String, vlan: UInt16?, port: String?) throws(ConfigError) -> Int
  func addMACEntry(bridge: String, port: String, vlan: UInt16, address: MACAddress) throws(ConfigError)
  /// Names of a bridge's ports; nil if there is no such bridge.
  func portNames(bridge: String) -> [PortNumber: String]?
  func trace(bridge: String, _ packet: TracedPacket, _ syntax: any TraceSyntax) -> Trace?
  func cachedFlows(bridge: String) -> [CachedFlow]?
  func flowCache(bridge: String) -> FlowCacheStatistics?
  /// The workers in use, and what they run.
  func workers() -> [WorkerDescription]
  func removeMACEntry(bridge: String, vlan: UInt16, address: MACAddress) throws(ConfigError)
}

extension Datapath: SwitchPlane {}

/// A thread for calls that block, one after the other.
struct BlockingCalls: Sendable {
  private let queue = DispatchQueue(label: "datapath calls")

  func callAsFunction<T: Sendable>(_ body: @escaping @Sendable () -> T) async -> T {
    await withCheckedContinuation { continuation in
      queue.async { continuation.resume(returning: body()) }
    }
  }
}
