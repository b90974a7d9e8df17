import ReferenceSwitch
import TestSupport
import Testing
import VSwitchCore

@testable import Datapath

/// The tracker against a list of connections: random packets, zones, commits, translations, ageing.
@Suite struct ConntrackTests {
  private typealias Tuple = ReferenceConntrack.Tuple

  private func frame(_ tuple: Tuple) -> [UInt8] {
    let (source, destination) = (tuple.source.octets, tuple.destination.octets)
    var payload: [UInt8]
    switch tuple.ipProtocol {
    case 17:
      payload = FrameBuilder.udp(
        from: source, to: destination, sourcePort: tuple.sourcePort, destinationPort: tuple.destinationPort, [1, 2, 3])
    case 1:
      payload = [UInt8(tuple.destinationPort), 0, 0, 0] + tuple.sourcePort.octets + [0, 1]
      payload.replaceSubrange(2..<4, with: FrameBuilder.checksum(payload).octets)
    default: payload = [0, 0, 8, 0]
    }
    return FrameBuilder.ethernet(
      to: FrameBuilder.address(2), from: FrameBuilder.address(1), etherType: 0x0800,
      FrameBuilder.ipv4(from: source, to: destination, protocol: tuple.ipProtocol, payload))
  }

  private func tuple(_ frame: [UInt8], zone: UInt16) -> Tuple {
    func number(_ offset: Int, _ count: Int) -> UInt32 {
      frame[offset..<(offset + count)].reduce(0) { $0 << 8 | UInt32($1) }
    }
    var tuple = Tuple(
      zone: zone, ipProtocol: frame[23], source: number(26, 4), sourcePort: 0, destination: number(30, 4),
      destinationPort: 0)
    if tuple.ipProtocol == 17 {
      tuple.sourcePort = UInt16(number(34, 2))
      tuple.destinationPort = UInt16(number(36, 2))
    } else if tuple.ipProtocol == 1 {
      tuple.sourcePort = UInt16(number(38, 2))
      tuple.destinationPort = UInt16(frame[34])
    }
    return tuple
  }

  private func isIntact(_ frame: [UInt8]) -> Bool {
    let packet = Array(frame[14...])
    guard FrameBuilder.checksum(Array(packet[..<20])) == 0 else { return false }
    switch packet[9] {
    case 17:
      return FrameBuilder.hasRightChecksum(
        Array(packet[20...]), from: Array(packet[12..<16]), to: Array(packet[16..<20]), protocol: 17)
    case 1: return FrameBuilder.checksum(Array(packet[20...])) == 0
    default: return true
    }
  }

  /// Runs one request on a packet; gives the frame as it is afterwards.
  private func run(
    _ tracker: ConnectionTracker, _ frame: [UInt8], _ request: ConntrackRequest, now: UInt32
  ) -> (ConnectionTracker.Verdict, [UInt8]) {
    var frame = frame
    let verdict = unsafe frame.withUnsafeMutableBytes { bytes -> ConnectionTracker.Verdict? in
      guard let base = bytes.baseAddress else { return nil }
      var key = FlowKey()
      var layout = PacketLayout()
      guard unsafe FlowKeyParser(base, byteCount: bytes.count).parse(inPort: 1, into: &key, &layout) else { return nil }
      var packet = unsafe TrackedPacket(
        base, byteCount: bytes.count, layout, ipProtocol: key.ipProtocol, fragment: key.ipFragment, OffloadMetadata())
      return tracker.track(&packet, request, known: PacketConnection(), owner: 1, now: now)
    }
    return (verdict ?? ConnectionTracker.Verdict(), frame)
  }

  @Test(arguments: testSeeds(30)) func theTrackerIsAListOfConnections(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let tracker = try ConnectionTracker(
      hashKey: SipHash.Key(low: random.next(), high: random.next()),
      choiceKey: SipHash.Key(low: random.next(), high: random.next()))
    defer { tracker.deallocate() }
    var reference = ReferenceConntrack()
    var now: UInt32 = 1000
    var seen: [Tuple] = []
    var commitCount = 0
    for step in 0..<1500 {
      if Int.random(in: 0..<20, using: &random) == 0 { now += UInt32.random(in: 1...25, using: &random) }
      // Few addresses and ports, so that connections meet; answers to what has left are likely.
      var tuple: Tuple
      if let known = seen.randomElement(using: &random), Bool.random(using: &random) {
        tuple = Bool.random(using: &random) ? known.reversed : known
      } else {
        tuple = Tuple(
          zone: UInt16.random(in: 0...1, using: &random),
          ipProtocol: [17, 17, 1, 47].randomElement(using: &random) ?? 17,
          source: 0x0a00_0000 + UInt32.random(in: 1...5, using: &random),
          sourcePort: UInt16.random(in: 2000...2002, using: &random),
          destination: 0xc000_0200 + UInt32.random(in: 1...2, using: &random), destinationPort: 53)
        if tuple.ipProtocol == 47 { (tuple.sourcePort, tuple.destinationPort) = (0, 0) }
        if tuple.ipProtocol == 1 { tuple.destinationPort = Int.random(in: 0..<8, using: &random) == 0 ? 0 : 8 }
      }
      var request = ConntrackRequest()
      request.zone = tuple.zone
      var range: ReferenceConntrack.Range?
      let translates = Bool.random(using: &random)
      let commits = Bool.random(using: &random)
      let forces = commits && Int.random(in: 0..<8, using: &random) == 0
      if commits { request.flags.insert(.commits) }
      if forces { request.flags.insert(.forces) }
      if translates {
        request.flags.insert(.translates)
        if commits, Int.random(in: 0..<3, using: &random) > 0 {
          let isSource = Bool.random(using: &random)
          let first: UInt32 = (isSource ? 0xc633_6400 : 0xac10_0000) + UInt32.random(in: 1...2, using: &random)
          let ports: ClosedRange<UInt16>? = Bool.random(using: &random) ? 5000...5003 : nil
          let chosen = ReferenceConntrack.Range(
            isSource: isSource, addresses: first...(first + UInt32.random(in: 0...1, using: &random)), ports: ports)
          range = chosen
          request.translation.kind = isSource ? .source : .destination
          request.translation.hasAddresses = true
          request.translation.first = UInt128(chosen.addresses.lowerBound)
          request.translation.last = UInt128(chosen.addresses.upperBound)
          request.translation.randomizes = Bool.random(using: &random)
          if let ports {
            request.translation.hasPorts = true
            (request.translation.firstPort, request.translation.lastPort) = (ports.lowerBound, ports.upperBound)
          }
        }
      }
      let mark = UInt32.random(in: 1...99, using: &random)
      if commits {
        request.mark = mark
        request.markMask = .max
      }
      let (verdict, left) = run(tracker, frame(tuple), request, now: now)
      let state = verdict.connection.state
      let result = self.tuple(left, zone: tuple.zone)
      #expect(isIntact(left), "step \(step): checksums of \(left)")
      switch reference.track(tuple, commits: commits, forces: forces, translates: translates, now: now) {
      case .invalid: #expect(state == [.tracked, .invalid], "step \(step)")
      case .begins: #expect(state == [.tracked, .new] && result == tuple, "step \(step)")
      case .known(let isNew, let isReply, let expected, let oldMark):
        #expect(state.contains(.new) == isNew && state.contains(.established) == !isNew, "step \(step): \(tuple)")
        #expect(state.contains(.reply) == (isReply && !isNew), "step \(step)")
        #expect(result == expected, "step \(step): \(tuple)")
        let connection = unsafe try #require(tracker.table.record(verdict.connection.reference))
        #expect(unsafe connection.pointee.mark == (commits ? mark : oldMark))
        if commits { reference.setMark(tuple, mark) }
      case .commits:
        if verdict.drop != nil {
          #expect(verdict.drop == .natPortsExhausted, "step \(step)")
          if let range {
            #expect(!reference.hasRoom(tuple, range), "step \(step): \(tuple) could have been translated")
          } else {
            #expect(!reference.mayCommit(tuple, reply: tuple.reversed, nil), "step \(step)")
          }
          continue
        }
        #expect(state.contains(.new) && !state.contains(.established), "step \(step)")
        let record = unsafe try #require(tracker.table.record(verdict.connection.reference)).pointee
        func plain(_ tuple: ConnectionTuple) -> Tuple {
          Tuple(
            zone: tuple.zone, ipProtocol: tuple.ipProtocol, source: UInt32(truncatingIfNeeded: tuple.sourceLow),
            sourcePort: tuple.sourcePort, destination: UInt32(truncatingIfNeeded: tuple.destinationLow),
            destinationPort: tuple.isICMP ? UInt16(tuple.icmpType) : tuple.destinationPort)
        }
        let reply = plain(record.reply)
        #expect(plain(record.original) == tuple, "step \(step)")
        #expect(result == (translates ? reply.reversed : tuple), "step \(step)")
        // A connection that is only to be translated if need be may get another port if its own is taken.
        let implied =
          range
          ?? (translates
            ? ReferenceConntrack.Range(
              isSource: true, addresses: tuple.source...tuple.source, ports: nil) : nil)
        #expect(
          reference.mayCommit(tuple, reply: reply, implied),
          "step \(step): \(tuple) by \(reply) of \(String(describing: range))")
        reference.commit(tuple, reply: reply, mark: mark, now: now)
        seen.append(result)
        commitCount += 1
      }
      if step % 100 == 0 {
        tracker.table.sweep(steps: .max, now: now)
        #expect(unsafe tracker.table.state.pointee.count == reference.count(now: now), "step \(step)")
      }
    }
    #expect(commitCount > 50)
  }
}
