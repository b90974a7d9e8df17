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

  private struct Place: Hashable {
    var router: String
    var port: UInt32
  }
  private struct State {
    var queues: [String: PacketInScheduler<ControllerPacket>] = [:]
    /// Those that may be handled at once.
    var ready: [Place: [ControllerPacket]] = [:]
    /// Ports of which some are ready, the next to be served first.
    var turn: [Place] = []
    var expired: [(router: String, rule: RuleDescription)] = []
    var droppedCount: UInt64 = 0
  }
  private let state = Mutex(State())
  private let wake: AsyncStream<Void>.Continuation
  let wakeUps: AsyncStream<Void>
  private let clock: @Sendable () -> UInt64
  /// Expired rules that are told at once.
  private static let expiredLimit = 65536
  /// Packets of one port that may be handled, if nobody does.
  private static let readyLimit = 128

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
      let port = packet.packet.inPort
      guard let first = state.queues[packet.bridge]?.add(packet.packet, port: port, now: now) else { return true }
      // It may be handled at once, but the service may be behind: each port has its own part of what waits for it.
      let place = Place(router: packet.bridge, port: port)
      if state.ready[place, default: []].count < Self.readyLimit {
        if state.ready[place]?.isEmpty != false { state.turn.append(place) }
        state.ready[place, default: []].append(first)
      } else {
        state.droppedCount += 1
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
      var packets: [(router: String, packet: ControllerPacket)] = []
      while packets.count < limit, let place = state.turn.first {
        state.turn.removeFirst()
        guard var waiting = state.ready.removeValue(forKey: place), !waiting.isEmpty else { continue }
        packets.append((place.router, waiting.removeFirst()))
        if waiting.isEmpty { continue }
        state.ready[place] = waiting
        state.turn.append(place)
      }
      var delay: UInt64? = state.turn.isEmpty ? nil : 0
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
