// Connections to the resolver, segment by segment.

import TestSupport
import Testing

@testable import VSwitchCore

@Suite struct DNSStreamsTests {
  typealias Bench = DNSStreamBench

  @Test(arguments: [false, true]) func questionsInAnyPiecesAreAnsweredInOneConnection(isIPv6: Bool) throws {
    var bench = Bench(isIPv6: isIPv6)
    try bench.open()
    let both = Bench.message([1, 2, 3]) + Bench.message([4, 5])
    for byte in both { try bench.say(0x18, [byte]) }
    #expect(bench.client.queries.map(\.payload) == [[1, 2, 3], [4, 5]])
    #expect(bench.client.queries.allSatisfy { $0.isOfStream && $0.sourcePort == 5000 && $0.destinationPort == 53 })
    try bench.answer([9])
    // Larger than ten segments: the rest goes when the first ones are acknowledged.
    let large = (0..<40_000).map { UInt8(truncatingIfNeeded: $0) }
    try bench.answer(large)
    #expect(bench.client.received.count == 3 + 10 * (isIPv6 ? 1440 : 1460) - 3)
    for _ in 0..<10 { try bench.say(0x10) }
    #expect(bench.client.received == Bench.message([9]) + Bench.message(large))
    // The client closes, and so does the server.
    try bench.say(0x11)
    #expect(bench.client.flags.last == 0x11)
    try bench.say(0x10)
    #expect(bench.streams.count == 0)
  }

  @Test func whoClosesAtOnceGetsTheAnswerStill() throws {
    var bench = Bench()
    try bench.open()
    try bench.say(0x19, Bench.message([1]))
    #expect(bench.client.flags.last == 0x10 && bench.client.queries.count == 1)
    try bench.answer([9])
    #expect(bench.client.received == Bench.message([9]) && bench.client.isClosed)
    try bench.say(0x10)
    #expect(bench.streams.count == 0)
  }

  @Test func whatIsLostIsSentAgainAndComesToAnEnd() throws {
    var bench = Bench()
    try bench.open()
    try bench.say(0x18, Bench.message([1]))
    let before = bench.client
    try bench.answer([UInt8](repeating: 7, count: 5000))
    // All of it lost. The first segment is sent again, the rest follows when it is acknowledged.
    bench.client.expected = before.expected
    bench.client.received = []
    try bench.wait(seconds: 1)
    #expect(bench.client.received.count == 1460)
    for _ in 0..<3 { try bench.say(0x10) }
    #expect(bench.client.received == Bench.message([UInt8](repeating: 7, count: 5000)))
    // A segment that comes early is not taken, but asked for.
    try bench.say(0x18, [0], skipping: 100)
    #expect(bench.client.queries.isEmpty && bench.client.flags.last == 0x10)
    // A client that says nothing any more is left: asked four times more, then reset.
    try bench.say(0x18, Bench.message([2]))
    let count = bench.client.flags.count
    try bench.answer([8])
    try bench.wait(seconds: 40)
    #expect(bench.client.flags[count...] == [0x18, 0x18, 0x18, 0x18, 0x18, 0x14])
    #expect(bench.streams.count == 0)
  }

  @Test func aLostEndIsSentAgain() throws {
    var bench = Bench()
    try bench.open()
    try bench.say(0x18, Bench.message([1]))
    try bench.say(0x11)
    let before = bench.client
    try bench.answer([UInt8](repeating: 7, count: 2000))
    #expect(bench.client.isClosed)
    bench.client.expected = before.expected
    (bench.client.received, bench.client.isClosed) = ([], false)
    try bench.wait(seconds: 1)
    try bench.say(0x10)
    #expect(bench.client.received == Bench.message([UInt8](repeating: 7, count: 2000)) && bench.client.isClosed)
    // All but the end is acknowledged.
    bench.client.expected &-= 1
    try bench.say(0x10)
    try bench.wait(seconds: 1)
    #expect(bench.client.flags.last == 0x11)
    try bench.say(0x10)
    #expect(bench.streams.count == 0)
  }

  @Test func bytesThatComeTwiceAreTakenOnce() throws {
    var bench = Bench()
    try bench.open()
    let message = Bench.message([1, 2, 3, 4])
    try bench.say(0x18, Array(message.prefix(3)))
    bench.client.sequence &-= 3
    try bench.say(0x18, message)
    #expect(bench.client.queries.map(\.payload) == [[1, 2, 3, 4]])
    bench.client.sequence &-= UInt32(message.count)
    try bench.say(0x18, message)
    #expect(bench.client.queries.count == 1 && bench.client.flags.last == 0x10)
    // An old acknowledgement takes nothing away from what comes with it, one of what was never sent does.
    try bench.answer([5])
    let expected = bench.client.expected
    bench.client.expected &-= 100
    try bench.say(0x18, Bench.message([6]))
    #expect(bench.client.queries.map(\.payload) == [[6]])
    bench.client.expected = expected &+ 100
    try bench.say(0x18, Bench.message([7]))
    #expect(bench.client.queries.count == 1)
  }

  @Test func aClosedWindowIsWaitedFor() throws {
    var bench = Bench()
    try bench.open()
    try bench.say(0x18, Bench.message([1]), window: 0)
    try bench.answer([UInt8](repeating: 7, count: 3000))
    #expect(bench.client.received.isEmpty)
    try bench.wait(seconds: 1)
    #expect(bench.client.received.count == 1)
    for _ in 0..<4 { try bench.say(0x10) }
    #expect(bench.client.received == Bench.message([UInt8](repeating: 7, count: 3000)))
  }

  @Test func anIdleConnectionIsClosedAndOneThatIsKeptAliveIsIdle() throws {
    var bench = Bench()
    try bench.open()
    for _ in 0..<9 {
      try bench.wait(seconds: 1)
      bench.client.sequence &-= 1
      try bench.say(0x10)
      #expect(bench.client.flags.last == 0x10, "a keep-alive is answered")
      bench.client.sequence &+= 1
    }
    try bench.wait(seconds: 1)
    #expect(bench.client.isClosed)
    try bench.say(0x11)
    #expect(bench.streams.count == 0 && bench.client.flags.last == 0x10)
    // Half a question keeps it no longer than ten seconds either, and whoever does not close is reset.
    var other = Bench()
    try other.open()
    try other.say(0x18, [0])
    try other.wait(seconds: 10)
    #expect(other.client.isClosed)
    try other.say(0x10)
    try other.wait(seconds: 10)
    #expect(other.client.flags.last == 0x14 && other.streams.count == 0)
  }

  @Test func aQuestionThatNobodyAnswersDoesNotKeepItForEver() throws {
    var bench = Bench()
    try bench.open()
    try bench.say(0x18, Bench.message([1]))
    try bench.wait(seconds: 29)
    #expect(bench.streams.count == 1)
    try bench.wait(seconds: 1)
    #expect(bench.streams.count == 0 && bench.client.flags.last == 0x14)
    try bench.answer([1])
  }

  @Test func onlyTheNextByteEndsAConnection() throws {
    var bench = Bench()
    try bench.open()
    try bench.say(0x04, skipping: 1)
    #expect(bench.streams.count == 1 && bench.client.flags.last == 0x10, "it is asked about")
    let count = bench.client.flags.count
    try bench.say(0x04, skipping: 20_000)
    // Another SYN is told where the connection is.
    try bench.say(0x02, skipping: 5)
    #expect(bench.streams.count == 1 && bench.client.flags[count...] == [0x10])
    try bench.say(0x04)
    #expect(bench.streams.count == 0)
  }

  @Test func whatIsNotAConnectionIsToldSo() throws {
    var bench = Bench()
    try bench.say(0x10)
    #expect(bench.client.flags == [0x04])
    try bench.say(0x01)
    #expect(bench.client.flags == [0x04, 0x14])
    try bench.say(0x04)
    #expect(bench.client.flags.count == 2 && bench.streams.count == 0)
    // An answer to SYN that nobody sent.
    try bench.say(0x02)
    bench.client.expected &+= 7
    try bench.say(0x10)
    #expect(bench.client.flags == [0x04, 0x14, 0x12, 0x04])
    #expect(bench.client.queries.isEmpty)
  }

  @Test func questionsAreBounded() throws {
    let many = Bench.message([]) + [UInt8](repeating: 0, count: 2 * DNSStream.queryLimit)
    for data in [[0xff, 0xff], many] {
      var bench = Bench()
      try bench.open()
      try bench.say(0x18, data)
      #expect(bench.streams.count == 0 && bench.client.flags.last == 0x14)
    }
    // Answers that nobody fetches.
    var bench = Bench()
    try bench.open()
    for _ in 0..<5 { try bench.say(0x18, Bench.message([1])) }
    for _ in 0..<5 { try bench.answer([UInt8](repeating: 1, count: 60_000)) }
    #expect(bench.streams.count == 0 && bench.client.flags.last == 0x14)
  }

  @Test func aFloodOfOpeningsLeavesOthersTheirs() throws {
    var bench = Bench()
    try bench.open()
    try bench.say(0x18, Bench.message([1]))
    let victim = bench.client
    // Of one station, with as many addresses as it likes.
    for number in UInt32(0)..<2000 {
      bench.client = Bench.Client()
      bench.client.mac = MACAddress(bits: 0x5254_0000_0666)
      bench.client.address = IPAddress(ipv4: 0xc0a8_4d00 | number % 250)
      bench.client.port = UInt16(1000 + number)
      try bench.say(2)
      if number % 3 == 0 { try bench.say(16) }
    }
    #expect(bench.streams.count == DNSStreams.stationLimit + 1)
    // Of as many stations as it likes: a client that comes meanwhile is served.
    for number in UInt32(0)..<2000 {
      bench.client = Bench.Client()
      bench.client.mac = MACAddress(bits: 0x5254_0001_0000 | UInt64(number))
      bench.client.address = IPAddress(ipv4: 0xc0a8_0000 | number)
      try bench.say(2)
      if number % 2 == 0 { try bench.say(16) }
      if number % 4 == 0 {
        try bench.say(0x18, Bench.message([5]))
        try bench.answer([6])
      }
      guard number % 100 == 99 else { continue }
      bench.client = Bench.Client()
      bench.client.port = UInt16(6000 + number)
      try bench.open()
      try bench.say(0x18, Bench.message([3]))
      try bench.answer([4])
      #expect(bench.client.received == Bench.message([4]))
      try bench.say(0x10)
    }
    #expect(bench.streams.count == DNSStreams.streamLimit)
    // Whose question is open keeps its connection, as those are few.
    bench.client = victim
    try bench.answer([2])
    #expect(bench.client.received == Bench.message([2]))
    // The others go by themselves.
    try bench.wait(seconds: 60)
    #expect(bench.streams.count == 0)
  }

  /// Those of a flood: what they do besides to open connections.
  enum Habit: CaseIterable { case nothing, establish, ask, fetchNothing, some }

  @Test(arguments: Habit.allCases) func whoIsQuickIsServedInAFlood(_ habit: Habit) throws {
    var bench = Bench()
    var number: UInt64 = 0
    func flood(_ bench: inout Bench, count: Int) throws {
      let client = bench.client
      defer { bench.client = client }
      for _ in 0..<count {
        number += 1
        bench.client = Bench.Client()
        bench.client.mac = MACAddress(bits: 0x5254_0001_0000 | number)
        bench.client.address = IPAddress(ipv4: 0xc0a8_0000 | UInt32(number & 0xffff))
        let own = habit == .some ? Habit.allCases[Int(number % 4)] : habit
        try bench.say(2)
        if own != .nothing { try bench.say(16) }
        if own == .ask || own == .fetchNothing { try bench.say(0x18, Bench.message([1])) }
        if own == .fetchNothing { try bench.answer([1]) }
      }
    }
    try flood(&bench, count: 1000)
    // Seven others between any two of its segments: of three kinds, one has a third of the room at least.
    for port in UInt16(7000)..<7020 {
      bench.client = Bench.Client()
      bench.client.port = port
      try bench.say(2)
      try flood(&bench, count: 7)
      try bench.say(16)
      try flood(&bench, count: 7)
      try bench.say(0x18, Bench.message([3]))
      try flood(&bench, count: 7)
      try bench.answer([4])
      #expect(bench.client.received == Bench.message([4]))
      try bench.say(0x10)
    }
  }

  @Test func questionsWithoutAnAnswerKeepNobodyOut() throws {
    var bench = Bench()
    try bench.open()
    try bench.say(0x18, Bench.message([1]))
    try bench.refuse()
    #expect(bench.streams.count == 0 && bench.client.flags.last == 0x14)
    // Each waits for an answer: the oldest gives way.
    for number in UInt32(0)..<200 {
      bench.client = Bench.Client()
      bench.client.mac = MACAddress(bits: 0x5254_0001_0000 | UInt64(number))
      bench.client.address = IPAddress(ipv4: 0xc0a8_0000 | number)
      try bench.open()
      try bench.say(0x18, Bench.message([1]))
    }
    try bench.answer([2])
    #expect(bench.client.received == Bench.message([2]) && bench.streams.count == DNSStreams.streamLimit)
    // Strangers open none.
    bench = Bench()
    bench.client.address = IPAddress(ipv4: 0x0a00_0001)
    try bench.say(2)
    #expect(bench.client.flags.isEmpty && bench.streams.count == 0)
  }

  @Test(arguments: testSeeds(20)) func aNetworkThatLosesAndRepeatsLosesNoAnswer(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    var bench = Bench()
    try bench.open()
    let questions = (0..<8).map { _ in random.bytes(Int.random(in: 1...300, using: &random)) }
    let stream = questions.flatMap(Bench.message)
    let start = bench.client.sequence
    var expected: [UInt8] = []
    var acknowledged = 0
    var lost: [UInt32?: Int] = [:]
    // The same bytes of an answer twice at most, and never three of the client's in a row: so nobody gives up.
    func isLost(_ sequence: UInt32?) -> Bool {
      guard lost[sequence, default: 0] < 2, Int.random(in: 0..<3, using: &random) == 0 else {
        if sequence == nil { lost[sequence] = 0 }
        return false
      }
      lost[sequence, default: 0] += 1
      return true
    }
    for _ in 0..<400 where bench.client.received.count < expected.count || bench.client.answered < questions.count {
      // Some of what is not acknowledged, from its beginning on or from further behind.
      let from = min(acknowledged + Int.random(in: 0...2, using: &random) * 40, stream.count)
      let end = min(from + Int.random(in: 0...400, using: &random), stream.count)
      bench.client.sequence = start &+ UInt32(from)
      let frame = bench.client.segment(
        0x18, Array(stream[from..<end]), window: [0, 500, 60_000].randomElement(using: &random) ?? 0)
      var effects: [DNSStreams.Effect] = []
      for _ in 0..<Int.random(in: 1...2, using: &random) where !isLost(nil) {
        effects += bench.streams.handle(frame: frame, now: bench.now, using: &random)
      }
      for case .query(let query) in effects {
        let answer = random.bytes(Int.random(in: 1...4000, using: &random))
        #expect(query.payload == questions[bench.client.answered])
        bench.client.answered += 1
        expected += Bench.message(answer)
        effects += bench.streams.respond(query.reply(answer), now: bench.now)
      }
      if Bool.random(using: &random) {
        bench.now += Bench.second
        effects += bench.streams.tick(now: bench.now)
      }
      for effect in effects {
        guard case .send(let frame) = effect else { continue }
        let segment = try #require(TCPSegmentView(frame: frame))
        if isLost(segment.sequence) { continue }
        try bench.client.take([effect])
        acknowledged = max(acknowledged, Int(segment.acknowledgement &- start))
      }
    }
    #expect(bench.client.answered == questions.count)
    #expect(bench.client.received == expected)
  }

  @Test(arguments: testSeeds(20)) func anyBytesAreAnsweredOrIgnored(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    var bench = Bench()
    try bench.open()
    for _ in 0..<500 {
      bench.client.port = UInt16.random(in: 5000...5002, using: &random)
      bench.client.expected &+= UInt32.random(in: 0...3, using: &random)
      var frame = bench.client.segment(
        UInt8.random(in: 0...63, using: &random),
        (0..<Int.random(in: 0...20, using: &random)).map { _ in UInt8.random(in: 0...3, using: &random) },
        skipping: UInt32.random(in: 0...3, using: &random), window: UInt16.random(in: 0...3, using: &random) << 14)
      if Bool.random(using: &random) { frame = Array(frame.prefix(Int.random(in: 0...frame.count, using: &random))) }
      for effect in bench.streams.handle(frame: frame, now: bench.now, using: &random) {
        guard case .query(let query) = effect else { continue }
        _ = bench.streams.respond(query.reply(query.payload + [1]), now: bench.now)
      }
      bench.now += UInt64.random(in: 0...Bench.second, using: &random)
      _ = bench.streams.tick(now: bench.now)
      #expect(bench.streams.count <= DNSStreams.stationLimit)
    }
    try bench.wait(seconds: 100)
    #expect(bench.streams.count == 0)
  }
}
