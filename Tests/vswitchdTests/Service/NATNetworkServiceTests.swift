// The service of NAT networks with a datapath made of memory: leases are stored before they are told, names are asked for
// where the host says.

import Logging
import NIOCore
import NIOPosix
import OVSDB
import Synchronization
import TestSupport
import Testing

@testable import Datapath
@testable import VSwitchCore
@testable import vswitchd

/// A datapath that keeps what is sent, with the rows that the database had at that moment.
private final class FakeServicePlane: ServicePlane {
  struct Sent: Sendable {
    var bridge: String
    var frame: [UInt8]
  }
  let sent = Mutex<[Sent]>([])
  let clock = Mutex<UInt64>(1)

  func sendPacket(bridge: String, inPort: PortNumber, actions: [Action], data: [UInt8]) {
    sent.withLock { $0.append(Sent(bridge: bridge, frame: data)) }
  }
  func ports(bridge: String, vlan: UInt16, of stations: [MACAddress]) -> [UInt16?] { stations.map { _ in 7 } }
  /// Goes on by itself, so that probes end.
  var flowClock: UInt64 {
    clock.withLock { now in
      now += 50_000_000
      return now
    }
  }

  /// The datagrams that were sent since this was asked last.
  func datagrams() -> [UDPDatagram] {
    sent.withLock { sent in
      defer { sent = [] }
      return sent.compactMap { UDPDatagram(frame: $0.frame) }
    }
  }
}

@Suite struct NATNetworkServiceTests {
  private static let mac = MACAddress(bits: 0x5254_0000_0001)

  private static func config() -> NATNetworkConfig {
    var config = NATNetworkConfig(
      name: "lab", kind: .nat, bridge: "br0", addresses: ["192.168.77.1/24"].compactMap { InterfaceAddress($0) },
      hardwareAddress: MACAddress(bits: 0x0200_0000_0001), outerHardwareAddress: MACAddress(bits: 0x0600_0000_0001),
      zone: 65535)
    config.pool = 0xc0a8_4d02...0xc0a8_4d10
    config.domain = "lab"
    return config
  }

  private static func router() -> RouterConfig {
    var router = config().router { _ in [] }
    for index in router.ports.indices { router.ports[index].number = PortNumber(UInt32(index + 1)) }
    return router
  }

  private static func message(
    _ type: DHCPMessageType, _ options: [UInt8: [UInt8]] = [:]
  ) -> [UInt8] {
    var message = DHCPMessage(isReply: false, transactionID: 9, hardwareAddress: mac)
    message.options = options
    message.options[DHCPOption.messageType] = [type.rawValue]
    return message.encoded()
  }

  private static func punt(_ reason: PuntReason, _ payload: [UInt8], port: UInt16, from source: UInt32 = 0) -> Punt {
    let datagram = UDPDatagram(
      sourceMAC: mac, destinationMAC: .broadcast, source: IPAddress(ipv4: source),
      destination: IPAddress(ipv4: reason == .dns ? 0xc0a8_4d01 : .max), sourcePort: reason == .dns ? 4000 : 68,
      destinationPort: port, payload: payload)
    return Punt(router: router(), reason: reason, inPort: PortNumber(1), frame: datagram.frame)
  }

  private struct Bench {
    let plane: FakeServicePlane
    let store: DatabaseServer
    var relay: ServiceRelay
    let service: NATNetworkService

    /// Waits until datagrams have been sent.
    func datagrams() async throws -> [UDPDatagram] {
      for _ in 0..<500 {
        let datagrams = plane.datagrams()
        if !datagrams.isEmpty { return datagrams }
        try await Task.sleep(for: .milliseconds(10))
      }
      return []
    }

    func leases() async -> [Row] { await store.snapshot().rows("DHCP_Lease") }
  }

  /// Runs the service over a database.
  private func withService(
    resolverConfiguration: String = "/nonexistent", _ body: (inout Bench) async throws -> Void
  ) async throws {
    let store = try await DatabaseServer(store: MemoryStore(), logger: Logger(label: "test"))
    let plane = FakeServicePlane()
    let relay = ServiceRelay()
    var places = NATNetworkService.HostPlaces()
    places.resolverConfiguration = resolverConfiguration
    places.configureDevice = { _, _ in }
    let service = NATNetworkService(
      plane: plane, store: store, logger: Logger(label: "test"), places: places,
      relay: relay, wallSeconds: { 1_000_000 }, neighbours: { _ in [] })
    let failures = await service.follow([Self.config()], [Self.router()], await store.snapshot())
    #expect(failures.isEmpty)
    let task = Task { await service.run() }
    defer { task.cancel() }
    var bench = Bench(plane: plane, store: store, relay: relay, service: service)
    try await body(&bench)
  }

  private func lease(_ bench: inout Bench) async throws -> UInt32 {
    _ = bench.relay.handle(Self.punt(.dhcpv4, Self.message(.discover), port: 67), now: 0)
    let offered = try #require(try await bench.datagrams().first)
    let offer = try #require(DHCPMessage(offered.payload))
    let request = Self.message(
      .request,
      [
        DHCPOption.requestedAddress: IPAddress(ipv4: offer.yourAddress).octets,
        DHCPOption.serverIdentifier: [192, 168, 77, 1], DHCPOption.hostName: Array("web".utf8),
      ])
    _ = bench.relay.handle(Self.punt(.dhcpv4, request, port: 67), now: 0)
    let answered = try #require(try await bench.datagrams().first)
    let acknowledgement = try #require(DHCPMessage(answered.payload))
    #expect(acknowledgement.type == .ack && acknowledgement.yourAddress == offer.yourAddress)
    return offer.yourAddress
  }

  @Test func aLeaseIsARowWhenTheClientIsTold() async throws {
    try await withService { bench in
      let address = try await lease(&bench)
      let row = try #require(await bench.leases().first)
      #expect(row["address"].string == IPAddress(ipv4: address).description)
      #expect(row["network"].string == "lab" && row["name"].string == "web" && row["expires"].integer == 1_003_600)
      // Another service on the same database knows it.
      let next = NATNetworkService(
        plane: bench.plane, store: bench.store, logger: Logger(label: "test"),
        relay: ServiceRelay(), wallSeconds: { 1_000_100 }, neighbours: { _ in [] })
      _ = await next.follow([Self.config()], [Self.router()], await bench.store.snapshot())
      #expect(await next.networks["lab"]?.leases?.leases.all.map(\.address) == [address])
      // Given back, the row goes; with the network all of them.
      var release = DHCPMessage(isReply: false, transactionID: 10, hardwareAddress: Self.mac)
      release.clientAddress = address
      release.options = [DHCPOption.messageType: [DHCPMessageType.release.rawValue]]
      _ = bench.relay.handle(Self.punt(.dhcpv4, release.encoded(), port: 67, from: address), now: 0)
      for _ in 0..<500 where await !bench.leases().isEmpty { try await Task.sleep(for: .milliseconds(10)) }
      #expect(await bench.leases().isEmpty)
      _ = try await lease(&bench)
      #expect(await bench.leases().count == 1)
      _ = await bench.service.follow([], [], await bench.store.snapshot())
      #expect(await bench.leases().isEmpty)
    }
  }

  @Test func aNameOfALeaseIsAnsweredByTheSwitchItself() async throws {
    let directory = try TemporaryDirectory()
    let file = directory.path + "/resolv.conf"
    try "nameserver 127.0.0.1\n".write(toFile: file, atomically: true, encoding: .utf8)
    try await withService(resolverConfiguration: file) { bench in
      let address = try await lease(&bench)
      let name = try #require(DNSName("web.lab"))
      let query = DNSQuery(id: 5, flags: DNSFlags(0x0100), question: DNSQuestion(name: name, type: DNSType.a))
      _ = bench.relay.handle(
        Self.punt(.dns, query.encoded(id: 5, bufferSize: 0), port: 53, from: address), now: 0)
      let answer = try #require(try await bench.datagrams().first)
      #expect(Array(answer.payload.suffix(4)) == IPAddress(ipv4: address).octets && answer.sourcePort == 53)
    }
  }

  @Test func serversAreAskedByDatagramAndByStream() async throws {
    // A server that answers each message with itself.
    let group = MultiThreadedEventLoopGroup.singleton
    let datagrams = try await DatagramBootstrap(group: group)
      .channelInitializer { $0.pipeline.addHandler(DatagramEcho()) }.bind(host: "127.0.0.1", port: 0).get()
    let streams = try await ServerBootstrap(group: group)
      .childChannelInitializer { $0.pipeline.addHandler(StreamEcho()) }.bind(host: "127.0.0.1", port: 0).get()
    defer {
      datagrams.close(promise: nil)
      streams.close(promise: nil)
    }
    let (outcomes, continuation) = AsyncStream<UpstreamOutcome>.makeStream()
    let servers = UpstreamServers { continuation.yield($0) }
    var iterator = outcomes.makeAsyncIterator()
    let local = IPAddress(ipv4: 0x7f00_0001)
    let message: [UInt8] = [1, 2, 3, 4]
    for (number, channel) in [(UInt64(1), datagrams), (2, streams)] {
      let key = UpstreamServers.Key(network: "lab", number: number)
      let port = try #require(channel.localAddress?.port)
      servers.ask(key, server: local, port: port, message, overTCP: number == 2)
      let outcome = try #require(await iterator.next())
      #expect(outcome.number == number && outcome.bytes == message)
      servers.close(key)
    }
    // Nobody listens there any more.
    try await streams.close()
    servers.ask(
      UpstreamServers.Key(network: "lab", number: 3), server: local, port: 1, message, overTCP: true)
    #expect(try #require(await iterator.next()).bytes == nil)
    servers.closeAll()
  }
}

private final class DatagramEcho: ChannelInboundHandler, Sendable {
  typealias InboundIn = AddressedEnvelope<ByteBuffer>
  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    context.writeAndFlush(data, promise: nil)
  }
}

private final class StreamEcho: ChannelInboundHandler, Sendable {
  typealias InboundIn = ByteBuffer
  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    context.writeAndFlush(data, promise: nil)
  }
}
