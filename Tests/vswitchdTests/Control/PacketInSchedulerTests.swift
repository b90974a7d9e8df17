import Testing

@testable import vswitchd

@Suite struct PacketInSchedulerTests {
  private static let second: UInt64 = 1_000_000_000

  @Test func noMoreLeaveThanTheRateAndTheBurstAllow() {
    var scheduler = PacketInScheduler<Int>(packetsPerSecond: 100, burstLimit: 25, now: 0)
    var sentCount = 0
    // A thousand packets a millisecond apart: one second.
    for number in 0..<1000 {
      let now = UInt64(number) * 1_000_000
      while scheduler.next(now: now) != nil { sentCount += 1 }
      if scheduler.add(number, port: 1, now: now) != nil { sentCount += 1 }
    }
    #expect(sentCount >= 120 && sentCount <= 126, "\(sentCount)")
    #expect(scheduler.waitingCount <= 25)
    #expect(sentCount + scheduler.waitingCount + Int(scheduler.droppedCount) == 1000)
  }

  @Test func aPauseEarnsABurstAndNoMore() {
    var scheduler = PacketInScheduler<Int>(packetsPerSecond: 1000, burstLimit: 10, now: 0)
    for number in 0..<10 { #expect(scheduler.add(number, port: 1, now: 3600 * Self.second) == number) }
    #expect(scheduler.add(10, port: 1, now: 3600 * Self.second) == nil)
    #expect(scheduler.delay == 1_000_000)
    #expect(scheduler.next(now: 3600 * Self.second + 1_000_000) == 10)
    #expect(scheduler.delay == nil)
  }

  @Test func aFloodOnOnePortCostsTheOthersNothing() {
    var scheduler = PacketInScheduler<UInt32>(packetsPerSecond: 100, burstLimit: 50, now: 0)
    for _ in 0..<10_000 { _ = scheduler.add(1, port: 1, now: 0) }
    #expect(scheduler.add(2, port: 2, now: 0) == nil)
    var sent: [UInt32] = []
    for tick in 1...10 {
      if let port = scheduler.next(now: UInt64(tick) * 10_000_000) { sent.append(port) }
    }
    #expect(sent.prefix(2).contains(2), "\(sent)")
    #expect(scheduler.waitingCount == 40)
  }

  @Test(arguments: [Int.min, 0, 1, Int.max], [Int.min, 0, 1, Int.max])
  func anyLimitsAreTaken(rate: Int, burst: Int) {
    var scheduler = PacketInScheduler<Int>(packetsPerSecond: rate, burstLimit: burst, now: .max)
    #expect(scheduler.add(1, port: 1, now: 0) == 1)
    _ = scheduler.add(2, port: 1, now: 0)
    _ = scheduler.next(now: .max)
  }
}
