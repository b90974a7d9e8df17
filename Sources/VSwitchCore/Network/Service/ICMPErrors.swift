// Tells senders why a router did not pass their packets on. Packets that are too large for the next network and may be cut are
// cut here. Bounds: errors for each source and for each port of the router, by token buckets.
// Pure. Standards: RFC 1812 §4.3, RFC 792, RFC 1191, RFC 4443, RFC 8201, RFC 9293 §3.10.7.1 (reset).

public struct ICMPErrors: PuntHandler {
  /// Errors to one source: at once, and then every so many nanoseconds.
  static let sourceBurst: UInt64 = 32
  static let sourceInterval: UInt64 = 50_000_000
  static let sourceLimit = 1024
  /// Errors for packets of one port.
  static let portBurst: UInt64 = 200
  static let portInterval: UInt64 = 2_000_000

  private struct Source: Hashable {
    var router: String
    var address: IPAddress
  }
  private struct Place: Hashable {
    var router: String
    var port: PortNumber
  }
  private var sources: [Source: TokenBucket] = [:]
  private var ports: [Place: TokenBucket] = [:]
  /// Errors that were not sent because there were too many.
  public private(set) var suppressedCount: UInt64 = 0

  public init() {}

  public var reasons: Set<PuntReason> {
    [
      .ttlExpired, .noRoute, .hostUnreachable, .prohibited, .tooBig, .portUnreachable, .protocolUnreachable,
    ]
  }

  public mutating func configure(_ routers: [RouterConfig], now: UInt64) -> PuntReaction {
    let names = Set(routers.map(\.name))
    sources = sources.filter { names.contains($0.key.router) }
    ports = ports.filter { names.contains($0.key.router) }
    return PuntReaction()
  }

  public mutating func handle(_ punt: Punt, now: UInt64) -> PuntReaction {
    var reaction = PuntReaction()
    guard let packet = IPPacketView(frame: punt.frame) else { return reaction }
    let exit = punt.router.port(PortNumber(UInt32(truncatingIfNeeded: punt.pipeline[RouterRegister.outPort])))
    if punt.reason == .tooBig {
      guard let exit else { return reaction }
      if !packet.mayNotBeFragmented {
        for fragment in ICMPErrors.fragments(of: packet, mtu: exit.mtu) {
          reaction.send(
            Array(punt.frame[..<14]) + fragment, punt.router, .port(exit.number))
        }
        return reaction
      }
    }
    guard ICMPErrors.mayBeAnswered(packet, punt.router), mayAnswer(packet.source, punt, now) else { return reaction }
    guard let port = punt.router.port(punt.inPort) ?? exit, let own = port.source(towards: packet.source) else {
      return reaction
    }
    let way = OutgoingFrame.Way.routed(inPort: punt.inPort)
    let answer: [UInt8]
    if punt.reason == .portUnreachable, packet.ipProtocol == 6 {
      guard let reset = ICMPErrors.reset(for: packet) else { return reaction }
      answer = NetworkFrame.ip(from: packet.destination, to: packet.source, 6, reset)
    } else {
      answer = error(punt.reason, packet, from: own, mtu: exit?.mtu ?? 1500)
    }
    reaction.send(
      NetworkFrame.ethernet(
        to: port.hardwareAddress, from: port.hardwareAddress, packet.isIPv6 ? 0x86dd : 0x0800, answer),
      punt.router, way)
    return reaction
  }

  private mutating func mayAnswer(_ source: IPAddress, _ punt: Punt, _ now: UInt64) -> Bool {
    if sources.count >= Self.sourceLimit { sources = sources.filter { !$0.value.isFull(now) } }
    let key = Source(router: punt.router.name, address: source)
    let place = Place(router: punt.router.name, port: punt.inPort)
    let ofPort = ports[place]?.take(now)
    if ofPort == nil { ports[place] = TokenBucket(Self.portBurst, every: Self.portInterval, now: now) }
    let ofSource = sources[key]?.take(now)
    if ofSource == nil {
      guard sources.count < Self.sourceLimit else {
        suppressedCount += 1
        return false
      }
      sources[key] = TokenBucket(Self.sourceBurst, every: Self.sourceInterval, now: now)
    }
    if ofPort == false || ofSource == false {
      suppressedCount += 1
      return false
    }
    return true
  }

  // MARK: rules

  /// Whether an error about a packet may be sent (RFC 1812 §4.3.2.7, RFC 4443 §2.4 e).
  static func mayBeAnswered(_ packet: IPPacketView, _ router: RouterConfig) -> Bool {
    let source = packet.source
    guard !packet.isLaterFragment, !source.isMulticast, !source.isUnspecified, !source.isLoopback,
      !packet.destination.isMulticast,
      // With an address of the router's are its own packets, and those of a connection whose source it has translated already:
      // of these, connection tracking knows whom to tell.
      !router.owns(source) || router.ports.contains(where: \.masquerades),
      packet.isIPv6 || (source.ipv4 != .max && packet.destination.ipv4 != .max)
    else { return false }
    let broadcasts = router.ports.lazy.flatMap(\.addresses).compactMap(\.broadcast)
    guard !broadcasts.contains(where: { $0 == source || $0 == packet.destination }) else { return false }
    guard packet.ipProtocol == (packet.isIPv6 ? 58 : 1) else { return true }
    guard let type = packet.payload.byte(0) else { return false }
    // Of ICMP only what is known to be no error.
    return packet.isIPv6 ? type >= 128 : [0, 8, 13, 14, 15, 16, 17, 18].contains(type)
  }

  private func error(_ reason: PuntReason, _ packet: IPPacketView, from own: IPAddress, mtu: Int) -> [UInt8] {
    let isIPv6 = packet.isIPv6
    let (type, code): (UInt8, UInt8) =
      switch reason {
      case .ttlExpired: isIPv6 ? (3, 0) : (11, 0)
      case .tooBig: isIPv6 ? (2, 0) : (3, 4)
      case .hostUnreachable: isIPv6 ? (1, 3) : (3, 1)
      case .prohibited: isIPv6 ? (1, 1) : (3, 13)
      case .portUnreachable: isIPv6 ? (1, 4) : (3, 3)
      case .protocolUnreachable: isIPv6 ? (4, 1) : (3, 2)
      default: isIPv6 ? (1, 0) : (3, 0)
      }
    var body = NetworkFrame.bytes(UInt32(0))
    if reason == .tooBig {
      body = isIPv6 ? NetworkFrame.bytes(UInt32(clamping: mtu)) : [0, 0] + NetworkFrame.bytes(UInt16(clamping: mtu))
    } else if isIPv6, reason == .protocolUnreachable {
      // Points to the Next Header field that names the protocol: the fixed header's where there are no others.
      body = NetworkFrame.bytes(UInt32(6))
    }
    if isIPv6 {
      // As much as fits the least MTU.
      body += packet.packet.prefix(1280 - 40 - 8)
      return NetworkFrame.ip(
        from: own, to: packet.source, 58,
        NetworkFrame.icmpv6(type, code: code, body, from: own, to: packet.source))
    }
    body += packet.packet.prefix(576 - 20 - 8)
    return NetworkFrame.ip(from: own, to: packet.source, 1, NetworkFrame.icmp(type, code: code, body))
  }

  // MARK: other answers

  /// The reset for a segment that nobody waits for; nil for a reset.
  static func reset(for packet: IPPacketView) -> [UInt8]? {
    let segment = packet.payload
    guard let source = segment.word(0), let destination = segment.word(2), let sequence = segment.long(4),
      let acknowledgement = segment.long(8), let offset = segment.byte(12), let flags = segment.byte(13),
      flags & 0x04 == 0
    else { return nil }
    let (from, to) = ((packet.destination, destination), (packet.source, source))
    if flags & 0x10 != 0 {
      return NetworkFrame.tcp(from: from, to: to, sequence: acknowledgement, acknowledgement: 0, flags: 0x04)
    }
    let dataByteCount = max(segment.count - Int(offset >> 4) * 4, 0)
    let length = UInt32(truncatingIfNeeded: dataByteCount) &+ UInt32(flags >> 1 & 1) &+ UInt32(flags & 1)
    return NetworkFrame.tcp(
      from: from, to: to, sequence: 0, acknowledgement: sequence &+ length, flags: 0x14)
  }

  /// Cuts an IPv4 packet (RFC 791 §3.2). Options stay in the first fragment alone.
  static func fragments(of packet: IPPacketView, mtu: Int) -> [[UInt8]] {
    let header = Array(packet.packet.prefix(packet.payloadOffset))
    let data = packet.packet.dropFirst(packet.payloadOffset)
    guard !packet.isIPv6, header.count >= 20, mtu >= header.count + 8 else { return [] }
    let old = UInt16(header[6]) << 8 | UInt16(header[7])
    var fragments: [[UInt8]] = []
    var offset = 0
    while offset < data.count {
      var part = offset == 0 ? header : Array(header[..<20])
      part[0] = 0x40 | UInt8(part.count / 4)
      let room = (mtu - part.count) & ~7
      let piece = data.dropFirst(offset).prefix(room)
      let isLast = offset + piece.count == data.count
      let place = Int(old & 0x1fff) + offset / 8
      guard place <= 0x1fff else { return fragments }
      NetworkFrame.store(UInt16(part.count + piece.count), &part, at: 2)
      NetworkFrame.store(UInt16(place) | (isLast ? old & 0x2000 : 0x2000), &part, at: 6)
      NetworkFrame.store(0, &part, at: 10)
      NetworkFrame.store(NetworkFrame.checksum(part), &part, at: 10)
      fragments.append(part + piece)
      offset += piece.count
    }
    return fragments
  }
}

/// So many at once, and then one every so many nanoseconds.
struct TokenBucket: Sendable {
  private let limit: UInt64
  private let interval: UInt64
  private var tokens: UInt64
  private var filledAt: UInt64

  /// One is taken already.
  init(_ limit: UInt64, every interval: UInt64, now: UInt64) {
    self.limit = limit
    self.interval = max(interval, 1)
    tokens = max(limit, 1) - 1
    filledAt = now
  }

  func isFull(_ now: UInt64) -> Bool { now > filledAt && (now - filledAt) / interval + tokens >= limit }

  mutating func take(_ now: UInt64) -> Bool {
    if now > filledAt {
      let new = (now - filledAt) / interval
      filledAt += new * interval
      tokens = min(tokens + min(new, limit), limit)
    }
    guard tokens > 0 else { return false }
    tokens -= 1
    return true
  }
}
