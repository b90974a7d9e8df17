// Queues of a bridge's ports as the database has them: how they are described, and what rules have sent by them. Packets are
// counted and not shaped. OpenFlow 1.3 §7.2.2, §7.3.5.8, 1.5 §7.3.5.9.

import Datapath
import OpenFlow
import VSwitchCore

extension BridgeAgent {
  /// Rate of a port that does not tell its own, in bits a second; Open vSwitch's.
  private static var unknownRate: UInt64 { 100_000_000 }

  /// The queues of a port, or of all, by port and number.
  /// - Parameter wanted: one of them, or `MultipartRequest.allQueues`.
  func queues(_ port: PortNumber, _ wanted: UInt32 = MultipartRequest.allQueues) throws(ErrorCode) -> [QueueDescription]
  {
    guard hasPort(port) else { throw .queueFailedBadPort }
    var found: [QueueDescription] = []
    for (name, queues) in plan.queues {
      guard let number = ports.numbers[name], port == .any || port == number else { continue }
      let rate = ports.described[number].map { UInt64($0.currentKilobitsPerSecond) * 1000 } ?? 0
      for (queue, settings) in queues where wanted == MultipartRequest.allQueues || wanted == queue {
        var description = QueueDescription(port: number, queue: queue)
        description.minimumRate = settings.minimumRate.map { Self.share($0, of: rate) }
        description.maximumRate = settings.maximumRate.map { Self.share($0, of: rate) }
        found.append(description)
      }
    }
    if found.isEmpty, wanted != MultipartRequest.allQueues { throw .queueFailedBadQueue }
    return found.sorted { ($0.port.rawValue, $0.queue) < ($1.port.rawValue, $1.queue) }
  }

  func queueStatistics(_ port: PortNumber, _ wanted: UInt32) async throws(ErrorCode) -> [QueueStatistics] {
    let queues = try queues(port, wanted)
    guard !queues.isEmpty else { return [] }
    let counts = await blocking { [plane, name] in plane.queueCounts(bridge: name) }
    let now = plane.flowClock
    return queues.map { queue in
      var statistics = QueueStatistics(port: queue.port, queue: queue.queue)
      if let count = counts.first(where: { $0.port == queue.port && $0.queue == queue.queue }) {
        statistics.txPackets = count.packetCount
        statistics.txBytes = count.byteCount
      }
      statistics.duration = ElapsedTime(nanoseconds: now &- (ports.since[queue.port] ?? now))
      return statistics
    }
  }

  /// Tenths of a percent of a port's rate, rounded up.
  private static func share(_ bitsPerSecond: UInt64, of rate: UInt64) -> UInt16 {
    let rate = rate == 0 ? unknownRate : rate
    let (quotient, rest) = rate.dividingFullWidth(min(bitsPerSecond, rate).multipliedFullWidth(by: 1000))
    return UInt16(clamping: quotient + (rest > 0 ? 1 : 0))
  }
}
