// How often things happened in the control world, for `coverage/show`: counts, and rates over the last seconds, minute
// and hour. Any thread; the lock is held for an addition. Nothing of the packet world is counted here. Rates come from samples that are taken by the one who
// asks and by the statistics pass, so that an idle daemon has no timer of its own for them.

import Synchronization

/// What is counted.
enum CoverageEvent: Int, CaseIterable, Sendable {
  case reconcilePass, datapathApply, databaseChange, linkEvent, statusTransaction, statusTransactionFailed
  case controlRequest, controlRequestFailed

  var name: String {
    switch self {
    case .reconcilePass: "reconcile_pass"
    case .datapathApply: "datapath_apply"
    case .databaseChange: "database_change"
    case .linkEvent: "link_event"
    case .statusTransaction: "status_transaction"
    case .statusTransactionFailed: "status_transaction_failed"
    case .controlRequest: "control_request"
    case .controlRequestFailed: "control_request_failed"
    }
  }
}

/// The counts of the process.
final class Coverage: Sendable {
  private let counts = Mutex(CoverageHistory())

  func count(_ event: CoverageEvent) { counts.withLock { $0.totals[event.rawValue] += 1 } }

  /// Keeps the counts as they are now.
  func sample(at now: ContinuousClock.Instant = .now) { counts.withLock { $0.sample(at: now) } }

  /// The text of `coverage/show`.
  func text(at now: ContinuousClock.Instant = .now) -> String {
    counts.withLock { history in
      history.sample(at: now)
      return history.text(at: now)
    }
  }

  func total(_ event: CoverageEvent) -> UInt64 { counts.withLock { $0.totals[event.rawValue] } }
}

/// Counts now and before. A value; time is passed in.
struct CoverageHistory {
  struct Sample {
    var time: ContinuousClock.Instant
    var totals: [UInt64]
  }

  var totals = [UInt64](repeating: 0, count: CoverageEvent.allCases.count)
  /// At least 5 s apart for a minute, then a minute apart for an hour; oldest first.
  private(set) var samples: [Sample] = []

  mutating func sample(at now: ContinuousClock.Instant) {
    if let last = samples.last, now - last.time < .seconds(5) { return }
    samples.append(Sample(time: now, totals: totals))
    var kept: [Sample] = []
    for sample in samples {
      let age = now - sample.time
      if age > .seconds(3660) { continue }
      // Of those older than a minute one for each minute.
      if age > .seconds(65), let last = kept.last, sample.time - last.time < .seconds(60) { continue }
      kept.append(sample)
    }
    samples = kept
  }

  /// Events a second over the last `seconds`, or since the first sample if that is later; as Open vSwitch, over the
  /// whole period.
  func rate(_ event: CoverageEvent, overSeconds seconds: Int, at now: ContinuousClock.Instant) -> Double {
    let start = samples.last { now - $0.time >= .seconds(seconds) }?.totals[event.rawValue] ?? 0
    return Double(totals[event.rawValue] - start) / Double(seconds)
  }

  func text(at now: ContinuousClock.Instant) -> String {
    var text = "Event coverage, avg rate over last: 5 seconds, last minute, last hour\n"
    var neverCount = 0
    for event in CoverageEvent.allCases {
      let total = totals[event.rawValue]
      if total == 0 {
        neverCount += 1
        continue
      }
      func rate(_ seconds: Int, _ digits: Int) -> String {
        Self.decimal(self.rate(event, overSeconds: seconds, at: now), digits: digits)
      }
      text +=
        TextTable.padded(event.name, to: 24) + TextTable.padded(rate(5, 1), to: 6, .right) + "/sec "
        + TextTable.padded(rate(60, 3), to: 9, .right) + "/sec " + TextTable.padded(rate(3600, 4), to: 13, .right)
        + "/sec   total: \(total)\n"
    }
    return text + "\(neverCount) events never hit\n"
  }

  /// A number that is not negative with so many digits behind the point.
  private static func decimal(_ value: Double, digits: Int) -> String {
    var scale: UInt64 = 1
    for _ in 0..<digits { scale *= 10 }
    let scaled = UInt64(min(value * Double(scale) + 0.5, 1e18))
    let fraction = String(scaled % scale)
    return "\(scaled / scale)." + String(repeating: "0", count: digits - fraction.utf8.count) + fraction
  }
}
