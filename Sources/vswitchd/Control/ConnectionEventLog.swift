// What has happened to connections, kept for those who ask again and again what is new. Each event has a number; who asks
// gives the last one that it knows. The worker notes events only while somebody asks: some seconds after the last question it
// ceases. Bounded: when nobody takes events for long the oldest are gone, and who asks is told how many.

import Datapath
import Synchronization

final class ConnectionEventLog: Sendable {
  /// Most events that are kept.
  static let limit = 8192
  /// How long after a question events are noted.
  static let patience = Duration.seconds(15)

  /// What is new.
  struct Answer: Sendable {
    var events: [ConnectionEvent] = []
    /// To ask with next time.
    var next: Int64 = 0
    /// Events that nobody can be told of any more.
    var lostCount: UInt64 = 0
  }

  private struct State {
    var events: [ConnectionEvent] = []
    /// Number of the first of them.
    var first: Int64 = 0
    var isWatching = false
    var lastAsked: ContinuousClock.Instant
    /// What the datapath had lost when it was asked last.
    var lostCount: UInt64 = 0
  }

  private let plane: any ConntrackPlane
  private let now: @Sendable () -> ContinuousClock.Instant
  private let state: Mutex<State>

  /// - Parameter now: the time.
  init(plane: any ConntrackPlane, now: @escaping @Sendable () -> ContinuousClock.Instant = { .now }) {
    self.plane = plane
    self.now = now
    state = Mutex(State(lastAsked: now()))
  }

  /// Events behind a number; nil: from now on. Blocks for as long as a burst of packets takes.
  func events(after last: Int64?) -> Answer {
    state.withLock { state in
      state.lastAsked = now()
      if !state.isWatching {
        state.isWatching = true
        plane.watchConnections(true)
      }
      var answer = Answer()
      let taken = plane.takeConnectionEvents()
      answer.lostCount = taken.lostCount &- state.lostCount
      state.lostCount = taken.lostCount
      state.events += taken.events
      let excess = state.events.count - Self.limit
      if excess > 0 {
        state.events.removeFirst(excess)
        state.first += Int64(excess)
      }
      answer.next = state.first + Int64(state.events.count)
      guard let last else {
        answer.lostCount = 0
        return answer
      }
      // One that is from before a restart is none of ours.
      let from = min(max(last, 0), answer.next)
      if from < state.first { answer.lostCount &+= UInt64(state.first - from) }
      answer.events = Array(state.events.dropFirst(Int(max(from - state.first, 0))))
      return answer
    }
  }

  /// Ends to note events if nobody has asked for some time.
  func tire() {
    state.withLock { state in
      guard state.isWatching, now() - state.lastAsked >= Self.patience else { return }
      state.isWatching = false
      plane.watchConnections(false)
      state.lostCount = plane.takeConnectionEvents().lostCount
      // Numbers go on, so that who comes back is told that there is a gap.
      state.first += Int64(state.events.count)
      state.events = []
    }
  }
}
