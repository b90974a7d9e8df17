// How often one place in the code may log: a burst, then a steady rate; what was left out is counted and told with
// the next line from there. Time is passed in. A value, owned and locked by `LogSink`.

/// Token buckets, one for each place in the code that logs.
struct LogRateLimit {
  /// A place in the code: how many exist is bounded by the program, not by what peers send.
  struct Site: Hashable {
    var file: String
    var line: UInt
  }

  private struct Bucket {
    var tokens: Int
    var filledAtMilliseconds: Int64
    var suppressed = 0
  }

  /// Lines that may come at once.
  let burst: Int
  /// Lines a minute after that.
  let linesPerMinute: Int
  private var buckets: [Site: Bucket] = [:]

  init(burst: Int = 20, linesPerMinute: Int = 20) {
    self.burst = burst
    self.linesPerMinute = linesPerMinute
  }

  /// Asks for one line.
  /// - Returns: nil if the line must be left out; otherwise how many were left out before it.
  mutating func admit(_ site: Site, nowMilliseconds: Int64) -> Int? {
    var bucket = buckets[site] ?? Bucket(tokens: burst, filledAtMilliseconds: nowMilliseconds)
    defer { buckets[site] = bucket }
    let elapsed = max(0, nowMilliseconds - bucket.filledAtMilliseconds)
    // Capped before it is multiplied: a clock that jumps must not overflow.
    let earned = Int(min(elapsed, 86_400_000)) * linesPerMinute / 60_000
    if earned > 0 {
      bucket.tokens = min(burst, bucket.tokens + earned)
      bucket.filledAtMilliseconds = nowMilliseconds
    }
    guard bucket.tokens > 0 else {
      bucket.suppressed += 1
      return nil
    }
    bucket.tokens -= 1
    defer { bucket.suppressed = 0 }
    return bucket.suppressed
  }
}
