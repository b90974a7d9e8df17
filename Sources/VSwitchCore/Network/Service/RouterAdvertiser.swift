// Tells the hosts of a router's networks of the router: now and then, when one asks, and in the end that it is gone.
// Pure; randomness spreads times (RFC 4861 §6.2.4). Standards: RFC 4861 §4.2, §4.6, §6.2, RFC 8106 (DNS).

public struct RouterAdvertiser: PuntHandler {
  /// The first ones follow each other sooner (RFC 4861 §10), nanoseconds.
  static let initialInterval: UInt64 = 16_000_000_000
  static let initialCount = 3
  /// Least time between two to all nodes.
  static let leastInterval: UInt64 = 3_000_000_000
  /// Answers wait up to that long, so that one is enough for all who ask.
  static let answerDelay: UInt64 = 500_000_000

  private struct Place: Hashable {
    var router: String
    var port: PortNumber
  }
  private struct Schedule {
    var config: RouterConfig
    var port: RouterPort
    var sentCount = 0
    var lastSent: UInt64?
    var next: UInt64
  }

  private var schedules: [Place: Schedule] = [:]
  private var random: SplitMix64

  public init(seed: UInt64) { random = SplitMix64(seed: seed) }

  public var reasons: Set<PuntReason> { [.routerSolicitation] }
  public var nextDeadline: UInt64? { schedules.values.lazy.map(\.next).min() }

  public mutating func configure(_ routers: [RouterConfig], now: UInt64) -> PuntReaction {
    var reaction = PuntReaction()
    var wanted: [Place: (RouterConfig, RouterPort)] = [:]
    for router in routers {
      for port in router.ports where port.advertisement != nil {
        wanted[Place(router: router.name, port: port.number)] = (router, port)
      }
    }
    for (place, schedule) in schedules where wanted[place] == nil {
      schedules[place] = nil
      // Where the port is there still, hosts are told not to use it any more.
      guard let router = routers.first(where: { $0.name == place.router }), router.port(place.port) != nil else {
        continue
      }
      var last = schedule.port
      last.advertisement?.lifetimeSeconds = 0
      advertise(last, router, to: nil, &reaction)
    }
    for (place, (router, port)) in wanted {
      if let known = schedules[place], known.port == port {
        schedules[place]?.config = router
      } else {
        schedules[place] = Schedule(config: router, port: port, next: now + random.next() % Self.answerDelay)
      }
    }
    return reaction
  }

  public mutating func handle(_ punt: Punt, now: UInt64) -> PuntReaction {
    guard let message = NeighbourMessage(frame: punt.frame), message.type == 133 else { return PuntReaction() }
    let place = Place(router: punt.router.name, port: punt.inPort)
    guard let schedule = schedules[place] else { return PuntReaction() }
    // To all nodes, a moment later, and not too often: many may ask at once (RFC 4861 §6.2.6).
    var due = now + random.next() % Self.answerDelay
    if let lastSent = schedule.lastSent { due = max(due, lastSent + Self.leastInterval) }
    schedules[place]?.next = min(schedule.next, due)
    return PuntReaction()
  }

  public mutating func tick(now: UInt64) -> PuntReaction {
    var reaction = PuntReaction()
    for (place, schedule) in schedules where schedule.next <= now {
      advertise(schedule.port, schedule.config, to: nil, &reaction)
      let longest = UInt64(schedule.port.advertisement?.intervalSeconds ?? 600) * 1_000_000_000
      // Between a third of the interval and all of it.
      var pause = longest / 3 + random.next() % max(longest * 2 / 3, 1)
      if schedule.sentCount < Self.initialCount { pause = min(pause, Self.initialInterval) }
      schedules[place]?.sentCount += 1
      schedules[place]?.lastSent = now
      schedules[place]?.next = now + pause
    }
    return reaction
  }

  private func advertise(
    _ port: RouterPort, _ router: RouterConfig, to host: IPAddress?, _ reaction: inout PuntReaction
  ) {
    guard let source = port.linkLocal, let content = port.advertisement else { return }
    let destination = host ?? IPAddress(ipv6: UInt128(0xff02) << 112 | 1)
    let packet = NetworkFrame.ip(
      from: source, to: destination, 58, hopLimit: 255,
      NetworkFrame.icmpv6(
        134, code: 0, Self.body(content, port.hardwareAddress), from: source, to: destination))
    reaction.send(
      NetworkFrame.ethernet(
        to: destination.multicastMAC, from: port.hardwareAddress, 0x86dd, packet), router, .port(port.number))
  }

  /// What follows the checksum.
  static func body(_ content: RouterAdvertisement, _ hardware: MACAddress) -> [UInt8] {
    let flags: UInt8 = (content.isManaged ? 0x80 : 0) | (content.hasOtherConfig ? 0x40 : 0)
    var body: [UInt8] = [64, flags] + NetworkFrame.bytes(content.lifetimeSeconds) + [0, 0, 0, 0, 0, 0, 0, 0]
    body += [1, 1] + hardware.octets
    if let mtu = content.mtu { body += [5, 1, 0, 0] + NetworkFrame.bytes(mtu) }
    for prefix in content.prefixes.prefix(16) {
      // On-link, and autonomous where hosts make their interface identifiers of 64 bits (RFC 4862).
      let autonomous: UInt8 = prefix.bitCount == 64 ? 0x40 : 0
      body += [3, 4, UInt8(clamping: prefix.bitCount), 0x80 | autonomous]
      body += NetworkFrame.bytes(UInt32(2_592_000)) + NetworkFrame.bytes(UInt32(604_800)) + [0, 0, 0, 0]
      body += prefix.address.octets
    }
    let servers = content.dnsServers.filter(\.isIPv6).prefix(3)
    let lifetime = NetworkFrame.bytes(UInt32(content.lifetimeSeconds))
    if !servers.isEmpty {
      body += [25, UInt8(1 + 2 * servers.count), 0, 0] + lifetime
      for server in servers { body += server.octets }
    }
    var names: [UInt8] = []
    for domain in content.domains {
      let labels = domain.split(separator: ".").map { Array($0.utf8) }
      guard !labels.isEmpty, labels.allSatisfy({ $0.count <= 63 }), names.count + domain.utf8.count + 2 <= 256 else {
        continue
      }
      for label in labels { names += [UInt8(label.count)] + label }
      names.append(0)
    }
    if !names.isEmpty {
      names += [UInt8](repeating: 0, count: (8 - names.count % 8) % 8)
      body += [31, UInt8(1 + names.count / 8), 0, 0] + lifetime + names
    }
    return body
  }
}
