// What rules can't do with a packet, they hand to the switch itself (punt): by the action controller(userdata=…), whose first
// byte is a `PuntReason`. Handlers are state machines without I/O, clock and randomness of their own: they get a packet and the
// time, and say what is to be sent and which rules are to be changed. Thread: the service's that owns them.

/// What a packet is punted for; first byte of the action's userdata.
public enum PuntReason: UInt8, CaseIterable, Sendable {
  /// Where the next hop is is not known: registers `RouterRegister.nextHop…` and `outPort`.
  case neighbourMiss = 1
  case arp = 2
  /// Neighbour solicitations and advertisements.
  case neighbourDiscovery = 3
  case routerSolicitation = 4
  // Those that are answered with an ICMP error
  case ttlExpired = 16
  case noRoute = 17
  case hostUnreachable = 18
  /// By policy, or a route of that kind.
  case prohibited = 19
  /// Larger than the MTU of the port in register `outPort`.
  case tooBig = 20
  /// For the router itself, which does not listen there.
  case portUnreachable = 21
  case protocolUnreachable = 22
  // Services of the switch
  case dhcpv4 = 32
  case dhcpv6 = 33
  case dns = 34
  /// Answers to the switch's own question for an address.
  case dhcpv4Client = 35
}

/// A punted packet.
public struct Punt: Sendable {
  public var router: RouterConfig
  public var reason: PuntReason
  /// Of the router.
  public var inPort: PortNumber
  /// What is behind the reason in the action's userdata.
  public var arguments: [UInt8]
  /// Registers and other fields of the pipeline.
  public var pipeline: FlowKey
  /// The frame as it was at that point, with all its checksums made; cut off at 65,000 bytes.
  public var frame: [UInt8]

  public init(
    router: RouterConfig, reason: PuntReason, inPort: PortNumber, arguments: [UInt8] = [],
    pipeline: FlowKey = FlowKey(), frame: [UInt8]
  ) {
    self.router = router
    self.reason = reason
    self.inPort = inPort
    self.arguments = arguments
    self.pipeline = pipeline
    self.frame = frame
  }
}

/// A frame that the switch sends.
public struct OutgoingFrame: Equatable, Sendable {
  public enum Way: Equatable, Sendable {
    /// Out of that port of the router, as it is.
    case port(PortNumber)
    /// An IP packet of the router's own, to be routed; its Ethernet addresses don't matter.
    /// - Parameter inPort: of the packet that it answers; `PortNumber.controller`: of none.
    case routed(inPort: PortNumber)
    /// On from the table where it was punted, with these registers.
    case resumed(inPort: PortNumber, table: RouterTable, outPort: PortNumber, nextHop: IPAddress)
  }
  public var router: String
  public var way: Way
  public var frame: [UInt8]

  public init(router: String, way: Way, frame: [UInt8]) {
    self.router = router
    self.way = way
    self.frame = frame
  }
}

/// What comes of a packet or of time's passing.
public struct PuntReaction: Equatable, Sendable {
  public var frames: [OutgoingFrame] = []
  /// By router.
  public var changes: [String: [FlowMod]] = [:]
  /// Packets to be handled as if they had been punted for that, after this.
  public var punts: [Punt] = []

  public init() {}

  public var isEmpty: Bool { frames.isEmpty && changes.isEmpty && punts.isEmpty }

  public mutating func send(_ frame: [UInt8], _ router: RouterConfig, _ way: OutgoingFrame.Way) {
    frames.append(OutgoingFrame(router: router.name, way: way, frame: frame))
  }

  public mutating func change(_ mod: FlowMod, _ router: String) { changes[router, default: []].append(mod) }

  public mutating func append(_ other: PuntReaction) {
    frames += other.frames
    for (router, mods) in other.changes { changes[router, default: []] += mods }
    punts += other.punts
  }

  public static func == (a: Self, b: Self) -> Bool {
    a.frames == b.frames && a.changes == b.changes
      && a.punts.map { [$0.reason.rawValue] + $0.frame } == b.punts.map { [$0.reason.rawValue] + $0.frame }
  }
}

/// Handles packets that were punted for some reasons.
public protocol PuntHandler: Sendable {
  var reasons: Set<PuntReason> { get }
  /// Takes over the routers as they are from now on; those of others are gone.
  /// - Parameter now: nanoseconds of a clock that only goes on.
  mutating func configure(_ routers: [RouterConfig], now: UInt64) -> PuntReaction
  mutating func handle(_ punt: Punt, now: UInt64) -> PuntReaction
  /// A rule that the handler has made is gone: it was not used for its idle timeout.
  mutating func ruleExpired(router: String, _ rule: RuleDescription, now: UInt64) -> PuntReaction
  /// When `tick` is to be called; nil: not before something happens.
  var nextDeadline: UInt64? { get }
  mutating func tick(now: UInt64) -> PuntReaction
}

extension PuntHandler {
  public mutating func configure(_ routers: [RouterConfig], now: UInt64) -> PuntReaction { PuntReaction() }
  public mutating func ruleExpired(router: String, _ rule: RuleDescription, now: UInt64) -> PuntReaction {
    PuntReaction()
  }
  public var nextDeadline: UInt64? { nil }
  public mutating func tick(now: UInt64) -> PuntReaction { PuntReaction() }
}

extension OutgoingFrame.Way {
  /// Where the packet-out is to have come in.
  public var inPort: PortNumber {
    switch self {
    case .port: .controller
    case .routed(let inPort): inPort
    case .resumed(let inPort, _, _, _): inPort
    }
  }

  /// What a packet-out does to send it.
  public var actions: [Action] {
    switch self {
    case .port(let number): return [.output(number, maximumByteCount: 0)]
    case .routed:
      return [
        .setField(RouterRegister.flags, value: RouterRegister.own, mask: RouterRegister.own),
        .resubmit(port: nil, table: RouterTable.tracking.rawValue, withConntrackTuple: false),
      ]
    case .resumed(_, let table, let outPort, let nextHop):
      let register = nextHop.isIPv6 ? RouterRegister.nextHopIPv6 : RouterRegister.nextHopIPv4
      return [
        .setField(RouterRegister.outPort, value: UInt128(outPort.rawValue), mask: RouterRegister.outPort.fullMask),
        .setField(register, value: nextHop.bits, mask: register.fullMask),
        .resubmit(port: nil, table: table.rawValue, withConntrackTuple: false),
      ]
    }
  }
}
