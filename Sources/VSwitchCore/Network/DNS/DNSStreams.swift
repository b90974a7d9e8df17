// TCP connections of clients to the resolver of a network (RFC 7766): which there are, and which give way. A state machine without
// I/O, clock and randomness of its own; owned by the service that runs it, one thread at a time. A connection is a `DNSStream`.
//
// Bounds: `streamLimit` connections, of one station `stationLimit`. A SYN that finds no room takes that of another one: of half-open ones,
// those that wait for an answer and all others, the oldest of the kind that has most. So a flood of whatever kind takes its own
// room, and whoever is quick is served meanwhile.

/// Connections of clients to the resolver of one network.
package struct DNSStreams: Sendable {
  package enum Effect: Equatable, Sendable {
    /// A whole frame to the network.
    case send([UInt8])
    /// A question, with the addresses that its answer goes back to by `respond`.
    case query(UDPDatagram)
  }

  static let streamLimit = 64
  /// Of one MAC address: addresses of IP are many for the asking.
  static let stationLimit = 16

  /// Whose clients are served, beside link-local addresses.
  package var networks: [IPPrefix] = []
  /// Largest IP packet to clients.
  package var mtu = 1500
  private var streams: [DNSStreamKey: DNSStream] = [:]
  /// In the order in which they were opened.
  private var order: [DNSStreamKey] = []

  package init() {}

  package var count: Int { streams.count }
  package var nextDeadline: UInt64? { streams.values.map(\.due).min() }

  /// Takes a frame with a segment for the resolver's port; anything else is ignored.
  package mutating func handle(
    frame: [UInt8], now: UInt64, using generator: inout some RandomNumberGenerator
  ) -> [Effect] {
    // No answer to a service: two that answer each other never end.
    guard let segment = TCPSegmentView(frame: frame), segment.sourcePort > 0,
      segment.sourcePort != segment.destinationPort
    else { return [] }
    let key = DNSStreamKey(segment)
    guard var stream = streams[key] else { return begin(segment, key, now: now, using: &generator) }
    // The copy here is the only one, so that its bytes are changed in place.
    streams[key] = nil
    let events = stream.take(segment, now: now)
    return keep(stream, events)
  }

  private mutating func begin(
    _ segment: TCPSegmentView, _ key: DNSStreamKey, now: UInt64, using generator: inout some RandomNumberGenerator
  ) -> [Effect] {
    guard !segment.isReset, segment.source.isLinkLocal || networks.contains(where: { $0.contains(segment.source) })
    else { return [] }
    guard segment.isOpening, !segment.acknowledges, !segment.isFinal else {
      // Nobody's (RFC 9293 §3.5.2).
      let answer = NetworkFrame.tcp(
        from: (key.own, key.ownPort), to: (key.client, key.clientPort),
        sequence: segment.acknowledges ? segment.acknowledgement : 0,
        acknowledgement: segment.acknowledges ? 0 : segment.sequence &+ segment.length,
        flags: segment.acknowledges ? TCPSegmentView.reset : TCPSegmentView.reset | TCPSegmentView.acknowledge)
      return [.send(Self.frame(answer, key, from: segment.destinationMAC, to: segment.sourceMAC))]
    }
    let ofStation = order.filter { streams[$0]?.clientMAC == segment.sourceMAC }
    let candidates = ofStation.count < Self.stationLimit ? order : ofStation
    if candidates.count >= (ofStation.count < Self.stationLimit ? Self.streamLimit : Self.stationLimit) {
      let kinds = Dictionary(grouping: candidates) { key in
        streams[key].map { $0.isEstablished ? min($0.openQueries, 1) : 2 } ?? 2
      }
      let oldest = kinds.max { ($0.value.count, $0.key) < ($1.value.count, $1.key) }?.value.first
      if let oldest { remove(oldest) }
    }
    var stream = DNSStream(
      segment, mtu: mtu, first: UInt32.random(in: .min ... .max, using: &generator), now: now)
    order.append(key)
    let events = stream.take(segment, now: now)
    return keep(stream, events)
  }

  /// Sends an answer to a question; nothing happens where its connection is gone.
  package mutating func respond(_ answer: UDPDatagram, now: UInt64) -> [Effect] {
    let key = DNSStreamKey(
      client: answer.destination, clientPort: answer.destinationPort, own: answer.source, ownPort: answer.sourcePort)
    guard var stream = streams[key] else { return [] }
    streams[key] = nil
    let events = stream.respond(answer.payload, now: now)
    return keep(stream, events)
  }

  /// Ends the connection of a question that gets no answer.
  package mutating func refuse(_ question: UDPDatagram) -> [Effect] {
    let key = DNSStreamKey(
      client: question.source, clientPort: question.sourcePort, own: question.destination,
      ownPort: question.destinationPort)
    return streams[key].map { keep($0, $0.refuse()) } ?? []
  }

  /// Does what is due.
  package mutating func tick(now: UInt64) -> [Effect] {
    var effects: [Effect] = []
    for key in order {
      guard var stream = streams[key], stream.due <= now else { continue }
      streams[key] = nil
      let events = stream.tick(now: now)
      effects += keep(stream, events)
    }
    return effects
  }

  /// Puts a connection back, unless it is over, and says what is to be done.
  private mutating func keep(_ stream: DNSStream, _ events: [DNSStream.Event]) -> [Effect] {
    streams[stream.key] = stream
    var effects: [Effect] = []
    for event in events {
      switch event {
      case .segment(let bytes):
        effects.append(.send(Self.frame(bytes, stream.key, from: stream.ownMAC, to: stream.clientMAC)))
      case .query(let bytes):
        var question = UDPDatagram(
          sourceMAC: stream.clientMAC, destinationMAC: stream.ownMAC, source: stream.key.client,
          destination: stream.key.own, sourcePort: stream.key.clientPort, destinationPort: stream.key.ownPort,
          payload: bytes)
        question.isOfStream = true
        effects.append(.query(question))
      case .end: remove(stream.key)
      }
    }
    return effects
  }

  private mutating func remove(_ key: DNSStreamKey) {
    streams[key] = nil
    order.removeAll { $0 == key }
  }

  private static func frame(
    _ segment: [UInt8], _ key: DNSStreamKey, from own: MACAddress, to client: MACAddress
  ) -> [UInt8] {
    NetworkFrame.ethernet(
      to: client, from: own, key.own.isIPv6 ? 0x86dd : 0x0800,
      NetworkFrame.ip(from: key.own, to: key.client, 6, segment))
  }
}
