// The resolvers of NAT networks: questions of guests, servers outside, what is known here. See NATNetworkService.swift.

import OVSDB
import VSwitchCore

extension NATNetworkService {
  func serveQuestions() async {
    while true {
      let punts = relay.questions.next(Self.batchLimit)
      var frames: [Outgoing] = []
      if !punts.isEmpty { readHostServers() }
      for punt in punts {
        let name = punt.router.name
        guard let network = networks[name], network.config.hasDNS, punt.inPort == network.port else { continue }
        if let datagram = UDPDatagram(frame: punt.frame) {
          frames += await ask(datagram, name)
          continue
        }
        for effect in networks[name]?.streams.handle(frame: punt.frame, now: plane.flowClock, using: &random) ?? [] {
          switch effect {
          case .send(let frame): frames.append(Outgoing(router: name, port: network.port, frame: frame))
          case .query(let question): frames += await ask(question, name)
          }
        }
      }
      let now = plane.flowClock
      for name in networks.keys.sorted() {
        let effects = networks[name]?.resolver.tick(now: now, using: &random)
        frames += carryOut(effects ?? [], name)
        frames += outgoing(networks[name]?.streams.tick(now: now), name)
      }
      await send(frames)
      if punts.isEmpty { break }
    }
    arm()
  }

  /// A question of a guest, by UDP or of a connection.
  private func ask(_ question: UDPDatagram, _ name: String) async -> [Outgoing] {
    if networks[name]?.config.address(isIPv6: true) != nil { await readNeighbours(name) }
    guard let config = networks[name]?.config, let zone = zone(of: name) else { return [] }
    networks[name]?.resolver.servers = config.servers.isEmpty ? hostServers : config.servers
    let effects = networks[name]?.resolver.handle(question, zone: zone, now: plane.flowClock, using: &random)
    return carryOut(effects ?? [], name)
  }

  /// Frames of connections.
  private func outgoing(_ effects: [DNSStreams.Effect]?, _ name: String) -> [Outgoing] {
    guard let port = networks[name]?.port else { return [] }
    return (effects ?? []).compactMap { effect in
      if case .send(let frame) = effect { Outgoing(router: name, port: port, frame: frame) } else { nil }
    }
  }

  func take(_ outcome: UpstreamOutcome) async {
    let now = plane.flowClock
    let name = outcome.network
    let effects =
      if let bytes = outcome.bytes {
        networks[name]?.resolver.answered(outcome.number, bytes, now: now, using: &random)
      } else {
        networks[name]?.resolver.failed(outcome.number, now: now, using: &random)
      }
    await send(carryOut(effects ?? [], name))
    arm()
  }

  private func carryOut(_ effects: [DNSResolver.Effect], _ name: String) -> [Outgoing] {
    var frames: [Outgoing] = []
    for effect in effects {
      switch effect {
      case .reply(let message) where message.isOfStream:
        frames += outgoing(networks[name]?.streams.respond(message, now: plane.flowClock), name)
      case .refuse(let question): frames += outgoing(networks[name]?.streams.refuse(question), name)
      case .reply(let datagram):
        if let port = networks[name]?.port {
          frames.append(Outgoing(router: name, port: port, frame: datagram.frame))
        }
      case .ask(let number, let server, let bytes, let overTCP):
        upstream.ask(UpstreamServers.Key(network: name, number: number), server: server, bytes, overTCP: overTCP)
      case .close(let number): upstream.close(UpstreamServers.Key(network: name, number: number))
      }
    }
    return frames
  }

  /// What a network's resolver knows by itself, as of now.
  private func zone(of name: String) -> DNSZone? {
    guard let network = networks[name] else { return nil }
    let (leases, neighbours, config) = (network.leases, network.neighbours, network.config)
    return DNSZone(
      domain: config.domain.flatMap { DNSName($0) }, networks: config.addresses.map(\.network),
      addresses: { name in
        guard let mac = leases?.hardwareAddress(named: name) else { return nil }
        let ipv4 = leases?.address(named: name).map { IPAddress(ipv4: $0) }
        return [ipv4].compactMap(\.self) + neighbours.filter { $0.value == mac }.map(\.key).sorted()
      },
      name: { address in
        if !address.isIPv6 { return leases?.name(of: address.ipv4) }
        return neighbours[address].flatMap { leases?.name(of: $0) }
      })
  }

  /// Reads which IPv6 addresses are in use, once a second at most.
  private func readNeighbours(_ name: String) async {
    let now = plane.flowClock
    guard let network = networks[name], network.neighboursRead == 0 || now > network.neighboursRead + 1_000_000_000
    else { return }
    networks[name]?.neighboursRead = now
    var known: [IPAddress: MACAddress] = [:]
    for neighbour in await neighbours(name) where neighbour.port == network.config.innerPortName {
      if neighbour.address.isIPv6, !neighbour.address.isLinkLocal, let mac = neighbour.hardware {
        known[neighbour.address] = mac
      }
    }
    networks[name]?.neighbours = known
  }

  /// Reads the host's name servers anew, every five seconds at most.
  private func readHostServers() {
    let now = plane.flowClock
    if let read = hostServersRead, now < read + 5_000_000_000 { return }
    hostServersRead = now
    guard let text = SmallFile.text(places.resolverConfiguration) else { return }
    hostServers = ResolverConfiguration(text).servers
  }
}
