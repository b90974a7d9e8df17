// Packets for services of NAT networks, on their way from the service of routers, which must not wait for databases and servers
// outside. Any thread. Bounds: so many packets wait, of one router a quarter; what finds no room is counted and dropped.

import Synchronization
import VSwitchCore

/// What waits for one service.
final class ServiceQueue: Sendable {
  static let limit = 1024

  private struct State {
    var punts: [Punt] = []
    var countByRouter: [String: Int] = [:]
    var droppedCount: UInt64 = 0
  }
  private let state = Mutex(State())
  private let wake: AsyncStream<Void>.Continuation
  let wakeUps: AsyncStream<Void>

  init() { (wakeUps, wake) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1)) }

  func add(_ punt: Punt) {
    state.withLock { state in
      let name = punt.router.name
      guard state.punts.count < Self.limit, state.countByRouter[name, default: 0] < Self.limit / 4 else {
        state.droppedCount += 1
        return
      }
      state.punts.append(punt)
      state.countByRouter[name, default: 0] += 1
    }
    wake.yield()
  }

  /// Takes the first ones out.
  func next(_ count: Int) -> [Punt] {
    state.withLock { state in
      let punts = Array(state.punts.prefix(count))
      state.punts.removeFirst(punts.count)
      for punt in punts {
        let rest = state.countByRouter[punt.router.name, default: 1] - 1
        state.countByRouter[punt.router.name] = rest > 0 ? rest : nil
      }
      return punts
    }
  }

  func wakeUp() { wake.yield() }

  var droppedCount: UInt64 { state.withLock { $0.droppedCount } }
}

/// Hands packets from the service of routers to those of NAT networks.
struct ServiceRelay: PuntHandler {
  let leases = ServiceQueue()
  let questions = ServiceQueue()

  /// ARP, too: who answers from an address that is to be offered.
  var reasons: Set<PuntReason> { [.dhcpv4, .dhcpv6, .dns, .arp, .dhcpv4Client] }

  mutating func handle(_ punt: Punt, now: UInt64) -> PuntReaction {
    (punt.reason == .dns ? questions : leases).add(punt)
    return PuntReaction()
  }
}
