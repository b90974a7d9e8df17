// Serves NAT networks: DHCP for both IP versions and the resolver of each. An actor that gives packets to state machines of
// VSwitchCore/Network and does what they say; the datapath and the kernel are called on threads of their own.
//
// Two queues, so that names are resolved while the database writes leases. Invariants: a client is told of its lease after the
// database has it, or has refused it (then it is written later, and the client is served all the same); a network that is not
// configured is served nothing.

import Datapath
import Logging
import OVSDB
import ServiceLifecycle
import VSwitchCore

/// The datapath as services of NAT networks use it.
protocol ServicePlane: Sendable {
  func sendPacket(bridge: String, inPort: PortNumber, actions: [Action], data: [UInt8]) throws(FlowChangeError)
  /// The ports of a bridge where stations were last seen; nil: nowhere.
  func ports(bridge: String, vlan: UInt16, of stations: [MACAddress]) -> [UInt16?]
  /// Nanoseconds.
  var flowClock: UInt64 { get }
}

extension Datapath: ServicePlane {}

/// Who serves NAT networks.
protocol NATNetworkFollower: Sendable {
  /// Serves these networks from now on, and no others.
  /// - Parameters:
  ///   - routers: what the networks were compiled to, with the numbers of their ports.
  ///   - database: has the leases of networks that are new.
  /// - Returns: what does not work, by name.
  func follow(
    _ networks: [NATNetworkConfig], _ routers: [RouterConfig], _ database: DatabaseSnapshot
  ) async -> [String: ConfigError]
}

actor NATNetworkService: Service, NATNetworkFollower {
  static let batchLimit = 64
  private static let unwrittenRetry: UInt64 = 1_000_000_000

  struct Network {
    var config: NATNetworkConfig
    var router: RouterConfig
    /// Of the router's port inside.
    var port: PortNumber
    var leases: DHCPServer?
    var dhcpv6: DHCPv6Settings?
    var resolver: DNSResolver
    /// Connections of guests to the resolver.
    var streams = DNSStreams()
    /// Asks for the outer address.
    var uplink: DHCPUplink?
    /// IPv6 addresses that stations use, as the router has seen them.
    var neighbours: [IPAddress: MACAddress] = [:]
    var neighboursRead: UInt64 = 0
  }

  let relay: ServiceRelay
  let plane: any ServicePlane
  let store: any ConfigurationStore
  let logger: Logger
  let places: HostPlaces
  private let wallSeconds: @Sendable () -> Int64
  let neighbours: @Sendable (String) async -> [NeighbourDescription]
  private let blocking = BlockingCalls()
  let upstream: UpstreamServers
  private let outcomes: AsyncStream<UpstreamOutcome>
  var random = SystemRandomNumberGenerator()
  var networks: [String: Network] = [:]
  private var stored = LeaseStore()
  private var writeIsDue: UInt64?
  /// What the database is still to be told of outer addresses, by network; nil: there is none.
  var unwrittenUplinks: [String: UplinkLease?] = [:]
  var hostServers: [IPAddress] = []
  var hostServersRead: UInt64?
  private var timer: (task: Task<Void, Never>, deadline: UInt64)?

  /// Where the host says what matters here.
  struct HostPlaces: Sendable {
    var resolverConfiguration = "/etc/resolv.conf"
    var configureDevice: @Sendable (String, [InterfaceAddress]) throws(ConfigError) -> Void = HostDevices.configure
  }

  /// - Parameters:
  ///   - relay: where packets come from.
  ///   - wallSeconds: since 1970.
  ///   - neighbours: those of a router.
  init(
    plane: any ServicePlane, store: any ConfigurationStore, logger: Logger, places: HostPlaces = HostPlaces(),
    relay: ServiceRelay, wallSeconds: @escaping @Sendable () -> Int64,
    neighbours: @escaping @Sendable (String) async -> [NeighbourDescription]
  ) {
    self.plane = plane
    self.store = store
    self.logger = logger
    self.places = places
    self.wallSeconds = wallSeconds
    self.neighbours = neighbours
    self.relay = relay
    let (outcomes, continuation) = AsyncStream<UpstreamOutcome>.makeStream(bufferingPolicy: .bufferingOldest(4096))
    self.outcomes = outcomes
    upstream = UpstreamServers { continuation.yield($0) }
  }

  var time: DHCPServer.Time { DHCPServer.Time(now: plane.flowClock, wallSeconds: wallSeconds()) }

  // MARK: configuration

  func follow(
    _ configs: [NATNetworkConfig], _ routers: [RouterConfig], _ database: DatabaseSnapshot
  ) async -> [String: ConfigError] {
    var operations: [JSONValue] = []
    let names = Set(configs.map(\.name))
    let orphans = Set(database.rows("DHCP_Lease").map { $0[OpenVSwitch.DHCPLease.network] }).subtracting(names)
    for name in orphans.union(networks.keys.filter { !names.contains($0) }).sorted() {
      networks[name] = nil
      operations.append(stored.forget(name))
    }
    for config in configs {
      guard let router = routers.first(where: { $0.name == config.name }),
        let inside = router.port(config.innerPortName)
      else {
        networks[config.name] = nil
        continue
      }
      var network =
        networks[config.name]
        ?? Network(config: config, router: router, port: inside.number, resolver: DNSResolver(servers: []))
      network.config = config
      network.router = router
      network.port = inside.number
      network.dhcpv6 = config.dhcpv6Settings
      network.resolver.largestAnswer = max(512, config.mtu - 48)
      network.streams.mtu = config.mtu
      network.streams.networks = config.addresses.map(\.network)
      if let settings = config.dhcpSettings {
        if var server = network.leases {
          network.leases = nil
          note(server.configure(settings), config.name)
          network.leases = server
        } else {
          let server = DHCPServer(settings, leases: stored.read(config.name, database))
          network.leases = server
        }
      } else {
        network.leases = nil
      }
      if !config.hasOuterDHCP {
        network.uplink = nil
      } else if network.uplink == nil {
        let row = database.named(config.name, in: "NAT_Network")
        network.uplink = DHCPUplink(
          hardwareAddress: config.outerHardwareAddress, known: row.flatMap(UplinkLeaseColumns.lease))
      }
      networks[config.name] = network
    }
    if !operations.isEmpty { _ = await store.transact(operations) }
    await endDeleted()
    await write()
    arm()
    if networks.values.contains(where: { $0.uplink != nil }) { relay.leases.wakeUp() }
    return await configureDevices(configs)
  }

  /// Ends the leases whose rows somebody has deleted.
  private func endDeleted() async {
    // What was written before the rows are read is among them, if nobody has deleted it.
    let written = networks.mapValues { stored.written($0.config.name) }
    guard written.contains(where: { !$0.value.isEmpty }) else { return }
    let rows = await store.snapshot().rows("DHCP_Lease")
    for (name, addresses) in written {
      let present = rows.filter { $0[OpenVSwitch.DHCPLease.network] == name }
        .compactMap { IPAddress($0[OpenVSwitch.DHCPLease.address])?.ipv4 }
      for address in addresses.intersection(stored.written(name)).subtracting(present) {
        networks[name]?.leases?.end(address)
        stored.lost(LeaseStore.Key(network: name, address: address))
      }
    }
  }

  private func configureDevices(_ configs: [NATNetworkConfig]) async -> [String: ConfigError] {
    var failures: [String: ConfigError] = [:]
    for config in configs {
      guard let device = config.hostDevice else { continue }
      let addresses = config.kind == .nat ? config.hostLink.map(\.host) : config.hostAddresses
      let error = await blocking { [places] () -> ConfigError? in
        do throws(ConfigError) {
          try places.configureDevice(device, addresses)
          return nil
        } catch {
          return error
        }
      }
      if let error { failures[config.name] = error }
    }
    return failures
  }

  // MARK: work

  func run() async {
    let (leases, questions) = (relay.leases, relay.questions)
    await cancelWhenGracefulShutdown {
      await withTaskGroup(of: Void.self) { group in
        group.addTask { for await _ in leases.wakeUps { await self.serveLeases() } }
        group.addTask { for await _ in questions.wakeUps { await self.serveQuestions() } }
        group.addTask { for await outcome in self.outcomes { await self.take(outcome) } }
      }
    }
    timer?.task.cancel()
    upstream.closeAll()
  }

  /// Frames to one network, from its router's port inside.
  struct Outgoing: Sendable {
    var router: String
    var port: PortNumber
    var frame: [UInt8]
  }

  func send(_ frames: [Outgoing]) async {
    guard !frames.isEmpty else { return }
    let refused = await blocking { [plane] () -> String? in
      var refused: String?
      for frame in frames {
        do throws(FlowChangeError) {
          try plane.sendPacket(
            bridge: frame.router, inPort: .controller, actions: [.output(frame.port, maximumByteCount: 0)],
            data: frame.frame)
        } catch { refused = "\(frame.router): \(error)" }
      }
      return refused
    }
    if let refused { logger.warning("an answer was not sent", metadata: ["reason": "\(refused)"]) }
  }

  // MARK: leases

  private func serveLeases() async {
    while true {
      let punts = relay.leases.next(Self.batchLimit)
      var frames: [Outgoing] = []
      let ports = await self.ports(of: punts)
      for (index, punt) in punts.enumerated() { frames += handle(punt, port: ports[index]) }
      frames += tickLeases()
      frames += tickUplinks()
      await write()
      await writeUplinks()
      await send(frames)
      if punts.isEmpty { break }
    }
    arm()
  }

  /// The ports of bridges where those are who ask.
  private func ports(of punts: [Punt]) async -> [UInt32?] {
    var ports = [UInt32?](repeating: nil, count: punts.count)
    for (name, network) in networks {
      let indexes = punts.indices.filter { punts[$0].router.name == name && punts[$0].reason == .dhcpv4 }
      let stations = indexes.map { MACAddress(octetsOf: punts[$0].frame, at: 6) }
      guard !indexes.isEmpty else { continue }
      let found = await blocking { [plane] in
        plane.ports(bridge: network.config.bridge, vlan: network.config.tag ?? 0, of: stations)
      }
      for (index, port) in zip(indexes, found) { ports[index] = port.map(UInt32.init) }
    }
    return ports
  }

  private func handle(_ punt: Punt, port: UInt32?) -> [Outgoing] {
    if punt.reason == .dhcpv4Client { return handleUplink(punt) }
    guard let network = networks[punt.router.name], punt.inPort == network.port else { return [] }
    let name = punt.router.name
    switch punt.reason {
    case .dhcpv4:
      guard let datagram = UDPDatagram(frame: punt.frame) else { return [] }
      return change(name) { server, time in server.handle(datagram, port: port, time) }
    case .dhcpv6:
      guard let datagram = UDPDatagram(frame: punt.frame), let settings = network.dhcpv6,
        let source = network.router.port(network.port)?.linkLocal,
        let answer = DHCPv6Server.answer(datagram, settings, source: source)
      else { return [] }
      return [Outgoing(router: name, port: network.port, frame: answer.frame)]
    case .arp:
      // Sender's addresses (RFC 826).
      let frame = punt.frame
      guard frame.count >= 42, frame[12] == 0x08, frame[13] == 0x06 else { return [] }
      let mac = MACAddress(octetsOf: frame, at: 22)
      let address = frame[28..<32].reduce(0) { $0 << 8 | UInt32($1) }
      return change(name) { server, time in server.seen(address, mac, time) }
    default: return []
    }
  }

  private func tickLeases() -> [Outgoing] {
    var frames: [Outgoing] = []
    for name in networks.keys.sorted() { frames += change(name) { server, time in server.tick(time) } }
    return frames
  }

  /// Lets a network's server do something, and notes what is to be written.
  /// - Returns: what is to be sent when that is done.
  private func change(
    _ name: String, _ body: (inout DHCPServer, DHCPServer.Time) -> [DHCPServer.Effect]
  ) -> [Outgoing] {
    guard let network = networks[name], networks[name]?.leases != nil else { return [] }
    let time = time
    let effects = networks[name]?.leases.map { server in
      var server = server
      networks[name]?.leases = nil
      defer { networks[name]?.leases = server }
      return body(&server, time)
    }
    return note(effects ?? [], name).map { Outgoing(router: name, port: network.port, frame: $0) }
  }

  /// Notes what is to be written.
  /// - Returns: frames to be sent.
  @discardableResult
  private func note(_ effects: [DHCPServer.Effect], _ name: String) -> [[UInt8]] {
    var frames: [[UInt8]] = []
    for effect in effects {
      switch effect {
      case .store(let lease): stored.note(lease, LeaseStore.Key(network: name, address: lease.address))
      case .forget(let address): stored.note(nil, LeaseStore.Key(network: name, address: address))
      case .send(let datagram): frames.append(datagram.frame)
      case .probe(let address):
        guard let config = networks[name]?.config, let own = config.address(isIPv6: false) else { continue }
        frames.append(
          NetworkFrame.arp(
            1, sender: (config.hardwareAddress, own.address), target: IPAddress(ipv4: address), to: .broadcast))
      }
    }
    return frames
  }

  /// Brings the rows to the leases.
  private func write() async {
    guard stored.hasUnwritten else { return }
    if let writeIsDue, writeIsDue > plane.flowClock { return }
    let (changes, operations) = stored.take()
    let reply = await store.transact(operations)
    // A row that is not there any more to be changed.
    let isMissing = zip(operations, reply.results).contains { operation, result in
      operation["op"]?.string == "update" && result["count"]?.integer == 0
    }
    let isWritten = reply.error == nil && !isMissing
    stored.finish(changes, isWritten: isWritten)
    writeIsDue = isWritten ? nil : plane.flowClock + Self.unwrittenRetry
    if let error = reply.error {
      logger.error("leases could not be stored, and will be tried again", metadata: ["reason": "\(error)"])
    }
  }

  // MARK: time

  /// Has a timer go off when something is due.
  func arm() {
    let now = plane.flowClock
    var deadline: UInt64?
    for network in networks.values {
      let names = [network.resolver.nextDeadline, network.streams.nextDeadline]
      for due in names + [network.leases?.nextDeadline, network.uplink?.nextDeadline] {
        if let due { deadline = min(deadline ?? .max, due) }
      }
    }
    if let writeIsDue { deadline = min(deadline ?? .max, writeIsDue) }
    guard let deadline else { return }
    if let timer, timer.deadline <= deadline, timer.deadline > now { return }
    timer?.task.cancel()
    let pause = Duration.nanoseconds(Int64(clamping: deadline > now ? deadline - now : 0) + 1_000_000)
    let (leases, questions) = (relay.leases, relay.questions)
    let task = Task {
      guard (try? await Task.sleep(for: pause)) != nil else { return }
      leases.wakeUp()
      questions.wakeUp()
    }
    timer = (task, deadline)
  }
}

extension MACAddress {
  /// Six bytes of a frame; 0 if it is too short.
  fileprivate init(octetsOf frame: [UInt8], at offset: Int) {
    guard frame.count >= offset + 6 else {
      self.init(bits: 0)
      return
    }
    self.init(bits: frame[offset..<(offset + 6)].reduce(0) { $0 << 8 | UInt64($1) })
  }
}
