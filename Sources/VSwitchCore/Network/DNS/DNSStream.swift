// The server's end of one TCP connection for questions and answers (RFC 7766, RFC 9293): what has come, and what is still to go. Pure:
// time is given, segments come back. Owned by `DNSStreams`.
//
// Bytes are taken in their order only: what comes early is asked for again. At most ten segments are under way; what is not
// acknowledged within a second is sent again from there on, then after twice as long, four times. There is no window scaling,
// no selective acknowledgement and no opening of connections. States: half-open, established, closing (FIN is the number behind
// the last byte of `outgoing`).

/// Who talks to whom.
struct DNSStreamKey: Hashable, Sendable {
  var client: IPAddress
  var clientPort: UInt16
  var own: IPAddress
  var ownPort: UInt16
}

struct DNSStream: Sendable {
  private static let second: UInt64 = 1_000_000_000
  /// Longest question, bytes, and those that one connection may have open.
  static let queryByteLimit = 4096
  static let queryLimit = 16
  /// Of answers that wait for the client, bytes.
  static let outgoingLimit = 262_144
  static let window: UInt16 = 16_384
  private static let segmentsUnderWay = 10
  /// How long a client may say nothing, and how long an answer may take.
  private static let idle = 10 * second
  private static let patience = 30 * second
  private static let triesLimit = 4

  enum Event: Equatable {
    case segment([UInt8])
    case query([UInt8])
    /// The connection is over.
    case end
  }

  let key: DNSStreamKey
  let clientMAC: MACAddress
  let ownMAC: MACAddress
  private let ownSegmentSize: UInt16
  private let segmentByteCount: Int
  private(set) var isEstablished = false
  /// The next byte that the client sends.
  private var nextReceived: UInt32
  /// What is no whole question yet.
  private var received: [UInt8] = []
  private(set) var openQueries = 0
  private var isClosedByClient = false
  /// No more is said: behind `outgoing` comes FIN.
  private var isClosing = false
  /// FIN is acknowledged.
  private var hasSaidAll = false
  /// The number of the first byte of `outgoing`; half-open: of SYN.
  private var unacknowledged: UInt32
  private var outgoing: [UInt8] = []
  /// Numbers from there on that are under way, and those that ever were: bytes, and one for FIN.
  private var underWay = 0
  private var mostSent = 0
  private var clientWindow: Int
  private var tries = 0
  /// When something is sent again, or the connection ends.
  private(set) var due: UInt64

  /// - Parameters:
  ///   - syn: the client's.
  ///   - mtu: of the network, bytes.
  ///   - first: a number that nobody can guess.
  init(_ syn: TCPSegmentView, mtu: Int, first: UInt32, now: UInt64) {
    key = DNSStreamKey(syn)
    clientMAC = syn.sourceMAC
    ownMAC = syn.destinationMAC
    let own = UInt16(clamping: max(mtu - (syn.source.isIPv6 ? 60 : 40), 536))
    ownSegmentSize = own
    // A client that asks for tiny segments would make one of every byte.
    segmentByteCount = Int(min(own, max(syn.maximumSegmentSize ?? (syn.source.isIPv6 ? 1220 : 536), 64)))
    nextReceived = syn.sequence &+ 1
    unacknowledged = first
    clientWindow = Int(syn.window)
    due = now &+ Self.second
  }

  // MARK: segments of the client

  mutating func take(_ segment: TCPSegmentView, now: UInt64) -> [Event] {
    let distance = segment.sequence &- nextReceived
    if segment.isReset {
      if distance == 0 { return [.end] }
      // Only one that names the next byte ends it, another one in the window is asked about (RFC 5961 §3.2).
      return distance < UInt32(Self.window) ? [acknowledgement] : []
    }
    if segment.isOpening {
      // Its own SYN once more; any other one is told where the connection is (RFC 5961 §4.2).
      return [!isEstablished && segment.sequence &+ 1 == nextReceived ? synAnswer : acknowledgement]
    }
    guard segment.acknowledges else { return [] }
    // What is older says nothing, what was never sent is no acknowledgement (RFC 9293 §3.10.7.4).
    var news = segment.acknowledgement &- unacknowledged
    if news > UInt32(truncatingIfNeeded: isEstablished ? mostSent : 1) {
      guard isEstablished else {
        return [.segment(bytes(sequence: segment.acknowledgement, TCPSegmentView.reset))]
      }
      if news < 1 << 31 { return [acknowledgement] }
      news = 0
    } else {
      clientWindow = Int(segment.window)
    }
    if !isEstablished {
      guard news == 1 else { return [] }
      isEstablished = true
      (unacknowledged, tries) = (unacknowledged &+ 1, 0)
      schedule(now)
    } else if news > 0 {
      let count = min(Int(news), outgoing.count)
      outgoing.removeFirst(count)
      unacknowledged &+= news
      mostSent -= Int(news)
      underWay = max(underWay - Int(news), 0)
      tries = 0
      schedule(now)
      if Int(news) > count {
        // FIN has arrived. What the client still has to say is waited for.
        if isClosedByClient { return [.end] }
        hasSaidAll = true
      }
    }
    return takeData(segment, now)
  }

  private mutating func takeData(_ segment: TCPSegmentView, _ now: UInt64) -> [Event] {
    // What was there already is left out.
    let known = nextReceived &- segment.sequence
    guard known <= UInt32(truncatingIfNeeded: segment.data.count), !isClosedByClient || segment.length == 0 else {
      return [acknowledgement]
    }
    let data = segment.data.dropFirst(Int(known))
    var events: [Event] = []
    if !data.isEmpty {
      // Nobody would hear the answer.
      guard !isClosing, let queries = queries(data) else { return [.segment(bytes(TCPSegmentView.reset)), .end] }
      events += queries.map { .query($0) }
    }
    nextReceived &+= UInt32(truncatingIfNeeded: data.count)
    if segment.isFinal {
      nextReceived &+= 1
      isClosedByClient = true
      if hasSaidAll { return events + [acknowledgement, .end] }
    }
    if segment.length > 0 { schedule(now) }
    let answers = pump(now)
    // A segment of answers acknowledges, too.
    if answers.isEmpty, segment.length > 0 { events.append(acknowledgement) }
    return events + answers
  }

  /// Takes bytes that are next; nil if they are not to be had.
  /// - Returns: the questions that are whole with them.
  private mutating func queries(_ data: ArraySlice<UInt8>) -> [[UInt8]]? {
    received += data
    var queries: [[UInt8]] = []
    var start = 0
    while received.count - start >= 2 {
      let count = Int(received[start]) << 8 | Int(received[start + 1])
      guard count <= Self.queryByteLimit else { return nil }
      guard received.count - start >= count + 2 else { break }
      guard openQueries < Self.queryLimit else { return nil }
      queries.append(Array(received[(start + 2)..<(start + 2 + count)]))
      openQueries += 1
      start += count + 2
    }
    received.removeFirst(start)
    return queries
  }

  // MARK: answers

  mutating func respond(_ answer: [UInt8], now: UInt64) -> [Event] {
    guard openQueries > 0 else { return [] }
    openQueries -= 1
    guard answer.count <= 65_535, outgoing.count + answer.count + 2 <= Self.outgoingLimit else {
      return [.segment(bytes(TCPSegmentView.reset)), .end]
    }
    let isWaiting = !outgoing.isEmpty
    outgoing += UInt16(truncatingIfNeeded: answer.count).networkOrder + answer
    let events = pump(now)
    if !isWaiting { schedule(now) }
    return events
  }

  /// A question gets no answer: the connection ends, so that the client asks elsewhere.
  func refuse() -> [Event] { openQueries > 0 ? [.segment(bytes(TCPSegmentView.reset)), .end] : [] }

  /// Sends what may be sent, and FIN if that is all.
  private mutating func pump(_ now: UInt64) -> [Event] {
    guard isEstablished else { return [] }
    if isClosedByClient, openQueries == 0, !isClosing {
      isClosing = true
      schedule(now)
    }
    var events: [Event] = []
    let limit = min(clientWindow, Self.segmentsUnderWay * segmentByteCount)
    while underWay < outgoing.count, underWay < limit {
      let end = min(outgoing.count, underWay + segmentByteCount, limit)
      events.append(data(underWay..<end))
      underWay = end
    }
    if isClosing, underWay == outgoing.count, !hasSaidAll {
      events.append(fin)
      underWay += 1
    }
    mostSent = max(mostSent, underWay)
    return events
  }

  // MARK: time

  /// Whether something has to be acknowledged.
  private var isWaiting: Bool { !isEstablished || !outgoing.isEmpty || isClosing && !hasSaidAll }

  private mutating func schedule(_ now: UInt64) {
    due = now &+ (isWaiting ? Self.second << UInt64(tries) : openQueries > 0 ? Self.patience : Self.idle)
  }

  /// Sends again what was not acknowledged, closes what is idle, and ends what does not answer; called when `due` has come.
  mutating func tick(now: UInt64) -> [Event] {
    guard isWaiting else {
      guard openQueries == 0, !isClosing else { return [.segment(bytes(TCPSegmentView.reset)), .end] }
      isClosing = true
      schedule(now)
      return pump(now)
    }
    guard tries < Self.triesLimit else { return [.segment(bytes(TCPSegmentView.reset)), .end] }
    tries += 1
    schedule(now)
    if !isEstablished { return [synAnswer] }
    guard !outgoing.isEmpty else {
      (underWay, mostSent) = (1, 1)
      return [fin]
    }
    // A window of nothing is asked after by a byte; the rest follows when this is acknowledged.
    let end = min(outgoing.count, segmentByteCount, max(clientWindow, 1))
    underWay = end
    mostSent = max(mostSent, end)
    return [data(0..<end)]
  }

  // MARK: own segments

  private var synAnswer: Event {
    .segment(
      bytes(
        sequence: unacknowledged, TCPSegmentView.syn | TCPSegmentView.acknowledge,
        options: [2, 4] + ownSegmentSize.networkOrder))
  }

  private var acknowledgement: Event { .segment(bytes(TCPSegmentView.acknowledge)) }

  private var fin: Event {
    .segment(bytes(sequence: number(outgoing.count), TCPSegmentView.acknowledge | TCPSegmentView.fin))
  }

  private func data(_ range: Range<Int>) -> Event {
    .segment(
      bytes(
        sequence: number(range.lowerBound), TCPSegmentView.acknowledge | TCPSegmentView.push, Array(outgoing[range])))
  }

  private func number(_ offset: Int) -> UInt32 { unacknowledged &+ UInt32(truncatingIfNeeded: offset) }

  /// The segment that says where the connection is.
  private func bytes(_ flags: UInt8) -> [UInt8] {
    bytes(sequence: number(isEstablished ? mostSent : 1), flags | TCPSegmentView.acknowledge)
  }

  private func bytes(sequence: UInt32, _ flags: UInt8, options: [UInt8] = [], _ data: [UInt8] = []) -> [UInt8] {
    NetworkFrame.tcp(
      from: (key.own, key.ownPort), to: (key.client, key.clientPort), sequence: sequence,
      acknowledgement: flags & TCPSegmentView.acknowledge != 0 ? nextReceived : 0, flags: flags, window: Self.window,
      options: options, data)
  }
}

extension DNSStreamKey {
  init(_ segment: TCPSegmentView) {
    self.init(
      client: segment.source, clientPort: segment.sourcePort, own: segment.destination,
      ownPort: segment.destinationPort)
  }
}
