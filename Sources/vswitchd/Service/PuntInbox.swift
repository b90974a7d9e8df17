// Punted packets that wait for the service: taken from the stream of packets for controllers at once, so that nobody's flood keeps
// those of others away. Each router has so many a second, port by port and reason by reason in turn. Any thread.

import Datapath
import Synchronization
import VSwitchCore

/// What waits for the service.
final class PuntInbox: Sendable {
  /// For each router.
  static let packetsPerSecond = 5000
  static let burstLimit = 512

  private struct State {
    var queues: [String: PacketInScheduler<ControllerPacket>] = [:]
    /// Those that may be handled at once.
    var ready: [(router: String, packet: ControllerPacket)] = []
    var expired: [(router: String, rule: RuleDescription)] = []
    var droppedCount: UInt64 = 0
  }
  private let state = Mutex(State())
  private let wake: AsyncStream<Void>.Continuation
  let wakeUps: AsyncStream<Void>
  private let clock: @Sendable () -> UInt64
  /// Expired rules that are told at once.
  private static let expiredLimit = 65536
  /// Packets that may be handled, if nobody does.
  private static let readyLimit = 2048

  /// - Parameter clock: nanoseconds.
  init(clock: @escaping @Sendable () -> UInt64) {
    self.clock = clock
    (wakeUps, wake) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
  }

  /// The routers that there are.
  func follow(_ names: Set<String>) {
    state.withLock { state in
      state.queues = state.queues.filter { names.contains($0.key) }
      let now = clock()
      for name in names where state.queues[name] == nil {
        state.queues[name] = PacketInScheduler(
          packetsPerSecond: Self.packetsPerSecond, burstLimit: Self.burstLimit, now: now)
      }
    }
  }

  /// Takes a packet of a router's bridge.
  /// - Returns: false if it is none of a router.
  func take(_ packet: BridgePacket) -> Bool {
    let isOurs = state.withLock { state in
      guard state.queues[packet.bridge] != nil else { return false }
      let now = clock()
      // By reason, too: a port's flood of DHCP or questions does not keep its ARP away.
      let source = packet.packet.inPort << 8 | UInt32(packet.packet.userData.first ?? 0)
      if let first = state.queues[packet.bridge]?.add(packet.packet, port: source, now: now) {
        if state.ready.count < Self.readyLimit {
          state.ready.append((packet.bridge, first))
        } else {
          state.droppedCount += 1
        }
      }
      return true
    }
    if isOurs { wake.yield() }
    return isOurs
  }

  /// Takes what happened to rules of a router's bridge.
  func take(_ outcome: BridgeFlowOutcome) -> Bool {
    let expired = outcome.outcome.removed.filter { $0.reason == .idleTimeout }
    let isOurs = state.withLock { state in
      guard state.queues[outcome.bridge] != nil else { return false }
      for rule in expired.prefix(max(Self.expiredLimit - state.expired.count, 0)) {
        state.expired.append((outcome.bridge, rule.rule))
      }
      return true
    }
    if isOurs, !expired.isEmpty { wake.yield() }
    return isOurs
  }

  func wakeUp() { wake.yield() }

  /// What is to be handled next.
  struct Batch {
    var packets: [(router: String, packet: ControllerPacket)] = []
    var expired: [(router: String, rule: RuleDescription)] = []
    /// How long the others have to wait, nanoseconds; nil: there are none.
    var delay: UInt64?
  }

  /// Some of what waits.
  func next(_ limit: Int) -> Batch {
    state.withLock { state in
      let now = clock()
      var packets = Array(state.ready.prefix(limit))
      state.ready.removeFirst(packets.count)
      var delay: UInt64? = state.ready.isEmpty ? nil : 0
      for name in state.queues.keys.sorted() {
        while packets.count < limit, let packet = state.queues[name]?.next(now: now) { packets.append((name, packet)) }
        if let wait = state.queues[name]?.delay { delay = min(delay ?? .max, wait) }
      }
      defer { state.expired = [] }
      return Batch(packets: packets, expired: state.expired, delay: delay)
    }
  }

  /// Packets that were dropped because too many came.
  var droppedCount: UInt64 {
    state.withLock { state in state.queues.values.reduce(state.droppedCount) { $0 + $1.droppedCount } }
  }
}
