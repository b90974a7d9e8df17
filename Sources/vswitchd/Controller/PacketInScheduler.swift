// At most so many packets a second for one controller, as columns `controller_rate_limit` and `controller_burst_limit` of
// Controller say. What comes faster waits, port by port in turn; when too much waits, the port that has most waiting loses
// its newest, so that one port's flood costs the others nothing. Pure: time is passed in.

/// Packets on their way to one controller.
struct PacketInScheduler<Packet> {
  /// Nanoseconds from one packet to the next.
  private let interval: UInt64
  private let burstLimit: UInt64
  /// Nanoseconds' worth of packets that may leave.
  private var credit: UInt64
  private var filledAt: UInt64
  private var waiting: [UInt32: [Packet]] = [:]
  /// Ports with waiting packets, the next to be served first.
  private var turn: [UInt32] = []
  private(set) var waitingCount = 0
  private(set) var droppedCount: UInt64 = 0

  /// - Parameters:
  ///   - burstLimit: packets that may leave at once, and as many may wait; at least 1.
  ///   - now: nanoseconds.
  init(packetsPerSecond: Int, burstLimit: Int, now: UInt64) {
    interval = 1_000_000_000 / UInt64(min(max(packetsPerSecond, 1), 1_000_000_000))
    self.burstLimit = UInt64(min(max(burstLimit, 1), 1_000_000))
    credit = self.burstLimit * interval
    filledAt = now
  }

  /// Takes a packet in.
  /// - Returns: the packet, if it may leave at once.
  mutating func add(_ packet: Packet, port: UInt32, now: UInt64) -> Packet? {
    fill(now)
    if waitingCount == 0, take() { return packet }
    if UInt64(waitingCount) >= burstLimit { dropFromTheLongest() }
    if waiting[port] == nil { turn.append(port) }
    waiting[port, default: []].append(packet)
    waitingCount += 1
    return nil
  }

  /// The next packet that may leave; nil if none waits or it is too early.
  mutating func next(now: UInt64) -> Packet? {
    fill(now)
    guard waitingCount > 0, take(), let port = turn.first else { return nil }
    turn.removeFirst()
    guard var packets = waiting.removeValue(forKey: port), !packets.isEmpty else { return nil }
    let packet = packets.removeFirst()
    waitingCount -= 1
    if !packets.isEmpty {
      waiting[port] = packets
      turn.append(port)
    }
    return packet
  }

  /// Nanoseconds until the next packet may leave; nil if none waits.
  var delay: UInt64? { waitingCount == 0 ? nil : credit >= interval ? 0 : interval - credit }

  private mutating func fill(_ now: UInt64) {
    guard now > filledAt else { return }
    credit = min(credit + min(now - filledAt, 1 << 62), burstLimit * interval)
    filledAt = now
  }

  private mutating func take() -> Bool {
    guard credit >= interval else { return false }
    credit -= interval
    return true
  }

  private mutating func dropFromTheLongest() {
    guard let port = turn.max(by: { waiting[$0]?.count ?? 0 < waiting[$1]?.count ?? 0 }) else { return }
    waiting[port]?.removeLast()
    waitingCount -= 1
    droppedCount += 1
    if waiting[port]?.isEmpty != false {
      waiting[port] = nil
      turn.removeAll { $0 == port }
    }
  }
}
