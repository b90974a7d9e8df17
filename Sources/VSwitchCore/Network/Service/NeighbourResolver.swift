// Finds out where the next hops of a router are, by ARP and neighbour discovery, and keeps it as long as it is used. What is
// known is a rule of the router's table `neighbours`; packets for neighbours that are not yet known wait here.
//
// States: incomplete (asked, packets wait) -> reachable (a rule) -> probed (asked again, the rule stays) -> reachable, or gone.
// A rule that no packet used for a minute goes, and with it the neighbour; so only neighbours that are in use are asked again.
// Bounds: neighbours for each port, packets and bytes that wait. Pure; randomness spreads times, so that routers don't fall into step.
// Standards: RFC 826, RFC 1122 §2.3.2, RFC 4861 §7.

public struct NeighbourResolver: PuntHandler {
  /// Most neighbours of a port, and most of them that are not yet known.
  public static let neighbourLimit = 4096
  public static let incompleteLimit = 256
  /// Packets that wait for one neighbour; the oldest goes first.
  public static let queueLimit = 16
  public static let queuedByteLimit = 4 << 20
  static let probeCount = 3
  static let probeInterval: UInt64 = 1_000_000_000
  /// Base of the time that a neighbour counts as reachable, nanoseconds: half to one and a half of it (RFC 4861 §6.3.2).
  static let reachableTime: UInt64 = 30_000_000_000
  static let idleSeconds: UInt16 = 60
  /// Cookies of its rules.
  public static let neighbourCookie: UInt64 = 2
  static let newsCookie: UInt64 = 3

  struct Key: Hashable {
    var router: String
    var port: PortNumber
    var address: IPAddress
  }
  enum State: Equatable {
    case incomplete
    case reachable(MACAddress)
    case probed(MACAddress)

    var hardware: MACAddress? {
      switch self {
      case .incomplete: nil
      case .reachable(let hardware), .probed(let hardware): hardware
      }
    }
  }
  struct Entry {
    var state: State
    var probes = 0
    var deadline: UInt64
    var confirmedAt: UInt64
    var queue: [Punt] = []
  }

  private(set) var entries: [Key: Entry] = [:]
  private var routers: [String: RouterConfig] = [:]
  private var queuedByteCount = 0
  private var earliest: UInt64?
  private var random: SplitMix64
  /// Packets that found no room.
  public private(set) var droppedCount: UInt64 = 0

  public init(seed: UInt64) { random = SplitMix64(seed: seed) }

  public var reasons: Set<PuntReason> { [.neighbourMiss, .arp, .neighbourDiscovery] }
  public var nextDeadline: UInt64? { entries.isEmpty ? nil : earliest }

  // MARK: configuration

  public mutating func configure(_ routers: [RouterConfig], now: UInt64) -> PuntReaction {
    var reaction = PuntReaction()
    let old = self.routers
    self.routers = Dictionary(routers.map { ($0.name, $0) }, uniquingKeysWith: { $1 })
    for key in entries.keys {
      let port = self.routers[key.router]?.port(key.port)
      let before = old[key.router]?.port(key.port)
      if let port, port.name == before?.name, port.hardwareAddress == before?.hardwareAddress,
        port.addresses == before?.addresses
      {
        continue
      }
      remove(key, &reaction)
      // The bridge has gone with its rules.
      if self.routers[key.router] == nil { reaction.changes[key.router] = nil }
    }
    return reaction
  }

  // MARK: packets

  public mutating func handle(_ punt: Punt, now: UInt64) -> PuntReaction {
    var reaction = PuntReaction()
    switch punt.reason {
    case .neighbourMiss: miss(punt, now, &reaction)
    case .arp: arp(punt, now, &reaction)
    case .neighbourDiscovery: discovery(punt, now, &reaction)
    default: break
    }
    return reaction
  }

  private mutating func miss(_ punt: Punt, _ now: UInt64, _ reaction: inout PuntReaction) {
    guard let packet = IPPacketView(frame: punt.frame),
      let port = punt.router.port(PortNumber(UInt32(truncatingIfNeeded: punt.pipeline[RouterRegister.outPort])))
    else { return }
    let field = packet.isIPv6 ? RouterRegister.nextHopIPv6 : RouterRegister.nextHopIPv4
    let nextHop = IPAddress(bits: punt.pipeline[field], isIPv6: packet.isIPv6)
    guard !nextHop.isMulticast, !nextHop.isUnspecified, !punt.router.owns(nextHop) else { return }
    let key = Key(router: punt.router.name, port: port.number, address: nextHop)
    if let entry = entries[key] {
      if entry.state.hardware != nil {
        // Punted before its rule was there.
        resume(punt, key, &reaction)
      } else {
        wait(punt, key)
      }
      return
    }
    let ofPort = entries.filter { $0.key.port == port.number && $0.key.router == key.router }
    guard ofPort.count < Self.neighbourLimit,
      ofPort.count(where: { $0.value.state == .incomplete }) < Self.incompleteLimit
    else {
      droppedCount += 1
      return
    }
    put(key, Entry(state: .incomplete, probes: 1, deadline: now + Self.probeInterval, confirmedAt: now))
    wait(punt, key)
    ask(key, punt.router, &reaction)
  }

  private mutating func wait(_ punt: Punt, _ key: Key) {
    guard queuedByteCount + punt.frame.count <= Self.queuedByteLimit else {
      droppedCount += 1
      return
    }
    entries[key]?.queue.append(punt)
    queuedByteCount += punt.frame.count
    if let queue = entries[key]?.queue, queue.count > Self.queueLimit {
      queuedByteCount -= queue[0].frame.count
      entries[key]?.queue.removeFirst()
      droppedCount += 1
    }
  }

  private func resume(_ punt: Punt, _ key: Key, _ reaction: inout PuntReaction) {
    reaction.send(
      punt.frame, punt.router,
      .resumed(inPort: punt.inPort, table: .neighbours, outPort: key.port, nextHop: key.address))
  }

  private mutating func arp(_ punt: Punt, _ now: UInt64, _ reaction: inout PuntReaction) {
    guard let message = ARPMessage(frame: punt.frame), let port = punt.router.port(punt.inPort) else { return }
    let key = Key(router: punt.router.name, port: port.number, address: message.sender)
    guard port.addresses.contains(where: { $0.network.contains(message.sender) || entries[key] != nil }) else { return }
    // Who asks for us will be answered by us: that makes a neighbour. Who only tells does not.
    let asksForUs = message.operation == 1 && port.addresses.contains { $0.address == message.target }
    learn(key, message.senderHardware, makes: asksForUs, punt.router, now, &reaction)
  }

  private mutating func discovery(_ punt: Punt, _ now: UInt64, _ reaction: inout PuntReaction) {
    guard let message = NeighbourMessage(frame: punt.frame), let port = punt.router.port(punt.inPort) else { return }
    if message.type == 135 {
      guard port.ownAddresses.contains(message.target) else { return }
      if let linkLayer = message.linkLayer, !message.source.isUnspecified {
        let key = Key(router: punt.router.name, port: port.number, address: message.source)
        learn(key, linkLayer, makes: true, punt.router, now, &reaction)
      }
      advertise(message, port, punt, &reaction)
    } else if message.type == 136 {
      let key = Key(router: punt.router.name, port: port.number, address: message.target)
      guard let entry = entries[key] else { return }
      if let linkLayer = message.linkLayer {
        if let known = entry.state.hardware, known != linkLayer, !message.overrides { return }
        learn(key, linkLayer, makes: false, punt.router, now, &reaction)
      } else if let known = entry.state.hardware, message.isSolicited {
        learn(key, known, makes: false, punt.router, now, &reaction)
      }
    }
  }

  /// Answers a neighbour solicitation.
  private func advertise(_ message: NeighbourMessage, _ port: RouterPort, _ punt: Punt, _ reaction: inout PuntReaction)
  {
    let isProbe = message.source.isUnspecified
    let allNodes = IPAddress(ipv6: UInt128(0xff02) << 112 | 1)
    let destination = isProbe ? allNodes : message.source
    // Router, solicited, override (RFC 4861 §4.4).
    var body: [UInt8] = [isProbe ? 0xa0 : 0xe0, 0, 0, 0]
    body += message.target.octets + [2, 1] + port.hardwareAddress.octets
    let packet = NetworkFrame.ip(
      from: message.target, to: destination, 58, hopLimit: 255,
      NetworkFrame.icmpv6(136, code: 0, body, from: message.target, to: destination))
    let hardware = isProbe ? allNodes.multicastMAC : PacketBytes(punt.frame[...]).mac(6)
    guard let hardware else { return }
    reaction.send(
      NetworkFrame.ethernet(to: hardware, from: port.hardwareAddress, 0x86dd, packet), punt.router, .port(port.number))
  }

  // MARK: what is known

  /// Takes note of where a station is.
  /// - Parameter makes: whether it becomes a neighbour by that.
  private mutating func learn(
    _ key: Key, _ hardware: MACAddress, makes: Bool, _ router: RouterConfig, _ now: UInt64,
    _ reaction: inout PuntReaction
  ) {
    guard !hardware.isMulticast, hardware.bits != 0, !key.address.isUnspecified, !key.address.isMulticast,
      !router.owns(key.address)
    else { return }
    let known = entries[key]
    guard known != nil || makes else { return }
    if known == nil,
      entries.count(where: { $0.key.port == key.port && $0.key.router == key.router }) >= Self.neighbourLimit
    {
      return
    }
    let half = Self.reachableTime / 2
    let waiting = known?.queue ?? []
    put(
      key,
      Entry(
        state: .reachable(hardware), deadline: now + half + random.next() % Self.reachableTime, confirmedAt: now))
    if known?.state.hardware != hardware { for rule in rules(key, hardware) { reaction.change(rule, key.router) } }
    for punt in waiting {
      queuedByteCount -= punt.frame.count
      resume(punt, key, &reaction)
    }
  }

  private mutating func put(_ key: Key, _ entry: Entry) {
    entries[key] = entry
    earliest = min(earliest ?? .max, entry.deadline)
  }

  private mutating func remove(_ key: Key, _ reaction: inout PuntReaction) {
    guard let entry = entries.removeValue(forKey: key) else { return }
    for punt in entry.queue { queuedByteCount -= punt.frame.count }
    guard let hardware = entry.state.hardware else { return }
    for var rule in rules(key, hardware) {
      rule.command = .deleteStrict
      rule.instructions = Instructions()
      reaction.change(rule, key.router)
    }
  }

  /// The rules of a neighbour: where it is; and what it may say in ARP without telling us anything.
  private func rules(_ key: Key, _ hardware: MACAddress) -> [FlowMod] {
    var rule = FlowMod()
    rule.table = RouterTable.neighbours.rawValue
    rule.priority = 10
    rule.cookie = Self.neighbourCookie
    rule.idleTimeoutSeconds = Self.idleSeconds
    rule.flags = .sendFlowRemoved
    rule.match = Match.ip(isIPv6: key.address.isIPv6).with(RouterRegister.outPort, key.port.rawValue)
      .with(key.address.isIPv6 ? RouterRegister.nextHopIPv6 : RouterRegister.nextHopIPv4, key.address.bits)
    rule.instructions = Instructions(apply: [.set(.ethernetDestination, hardware.bits)])
    rule.instructions.gotoTable = RouterTable.mtu.rawValue
    guard !key.address.isIPv6 else { return [rule] }
    var news = FlowMod()
    news.table = RouterTable.neighbourNews.rawValue
    news.priority = 10
    news.cookie = Self.newsCookie
    news.match = Match.arp.from(key.port).with(.arpSenderAddress, key.address.bits)
    news.instructions = Instructions(apply: [.punt(.arp)])
    news.instructions.gotoTable = RouterTable.link.rawValue
    var nothingNew = news
    nothingNew.priority = 20
    nothingNew.match = news.match.with(.arpSenderHardware, hardware.bits)
    nothingNew.instructions = Instructions()
    nothingNew.instructions.gotoTable = RouterTable.link.rawValue
    return [rule, news, nothingNew]
  }

  // MARK: time

  public mutating func ruleExpired(router: String, _ rule: RuleDescription, now: UInt64) -> PuntReaction {
    var reaction = PuntReaction()
    guard rule.cookie == Self.neighbourCookie, let port = rule.match.value(RouterRegister.outPort) else {
      return reaction
    }
    let isIPv6 = rule.match.value(.etherType)?.value == 0x86dd
    let field = isIPv6 ? RouterRegister.nextHopIPv6 : RouterRegister.nextHopIPv4
    guard let address = rule.match.value(field) else { return reaction }
    let key = Key(
      router: router, port: PortNumber(UInt32(truncatingIfNeeded: port.value)),
      address: IPAddress(bits: address.value, isIPv6: isIPv6))
    remove(key, &reaction)
    return reaction
  }

  public mutating func tick(now: UInt64) -> PuntReaction {
    var reaction = PuntReaction()
    guard let earliest, earliest <= now else { return reaction }
    for (key, entry) in entries where entry.deadline <= now {
      guard let router = routers[key.router] else {
        remove(key, &reaction)
        continue
      }
      var entry = entry
      if case .reachable(let hardware) = entry.state {
        entry.state = .probed(hardware)
        entry.probes = 0
      }
      if entry.probes >= Self.probeCount {
        for var punt in entry.queue {
          punt.reason = .hostUnreachable
          reaction.punts.append(punt)
        }
        remove(key, &reaction)
        continue
      }
      entry.probes += 1
      entry.deadline = now + Self.probeInterval
      entries[key] = entry
      ask(key, router, &reaction)
    }
    self.earliest = entries.values.lazy.map(\.deadline).min()
    return reaction
  }

  /// Sends a request: to all, or to the neighbour itself where its place is known.
  private func ask(_ key: Key, _ router: RouterConfig, _ reaction: inout PuntReaction) {
    guard let port = router.port(key.port), let source = port.source(towards: key.address) else { return }
    let known = entries[key]?.state.hardware
    let frame: [UInt8]
    if key.address.isIPv6 {
      let group = key.address.solicitedNodeGroup
      let destination = known == nil ? group : key.address
      let body = [0, 0, 0, 0] + key.address.octets + [1, 1] + port.hardwareAddress.octets
      let packet = NetworkFrame.ip(
        from: source, to: destination, 58, hopLimit: 255,
        NetworkFrame.icmpv6(135, code: 0, body, from: source, to: destination))
      frame = NetworkFrame.ethernet(to: known ?? group.multicastMAC, from: port.hardwareAddress, 0x86dd, packet)
    } else {
      frame = NetworkFrame.arp(
        1, sender: (port.hardwareAddress, source), target: key.address, to: known ?? .broadcast)
    }
    reaction.send(frame, router, .port(key.port))
  }
}

/// What a user sees of a neighbour.
public struct NeighbourDescription: Equatable, Sendable {
  public var address: IPAddress
  /// Name of the router's port.
  public var port: String
  public var hardware: MACAddress?
  /// incomplete, reachable or probe.
  public var state: String
  public var waitingCount: Int
  /// Since it was last heard.
  public var ageSeconds: UInt64
}

extension NeighbourResolver {
  /// The neighbours of a router, by port and address.
  public func neighbours(of router: String, now: UInt64) -> [NeighbourDescription] {
    guard let config = routers[router] else { return [] }
    return entries.filter { $0.key.router == router }
      .map { key, entry in
        let state: String =
          switch entry.state {
          case .incomplete: "incomplete"
          case .reachable: "reachable"
          case .probed: "probe"
          }
        return NeighbourDescription(
          address: key.address, port: config.port(key.port)?.name ?? "", hardware: entry.state.hardware, state: state,
          waitingCount: entry.queue.count, ageSeconds: (max(now, entry.confirmedAt) - entry.confirmedAt) / 1_000_000_000
        )
      }
      .sorted { ($0.port, $0.address) < ($1.port, $1.address) }
  }
}

/// A generator of which a seed decides all numbers (Steele, Lea and Flood, "Fast splittable pseudorandom number generators").
public struct SplitMix64: RandomNumberGenerator, Sendable {
  private var state: UInt64

  public init(seed: UInt64) { state = seed }

  public mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var value = state
    value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
    value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
    return value ^ value >> 31
  }
}
