import TestSupport
import Testing
import VSwitchCore

@testable import Datapath

/// What watchers are told of connections.
@Suite struct EventTests {
  private let c = ConntrackLab.client
  private let s = ConntrackLab.server

  private func withWatcher(byteCountLog2: Int = 16, _ body: (ConntrackLab, EventRing) throws -> Void) throws {
    let lab = try ConntrackLab()
    let ring = try EventRing(byteCountLog2: byteCountLog2)
    defer { ring.deallocate() }
    unsafe lab.bridge.tracker.table.state.pointee.watcher = ring
    defer { unsafe lab.bridge.tracker.table.state.pointee.watcher = nil }
    try body(lab, ring)
  }

  private func take(_ ring: EventRing) -> [ConnectionEvent] {
    var events: [ConnectionEvent] = []
    while let record = ring.read() { if let event = ConnectionEvent(record) { events.append(event) } }
    return events
  }

  @Test func aConnectionIsToldOfWhenItBeginsIsAnsweredAndEnds() throws {
    try withWatcher { lab, ring in
      for _ in 0..<2 { _ = lab.send(ConntrackLab.udp(c, 1000, s, 53)) }
      var events = take(ring)
      #expect(events.map(\.kind) == [.new])
      #expect(events.first?.connection.original.destinationPort == 53)
      #expect(events.first?.connection.isReplied == false)
      for _ in 0..<2 { _ = lab.send(ConntrackLab.udp(s, 53, c, 1000), from: 2) }
      _ = lab.send(ConntrackLab.udp(c, 1000, s, 53))
      events = take(ring)
      #expect(events.map(\.kind) == [.update])
      #expect(events.first?.connection.isReplied == true)
      lab.bridge.now += 1000
      _ = lab.send(ConntrackLab.udp(c, 7, s, 53))
      for _ in 0..<100 { lab.bridge.tracker.table.sweep(steps: 100, now: lab.bridge.now) }
      events = take(ring)
      #expect(events.map(\.kind).contains(.destroy))
      let ended = events.first { $0.kind == .destroy }
      #expect(ended?.connection.original.sourcePort == 1000)
      #expect(ended?.connection.reply.packetCount == 2)
    }
  }

  @Test func everyStateOfTCPIsTold() throws {
    try withWatcher { lab, ring in
      func client(_ flags: UInt8, _ sequence: UInt32, _ acknowledgement: UInt32) {
        _ = lab.send(ConntrackLab.tcp(c, 1000, s, 80, flags: flags, sequence, acknowledgement))
      }
      func server(_ flags: UInt8, _ sequence: UInt32, _ acknowledgement: UInt32) {
        _ = lab.send(ConntrackLab.tcp(s, 80, c, 1000, flags: flags, sequence, acknowledgement), from: 2)
      }
      client(0x02, 100, 0)
      server(0x12, 500, 101)
      client(0x10, 101, 501)
      client(0x10, 101, 501)
      client(0x11, 101, 501)
      server(0x11, 501, 102)
      client(0x10, 102, 502)
      let events = take(ring)
      #expect(
        events.map { $0.connection.tcpState ?? "" } == [
          "SYN_SENT", "ESTABLISHED", "ESTABLISHED", "CLOSING", "FIN_WAIT_2", "FIN_WAIT_2",
        ], "\(events.map { ($0.kind, $0.connection.tcpState ?? "") })")
      #expect(events.first?.kind == .new)
      #expect(events.dropFirst().allSatisfy { $0.kind == .update })
    }
  }

  @Test func nobodyWatchingCostsNothingAndAFullRingLosesOnlyEvents() throws {
    try withWatcher(byteCountLog2: 12) { lab, ring in
      for port in 0..<100 { #expect(lab.send(ConntrackLab.udp(c, UInt16(2000 + port), s, 53)) != nil) }
      let events = take(ring)
      #expect(events.count > 5 && events.count < 100)
      #expect(ring.lostCount == UInt64(100 - events.count))
      unsafe lab.bridge.tracker.table.state.pointee.watcher = nil
      for port in 0..<10 { #expect(lab.send(ConntrackLab.udp(c, UInt16(3000 + port), s, 53)) != nil) }
      #expect(take(ring).isEmpty)
    }
  }

  @Test func aConnectionIsPickedUpInItsMiddleOnlyWhereThatIsAllowed() throws {
    let lab = try ConntrackLab()
    unsafe lab.bridge.tracker.isLoose.pointee = false
    #expect(lab.send(ConntrackLab.tcp(c, 1000, s, 80, flags: 0x10, 77, 99))?.state.text == "inv|trk")
    #expect(lab.send(ConntrackLab.tcp(c, 1000, s, 80, flags: 0x02, 77))?.state.text == "new|trk")
  }
}
