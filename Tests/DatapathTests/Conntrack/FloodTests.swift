import TestSupport
import Testing
import VSwitchCore

@testable import Datapath

/// Floods of new connections and half-open ones fill what they may, and no more; who is answered stays.
@Suite struct FloodTests {
  private let s = ConntrackLab.server

  @Test func aFloodOfSYNsLeavesAnsweredConnectionsAndRoomForNewOnes() throws {
    let lab = try ConntrackLab()
    let table = lab.bridge.tracker.table
    table.setLimit(2000)
    func client(_ number: Int) -> [UInt8] { [10, 1, 0, UInt8(number)] }
    for number in 0..<50 {
      _ = lab.send(ConntrackLab.tcp(client(number), 1000, s, 80, flags: 2, 100))
      _ = lab.send(ConntrackLab.tcp(s, 80, client(number), 1000, flags: 0x12, 500, 101), from: 2)
      _ = lab.send(ConntrackLab.tcp(client(number), 1000, s, 80, flags: 0x10, 101, 501))
    }
    for number in 0..<30_000 {
      let source: [UInt8] = [172, UInt8(16 + number >> 16), UInt8(number >> 8 & 255), UInt8(number & 255)]
      #expect(lab.send(ConntrackLab.tcp(source, 1024 + UInt16(number % 60_000), s, 80, flags: 2, 7)) != nil)
      if number % 1000 == 999 {
        for number in 0..<50 {
          #expect(
            lab.send(ConntrackLab.tcp(client(number), 1000, s, 80, flags: 0x10, 101, 501))?.state.text == "est|trk")
        }
        // A new one is answered in time.
        let port = UInt16(10_000 + number / 1000)
        _ = lab.send(ConntrackLab.tcp(client(200), port, s, 80, flags: 2, 100))
        let answer = lab.send(ConntrackLab.tcp(s, 80, client(200), port, flags: 0x12, 500, 101), from: 2)
        #expect(answer?.state.text == "est|rpl|trk")
      }
    }
    #expect(unsafe table.state.pointee.count <= 2000)
    #expect(unsafe table.state.pointee.fresh <= 2001)
    // One port has no more than its share.
    #expect(unsafe table.state.pointee.statistics.evicted > 28_000)
  }

  @Test func aFullTableOfAnsweredConnectionsRefusesWithAReason() throws {
    let lab = try ConntrackLab()
    lab.bridge.tracker.table.setLimit(40)
    for port in 0..<40 {
      _ = lab.send(ConntrackLab.udp([10, 1, 0, 1], 1000 + UInt16(port), s, 53))
      _ = lab.send(ConntrackLab.udp(s, 53, [10, 1, 0, 1], 1000 + UInt16(port)), from: 2)
    }
    // Three quarters are one port's at most.
    #expect(lab.drops(.conntrackFull) == 10)
    #expect(unsafe lab.bridge.tracker.table.state.pointee.count == 30)
  }

  @Test func whatIsOverIsSweptAndItsPlaceUsedAgain() throws {
    let lab = try ConntrackLab()
    let table = lab.bridge.tracker.table
    for port in 0..<500 { _ = lab.send(ConntrackLab.udp([10, 1, 0, 1], 1000 + UInt16(port), s, 53)) }
    #expect(unsafe table.state.pointee.count == 500)
    lab.bridge.now += 61
    for _ in 0..<60 {
      lab.bridge.now += 1
      _ = lab.send(ConntrackLab.udp([10, 1, 0, 2], 1, s, 53))
    }
    #expect(unsafe table.state.pointee.count == 1)
    for port in 0..<499 { _ = lab.send(ConntrackLab.udp([10, 1, 0, 3], 1000 + UInt16(port), s, 53)) }
    #expect(unsafe table.state.pointee.fresh <= 501)
  }

  @Test func aMillionConnectionsFitIn400Megabytes() throws {
    // Records and buckets; pages are resident as they are used.
    #expect(MemoryLayout<TrackedConnection>.stride * 1_000_000 + 8 << 20 < 400_000_000)
    #expect(MemoryLayout<TrackedConnection>.stride <= 256)
  }

  @Test func oneBucketCannotBeAimedAt() {
    // What differs in the key alone hashes differently, and bits spread.
    var tuple = ConnectionTuple()
    tuple.isIPv6 = true
    var counts = [Int](repeating: 0, count: 64)
    for number in 0..<64_000 {
      tuple.sourceHigh = UInt64(number) << 40
      counts[Int(tuple.hash(SipHash.Key(low: 1, high: 2)) & 63)] += 1
    }
    #expect(counts.allSatisfy { $0 > 800 && $0 < 1200 })
    #expect(tuple.hash(SipHash.Key(low: 1, high: 2)) != tuple.hash(SipHash.Key(low: 1, high: 3)))
  }
}
