import Dispatch
import Foundation
import Synchronization
import TestSupport
import Testing
import VSwitchCore

@testable import Datapath

/// Bridges of several workers, and what comes along when one moves to another worker.
@Suite(.blocking, .serialized) struct WorkerMoveTests {
  typealias Guest = PortTests.Guest

  /// Bridges a and b with two guests' ports each.
  /// - Parameter isJoined: a patch is between them.
  static func config(workers: Int, isJoined: Bool = false) -> SwitchConfig {
    var config = SwitchConfig()
    // One CPU is enough: the tests are about what the threads share.
    config.workerCPUs = [Int](repeating: 0, count: workers)
    for name in ["a", "b"] {
      var bridge = BridgeConfig(name: name)
      for number in [UInt16(1), 2] {
        var interface = InterfaceConfig(name: "\(name)\(number)", kind: .vhostUser)
        interface.portNumberRequest = number
        bridge.ports.append(PortConfig(name: interface.name, interface: interface))
      }
      if isJoined {
        var interface = InterfaceConfig(name: "\(name)9", kind: .patch)
        interface.options["peer"] = name == "a" ? "b9" : "a9"
        interface.portNumberRequest = 9
        bridge.ports.append(PortConfig(name: interface.name, interface: interface))
      }
      config.bridges.append(bridge)
    }
    return config
  }

  static func withDatapath(_ body: (Datapath, String) throws -> Void) throws {
    let directory = try TemporaryDirectory()
    var options = DatapathOptions()
    options.runDirectory = directory.path
    let datapath = try Datapath(options)
    defer { datapath.shutdown() }
    try body(datapath, directory.path)
  }

  private func apply(_ config: SwitchConfig, to datapath: Datapath) {
    for state in datapath.apply(config) { #expect(state.error == nil, "\(state)") }
  }

  /// Names of the workers' bridges.
  private func bridges(_ datapath: Datapath) -> [[String]] { datapath.workers().map { $0.bridges.map(\.name) } }

  @Test func bridgesAreSpreadAndThoseThatAreJoinedComeTogether() throws {
    try Self.withDatapath { datapath, _ in
      for (workers, isJoined, wanted) in [
        (0, false, [["a", "b"]]), (2, false, [["a"], ["b"]]), (2, true, [["a", "b"], []]),
        // What is together already stays together.
        (2, false, [["a", "b"], []]), (1, false, [["a", "b"]]), (3, false, [["a"], ["b"], []]),
        (0, true, [["a", "b"]]),
      ] {
        apply(Self.config(workers: workers, isJoined: isJoined), to: datapath)
        #expect(bridges(datapath) == wanted, "\(workers) \(isJoined)")
      }
      // A port alone brings them together, too.
      apply(Self.config(workers: 2), to: datapath)
      #expect(bridges(datapath) == [["a"], ["b"]])
      let joined = Self.config(workers: 2, isJoined: true)
      let changes = joined.bridges.map { PortChange(bridge: $0.name, port: $0.name + "9", config: $0.ports[2]) }
      _ = datapath.apply(changes)
      #expect(bridges(datapath) == [["a", "b"], []])
      #expect(datapath.workers().map(\.cpu) == [0, 0])
    }
  }

  /// A rule's counters, a queue's, a port's, stations, connections with their translation: all go on where they were.
  @Test func whatABridgeHasComesAlong() throws {
    try Self.withDatapath { datapath, directory in
      apply(Self.config(workers: 1), to: datapath)
      for (bridge, zone) in [("a", UInt16(5)), ("b", 6)] {
        var track = ConntrackAction()
        track.zone = .immediate(zone)
        track.commits = true
        track.recirculationTable = 1
        var translation = NetworkTranslation()
        translation.kind = .source
        translation.addresses = 0xc000_0201...0xc000_0201
        translation.ports = 5000...5000
        track.translation = translation
        var answer = ConntrackAction()
        answer.zone = .immediate(zone)
        answer.recirculationTable = 1
        answer.translation = NetworkTranslation()
        let isIPv4 = (Field.etherType, UInt128(0x0800), UInt128(0xffff))
        let rules: [TableChange] = [
          .clear,
          .rule(table: 0, priority: 9, [isIPv4, (.inPort, 1, 0xffff_ffff)], [.setQueue(7), .conntrack(track)]),
          .rule(table: 0, priority: 9, [isIPv4, (.inPort, 2, 0xffff_ffff)], [.conntrack(answer)]),
          .rule(table: 1, priority: 1, [], [.output(.normal, maximumByteCount: 0)]),
        ]
        _ = try datapath.changeFlows(bridge: bridge, rules)
      }
      let guests = try ["a1", "a2", "b1", "b2"].map { try Guest(directory + "/" + $0) }
      let (client, server) = ([UInt8](arrayLiteral: 10, 0, 0, 1), [UInt8](arrayLiteral: 198, 51, 100, 7))
      let outer = [UInt8](arrayLiteral: 192, 0, 2, 1)
      func frame(_ packet: [UInt8], from number: UInt32) -> [UInt8] {
        FrameBuilder.ethernet(
          to: FrameBuilder.address(3 - number), from: FrameBuilder.address(number), etherType: 0x0800, packet)
      }
      /// A question and an answer at both bridges.
      func exchange() throws {
        for first in [0, 2] {
          try #require(guests[first].send(frame(ConntrackLab.udp(client, 1000, server, 53), from: 1)))
          let asked = try #require(guests[first + 1].take()).frame
          #expect(Array(asked[26..<30]) == outer && Array(asked[34..<36]) == [0x13, 0x88], "\(asked)")
          try #require(guests[first + 1].send(frame(ConntrackLab.udp(server, 53, outer, 5000), from: 2)))
          let answered = try #require(guests[first].take()).frame
          #expect(Array(answered[30..<34]) == client && Array(answered[36..<38]) == [0x03, 0xe8], "\(answered)")
        }
      }
      /// Packets of the connections of both bridges.
      func connections() -> [UInt64] {
        var found: [UInt64] = []
        for zone in [UInt16(5), 6] {
          datapath.visitConnections(ConnectionFilter(zone: zone)) {
            found += [$0.original.packetCount, $0.reply.packetCount]
          }
        }
        return found
      }
      func sums() -> [UInt64] {
        let ports = datapath.counters().map(\.counters)
        var sums = [ports.reduce(0) { $0 + $1.receivedPackets }, ports.reduce(0) { $0 + $1.transmittedPackets }]
        for bridge in ["a", "b"] {
          sums.append(datapath.queueCounts(bridge: bridge).reduce(0) { $0 + ($1.queue == 7 ? $1.packetCount : 0) })
          sums.append(datapath.aggregate(bridge: bridge, RuleFilter())?.packetCount ?? 0)
          sums.append(UInt64(datapath.macTable(bridge: bridge)?.count ?? 0))
        }
        return sums
      }
      try exchange()
      #expect(connections() == [1, 1, 1, 1])
      #expect(sums() == [4, 4, 1, 4, 2, 1, 4, 2])
      for (move, workers) in [2, 1, 2, 3, 1, 2].enumerated() {
        let before = sums()
        apply(Self.config(workers: workers, isJoined: move == 3), to: datapath)
        #expect(sums() == before, "\(move)")
        try exchange()
        let count = UInt64(move + 2)
        #expect(connections() == [count, count, count, count], "\(move)")
        #expect(sums() == [4 * count, 4 * count, count, 4 * count, 2, count, 4 * count, 2], "\(move)")
      }
      // All of it is of one datapath.
      #expect(datapath.conntrackStatistics().count == 2)
      #expect(datapath.conntrackZones().zones.map(\.count) == [1, 1])
      #expect(datapath.flushConnections(ConnectionFilter()) == 2)
    }
  }

  /// What trackers are told reaches those of workers that start later.
  @Test func aWorkerThatStartsLaterTracksAsTheOthersDo() throws {
    try Self.withDatapath { datapath, _ in
      datapath.setConntrackLimit(1000)
      datapath.setConntrackLimit(zone: nil, 7)
      datapath.setConntrackLimit(zone: 5, 9)
      datapath.watchConnections(true)
      apply(Self.config(workers: 3), to: datapath)
      datapath.setConntrackLimit(zone: 6, 4)
      let told = datapath.state.withLock { $0.workers }.map { worker in
        worker.mailbox.perform { worker in
          let table = worker.burst.tracker.table
          return unsafe [
            table.state.pointee.limit, Int(table.state.pointee.zoneLimit), Int(table.zones[5].limit),
            Int(table.zones[6].limit), table.state.pointee.watcher == nil ? 0 : 1,
          ]
        }
      }
      #expect(told == [[1000, 7, 9, 4, 1], [1000, 7, 9, 4, 1], [1000, 7, 9, 4, 1]])
    }
  }

  /// Guests send and are sent to all the time while bridges are joined, parted, guarded and spread anew. Nothing arrives where it may
  /// not, and all of it is accounted for.
  @Test(arguments: testSeeds(3)) func trafficGoesOnWhateverMoves(_ seed: UInt64) throws {
    try Self.withDatapath { datapath, directory in
      var random = SeededGenerator(seed: seed)
      apply(Self.config(workers: 1), to: datapath)
      let pairs = try ["a", "b"].map { name in
        Traffic(
          try [1, 2].map { try Guest(directory + "/\(name)\($0)") }, firstAddress: name == "a" ? 0x11 : 0x21)
      }
      for pair in pairs { Thread { pair.run() }.start() }
      defer { for pair in pairs { pair.stop() } }
      let deadline = ContinuousClock.now + .seconds(30)
      var step = 0
      // On a busy machine the guests' threads have their turns late.
      while step < 60 || pairs.contains(where: { $0.gotCount < 200 }) && ContinuousClock.now < deadline {
        step += 1
        var config = Self.config(workers: Int.random(in: 0...3, using: &random), isJoined: Bool.random(using: &random))
        config.busyPoll = Int.random(in: 0..<4, using: &random) == 0
        if Bool.random(using: &random) {
          var guarding = BridgeConfig(name: "g")
          guarding.isSecure = true
          config.bridges.append(guarding)
          config.bridges[0].ports[0].guarding = PortGuard(bridge: "g", deviceNumber: 1, bridgeNumber: 2)
        }
        apply(config, to: datapath)
        if config.bridges.count > 2 {
          _ = try datapath.changeFlows(
            bridge: "g",
            [
              .rule(table: 0, priority: 1, [(.inPort, 1, 0xffff_ffff)], [.output(PortNumber(2), maximumByteCount: 0)]),
              .rule(table: 0, priority: 1, [(.inPort, 2, 0xffff_ffff)], [.output(PortNumber(1), maximumByteCount: 0)]),
            ])
        }
        for name in ["a", "b"] {
          #expect(datapath.macTable(bridge: name)?.allSatisfy { $0.port.hasPrefix(name) } == true)
        }
        usleep(UInt32.random(in: 0...20_000, using: &random))
      }
      apply(Self.config(workers: 2), to: datapath)
      for pair in pairs {
        pair.stop()
        #expect(pair.wrongCount == 0)
        #expect(pair.gotCount >= 200, "in \(step) moves")
        #expect(eventually { pair.exchange() }, "it works after all that")
      }
      for port in datapath.counters() {
        let drops = port.counters.receiveDrops.values.reduce(0, +)
        #expect(port.counters.receivedPackets == port.counters.forwardedPackets + drops, "\(port)")
      }
    }
  }

  /// Two guests of one bridge that send each other numbered frames, one after the other, on a thread of its own until it is stopped.
  private final class Traffic: @unchecked Sendable {
    private let guests: [Guest]
    /// Last byte of the first one's address.
    private let firstAddress: UInt8
    private let isOver = Atomic(false)
    private let isStopped = DispatchSemaphore(value: 0)
    private let got = Atomic(0)
    private let wrong = Atomic(0)
    private var sentCount = 0
    private var lastGot = [0, 0]

    init(_ guests: [Guest], firstAddress: UInt8) {
      self.guests = guests
      self.firstAddress = firstAddress
    }

    /// Frames that came as they were sent, and others.
    var gotCount: Int { got.load(ordering: .relaxed) }
    var wrongCount: Int { wrong.load(ordering: .relaxed) }

    func run() {
      while !isOver.load(ordering: .relaxed) { _ = exchange() }
      isStopped.signal()
    }

    /// Returns when the thread uses the guests no more.
    func stop() {
      guard !isOver.exchange(true, ordering: .relaxed) else { return }
      isStopped.wait()
    }

    /// Sends a frame each way.
    /// - Returns: whether both came.
    func exchange() -> Bool {
      let cameBoth = [(0, 1), (1, 0)].map { from, to in
        sentCount += 1
        let number = sentCount
        let addresses = (from: firstAddress + UInt8(from), to: firstAddress + UInt8(to))
        var frame = PortTests.frame(to: addresses.to, from: addresses.from, 60 + number % 900)
        frame.replaceSubrange(14..<18, with: UInt32(number).octets)
        return guests[from].send(frame) && receive(number, at: to, addresses)
      }
      return cameBoth == [true, true]
    }

    /// Takes frames until that of a number has come, or none comes.
    private func receive(_ number: Int, at to: Int, _ addresses: (from: UInt8, to: UInt8)) -> Bool {
      while let frame = guests[to].take(.milliseconds(30))?.frame {
        // What is flooded from the other bridge.
        if frame[5] & 0xf0 != firstAddress & 0xf0 { continue }
        let found = Int(frame[14]) << 24 | Int(frame[15]) << 16 | Int(frame[16]) << 8 | Int(frame[17])
        // A late one is no wrong one; one twice, or another's, is.
        guard frame[5] == addresses.to, frame[11] == addresses.from, found <= number, found > lastGot[to],
          frame.count == 60 + found % 900
        else {
          wrong.add(1, ordering: .relaxed)
          continue
        }
        lastGot[to] = found
        got.add(1, ordering: .relaxed)
        if found == number { return true }
      }
      return false
    }
  }
}
