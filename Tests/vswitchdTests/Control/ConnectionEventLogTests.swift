import Synchronization
import Testing

@testable import Datapath
@testable import vswitchd

/// Events for those who ask again and again.
@Suite struct ConnectionEventLogTests {
  /// A plane whose events are given by the test.
  private final class Plane: ConntrackPlane {
    struct State {
      var isWatched = false
      var waiting = 0
      var lostCount: UInt64 = 0
    }
    let state = Mutex(State())

    func watchConnections(_ isWatched: Bool) { state.withLock { $0.isWatched = isWatched } }
    func takeConnectionEvents() -> (events: [ConnectionEvent], lostCount: UInt64) {
      state.withLock { state in
        defer { state.waiting = 0 }
        return (Array(repeating: event, count: state.waiting), state.lostCount)
      }
    }
    private let event = ConnectionEvent(kind: .new, connection: ConnectionDescription(TrackedConnection(), now: 0))
  }

  private final class Clock: Sendable {
    private let offset = Mutex(Duration.zero)
    private let start = ContinuousClock.now
    var now: ContinuousClock.Instant { start + offset.withLock { $0 } }
    func advance(_ duration: Duration) { offset.withLock { $0 += duration } }
  }

  @Test func whoAsksIsToldWhatIsNewSinceTheLastAnswer() {
    let plane = Plane()
    let log = ConnectionEventLog(plane: plane)
    plane.state.withLock { $0.waiting = 3 }
    let first = log.events(after: nil)
    #expect(first.events.isEmpty, "what was before is not told")
    #expect(plane.state.withLock { $0.isWatched })
    plane.state.withLock { $0.waiting = 2 }
    let second = log.events(after: first.next)
    #expect(second.events.count == 2 && second.lostCount == 0)
    // Another one who began at the same time hears the same.
    #expect(log.events(after: first.next).events.count == 2)
    #expect(log.events(after: second.next).events.isEmpty)
    #expect(log.events(after: 1_000_000).events.isEmpty)
    #expect(log.events(after: -5).events.count == 5)
  }

  @Test func whatIsLostIsCounted() {
    let plane = Plane()
    let log = ConnectionEventLog(plane: plane)
    let first = log.events(after: nil)
    plane.state.withLock { state in
      state.waiting = ConnectionEventLog.limit + 10
      state.lostCount = 7
    }
    let second = log.events(after: first.next)
    #expect(second.events.count == ConnectionEventLog.limit)
    #expect(second.lostCount == 17)
    #expect(log.events(after: second.next).lostCount == 0)
  }

  @Test func nobodyAskingEndsTheWatch() {
    let plane = Plane()
    let clock = Clock()
    let log = ConnectionEventLog(plane: plane, now: { clock.now })
    let first = log.events(after: nil)
    clock.advance(.seconds(14))
    log.tire()
    #expect(plane.state.withLock { $0.isWatched })
    plane.state.withLock { $0.waiting = 1 }
    #expect(log.events(after: first.next).events.count == 1)
    clock.advance(.seconds(15))
    log.tire()
    #expect(!plane.state.withLock { $0.isWatched })
    let later = log.events(after: first.next)
    #expect(plane.state.withLock { $0.isWatched })
    #expect(later.events.isEmpty && later.lostCount == 1, "it was told once and is kept no longer")
  }
}
