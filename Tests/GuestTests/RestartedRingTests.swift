import Foundation
import Glibc
import TestSupport
import Testing

/// The switch is killed under load and started again, and the rings of guests go on where they stood, within a second: no buffer is lost
/// and none is given back twice. Front-ends that do what QEMU does, without a guest (RingStation.swift), so that what is timed
/// is the switch.
@Suite(
  .enabled(if: TestEnvironment.isContinuousIntegration || TestEnvironment.canUseNamespaces, "needs root"), .serialized)
struct RestartedRingTests {
  /// What goes, in which order, and comes again.
  enum Event: CaseIterable {
    case switchIsKilled
    case switchIsStopped
    /// The front-ends have waited for a while when the switch comes.
    case switchIsKilledAndComesLate
    /// The switch has waited for a while when the front-ends come.
    case frontEndsGoAndComeLate
    /// Both go, the front-ends come last.
    case bothGo
  }

  @Test(arguments: [false, true], [false, true])
  func queuesGoOnWithinASecondAndNoBufferIsLostOrUsedTwice(isPacked: Bool, isServer: Bool) throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0")
      let paths = try ["v1", "v2"].map { try daemon.guestPort($0, isServer: isServer, in: lab.directory) }
      let receiver = RingStation(.receiver, paths[1], isServer: isServer, isPacked: isPacked)
      let sender = RingStation(.sender, paths[0], isServer: isServer, isPacked: isPacked, receiver: receiver)
      defer {
        sender.end()
        receiver.end()
      }
      let stations = [sender, receiver]
      sender.state.withLock { $0.target = .max }
      func arrived() -> Int { receiver.state.withLock { $0.count } }
      try #require(eventually { arrived() > 200 })

      for event in Event.allCases {
        let before = stations.map { $0.state.withLock { $0.connectionCount } }
        let load = arrived()
        usleep(UInt32.random(in: 20_000...120_000))
        var bothUp = ContinuousClock.now
        let frontEndsGo = event == .frontEndsGoAndComeLate || event == .bothGo
        if event == .frontEndsGoAndComeLate { for station in stations { station.state.withLock { $0.isAway = true } } }
        if event != .frontEndsGoAndComeLate {
          if event == .switchIsStopped { #expect(daemon.stop() == 0) } else { daemon.kill9() }
        }
        if event == .bothGo { for station in stations { station.state.withLock { $0.isAway = true } } }
        // Longer than the switch tries again and again.
        usleep(event == .switchIsKilledAndComesLate ? 300_000 : event == .frontEndsGoAndComeLate ? 1_200_000 : 0)
        if event != .frontEndsGoAndComeLate {
          try daemon.start()
          bothUp = .now
        }
        if frontEndsGo {
          if event == .bothGo { usleep(1_200_000) }
          bothUp = .now
          for station in stations { station.state.withLock { $0.isAway = false } }
        }
        let isBack = eventually(.seconds(10), every: .milliseconds(1)) {
          zip(stations, before).allSatisfy { station, before in
            station.state.withLock { $0.connectionCount > before && $0.firstAt != nil }
          }
        }
        let states = stations.map { $0.state.withLock { $0 } }
        try #require(isBack, "\(event): \(states)")
        let first = max(states[0].firstAt ?? .now, states[1].firstAt ?? .now)
        let connected = max(states[0].connectedAt, states[1].connectedAt)
        let name = "\(isPacked ? "packed" : "split"), \(isServer ? "front-end" : "switch") listens, \(event)"
        print(
          "\(name): \(arrived() - load) frames before it, queues go on \(first - bothUp) after both ends are up, "
            + "\(first - connected) after the connection")
        #expect(first - bothUp < .seconds(1), "\(name)")
        #expect(first - connected < .seconds(1), "\(name)")
        let count = arrived()
        #expect(eventually { arrived() > count + 200 }, "\(name)")
      }

      // All that was made available is given back once the sender stops,
      sender.state.withLock { $0.target = $0.lastNumber }
      #expect(eventually { sender.state.withLock { $0.outstandingCount } == 0 }, "chains of the sender's were lost")
      let (last, missing, repeated) = receiver.state.withLock { ($0.lastNumber, $0.missing, $0.repeated) }
      // and so many frames that all buffers come round several times arrive in order and without a gap.
      usleep(50_000)
      sender.state.withLock {
        $0.window = 32
        // Without receiver, or faster than it, some of the last may have been dropped.
        $0.windowStart = $0.lastNumber
        $0.target = $0.lastNumber + 1000
      }
      // Frames that were lost with a switch keep the receiver behind: its number follows with the first that comes now.
      let target = sender.state.withLock { $0.target }
      #expect(eventually { receiver.state.withLock { $0.lastNumber } == target })
      let end = receiver.state.withLock { $0 }
      print(
        "\(isPacked ? "packed" : "split"): \(end.count) frames, \(missing) lost with a switch, \(repeated) sent again")
      #expect(end.missing - missing <= target - 1000 - last, "frames are lost though nothing happens")
      #expect(end.outstandingCount == RingStation.ringSize)
      #expect(end.damaged == 0 && end.misused == 0 && sender.state.withLock { $0.misused } == 0, "\(end)")
      // What was handed on but not given back when the switch was killed is sent again: at most a burst each time.
      #expect(repeated <= 64 * 3)
      for port in try daemon.portStatistics() { #expect(port.addsUp, "\(port)") }
    }
  }
}
