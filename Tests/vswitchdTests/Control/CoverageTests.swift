import Testing

@testable import vswitchd

struct CoverageTests {
  private let start = ContinuousClock.now

  @Test func ratesAreOfTheLastSecondsMinuteAndHour() {
    var history = CoverageHistory()
    let event = CoverageEvent.linkEvent
    for second in 0...7200 {
      history.sample(at: start + .seconds(second))
      // One a second in the first hour, ten a second in the last minute.
      if second < 3600 { history.totals[event.rawValue] += 1 }
      if second >= 7140 { history.totals[event.rawValue] += 10 }
    }
    let now = start + .seconds(7200)
    #expect(history.totals[event.rawValue] == 4210)
    #expect(abs(history.rate(event, overSeconds: 5, at: now) - 12) < 3)
    #expect(abs(history.rate(event, overSeconds: 60, at: now) - 10.2) < 1)
    #expect(abs(history.rate(event, overSeconds: 3600, at: now) - 610.0 / 3600) < 0.03)
    #expect(history.samples.count < 100, "what is kept is bounded: \(history.samples.count)")
  }

  @Test func textHasOnlyWhatHappened() {
    var history = CoverageHistory()
    history.totals[CoverageEvent.reconcilePass.rawValue] = 3
    let lines = history.text(at: start).split(separator: "\n")
    #expect(lines.count == 3)
    #expect(lines[1] == "reconcile_pass             0.6/sec     0.050/sec        0.0008/sec   total: 3")
    #expect(lines[2] == "\(CoverageEvent.allCases.count - 1) events never hit")
  }

  @Test func aClockThatJumpsTrapsNothing() {
    var history = CoverageHistory()
    for seconds in [0, 1_000_000_000, -1_000_000_000, 5, 4] {
      history.totals[0] += 1
      history.sample(at: start + .seconds(seconds))
      #expect(history.rate(.reconcilePass, overSeconds: 5, at: start) >= 0)
    }
  }
}
