// A datapath made of memory: it does what it is told, fails where it is told, and says what it was asked.

import Synchronization
import VSwitchCore

@testable import Datapath
@testable import vswitchd

final class FakePlane: SwitchPlane {
  struct State {
    var config = SwitchConfig()
    var applyCount = 0
    /// How many ports each call was about that was not about all.
    var changeCounts: [Int] = []
    /// Ports that cannot be opened.
    var failing: [String: ConfigError] = [:]
    var counters: [QualifiedPort: PortCounters] = [:]
    var hardwareAddress = MACAddress(bits: 0x0200_0000_0001)
    var entries: [String: [MACTableEntry]] = [:]
  }
  let state = Mutex(State())
  let events: AsyncStream<DatapathEvent>
  let eventSource: AsyncStream<DatapathEvent>.Continuation
  let engineName = "io_uring"

  init() { (events, eventSource) = AsyncStream.makeStream() }

  func workers() -> [WorkerDescription] { [WorkerDescription(number: 0, cpu: nil, bridges: [])] }

  func apply(_ config: SwitchConfig) -> [PortState] {
    state.withLock {
      $0.config = config
      $0.applyCount += 1
    }
    return portStates()
  }

  func apply(_ changes: [PortChange]) -> [PortState] {
    state.withLock { state in
      state.applyCount += 1
      state.changeCounts.append(changes.count)
      for change in changes {
        for index in state.config.bridges.indices where state.config.bridges[index].name == change.bridge {
          state.config.bridges[index].ports.removeAll { $0.name == change.port }
          if let port = change.config { state.config.bridges[index].ports.append(port) }
        }
      }
    }
    let wanted = Set(changes.filter { $0.config != nil }.map { QualifiedPort($0.bridge, $0.port) })
    return portStates().filter { wanted.contains(QualifiedPort($0)) }
  }

  func portStates() -> [PortState] {
    state.withLock { state in
      state.config.bridges.flatMap { bridge in
        bridge.ports.map { port in
          var result = PortState(bridge: bridge.name, name: port.name)
          if let error = state.failing[port.name] {
            result.error = error
          } else {
            result.portNumber = port.interface.portNumberRequest
            result.hardwareAddress = state.hardwareAddress
            result.isLinkUp = true
          }
          return result
        }
      }
    }
  }

  func counters() -> [(bridge: String, port: String, portNumber: UInt16, counters: PortCounters)] {
    state.withLock { state in
      state.counters.map { ($0.key.bridge, $0.key.port, 1, $0.value) }
    }
  }

  func macTable(bridge: String) -> [MACTableEntry]? { state.withLock { $0.entries[bridge] } }

  func flushMACTable(bridge: String, vlan: UInt16?, port: String?) throws(ConfigError) -> Int {
    state.withLock { state in
      let entries = state.entries[bridge] ?? []
      let kept = entries.filter { vlan ?? $0.vlan != $0.vlan || port ?? $0.port != $0.port || $0.ageSeconds == nil }
      state.entries[bridge] = kept
      return entries.count - kept.count
    }
  }

  func addMACEntry(bridge: String, port: String, vlan: UInt16, address: MACAddress) throws(ConfigError) {
    if port == "nosuch" { throw ConfigError(cause: "bridge \(bridge) has no port nosuch", remedy: "add it") }
    state.withLock {
      $0.entries[bridge, default: []].append(
        MACTableEntry(vlan: vlan, address: address, port: port, portNumber: 1, ageSeconds: nil))
    }
  }

  func removeMACEntry(bridge: String, vlan: UInt16, address: MACAddress) throws(ConfigError) {}

  func portNames(bridge: String) -> [PortNumber: String]? { nil }
  func trace(bridge: String, _ packet: TracedPacket, _ syntax: any TraceSyntax) -> Trace? { nil }
  func cachedFlows(bridge: String) -> [CachedFlow]? { nil }
  func flowCache(bridge: String) -> FlowCacheStatistics? { nil }
}
