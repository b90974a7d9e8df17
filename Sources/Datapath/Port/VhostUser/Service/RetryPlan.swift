// When a socket is tried again that nobody listens on. Pure.

/// How long to wait before the next attempt.
struct RetryPlan: Equatable, Sendable {
  /// A program that has made its socket listens within a moment, or a second on a busy machine.
  private static let quickMilliseconds = 20
  private static let quickCount = 50
  /// A program that made its socket long ago and listens now is not told of.
  private static let watchedMilliseconds = 10_000
  /// The directory is not there yet, or can't be watched.
  private static let unwatchedMilliseconds = 800

  private var count = 0

  /// - Parameter isWatched: somebody tells when the socket appears.
  /// - Returns: milliseconds.
  mutating func next(isWatched: Bool) -> Int {
    count += 1
    if count <= RetryPlan.quickCount { return RetryPlan.quickMilliseconds }
    return isWatched ? RetryPlan.watchedMilliseconds : RetryPlan.unwatchedMilliseconds
  }
}
