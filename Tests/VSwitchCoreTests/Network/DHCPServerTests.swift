// The DHCP server in each state of its clients (RFC 2131 §4.3, figure 5), and under floods.

import TestSupport
import Testing

@testable import VSwitchCore

/// A server for 10.9.0.0/24 and clients that speak to it.
final class DHCPLab {
  var server: DHCPServer
  var time = DHCPServer.Time(now: 0, wallSeconds: 1_000_000)
  var transactionID: UInt32 = 0

  static let address: UInt32 = 0x0a09_0001

  static func settings(pool: ClosedRange<UInt32> = 0x0a09_0064...0x0a09_00c8) -> DHCPSettings {
    var settings = DHCPSettings(
      serverAddress: address, serverMAC: MACAddress(bits: 0x0200_0000_0001), prefixLength: 24, pool: pool)
    settings.gateway = address
    settings.dnsServers = [address]
    settings.domain = "lab"
    settings.search = ["lab"]
    settings.mtu = 1400
    return settings
  }

  init(_ settings: DHCPSettings = DHCPLab.settings(), leases: [DHCPLease] = []) {
    server = DHCPServer(settings, leases: leases)
  }

  static func mac(_ number: UInt64) -> MACAddress { MACAddress(bits: 0x5254_0000_0000 | number) }

  func pass(milliseconds: UInt64) -> [DHCPServer.Effect] {
    time.now += milliseconds * 1_000_000
    time.wallSeconds += Int64(milliseconds / 1000)
    return server.tick(time)
  }

  /// Sends a message as a client without an address does.
  func send(
    _ type: DHCPMessageType, _ mac: MACAddress, port: UInt32? = nil, from source: UInt32 = 0,
    _ change: (inout DHCPMessage) -> Void = { _ in }
  ) -> [DHCPServer.Effect] {
    transactionID += 1
    var message = DHCPMessage(isReply: false, transactionID: transactionID, hardwareAddress: mac)
    message.options[DHCPOption.messageType] = [type.rawValue]
    message.clientAddress = source
    change(&message)
    let datagram = UDPDatagram(
      sourceMAC: mac, destinationMAC: .broadcast, source: IPAddress(ipv4: source), destination: IPAddress(ipv4: .max),
      sourcePort: 68, destinationPort: 67, payload: message.encoded(limit: 1400))
    return server.handle(datagram, port: port, time)
  }

  static func replies(_ effects: [DHCPServer.Effect]) -> [(UDPDatagram, DHCPMessage)] {
    effects.compactMap { effect in
      guard case .send(let datagram) = effect, let message = DHCPMessage(datagram.payload) else { return nil }
      return (datagram, message)
    }
  }

  /// Asks for an offer and waits for it.
  func discover(_ mac: MACAddress, port: UInt32? = nil, requested: UInt32? = nil) -> DHCPMessage? {
    var effects = send(.discover, mac, port: port) { $0.options[DHCPOption.requestedAddress] = requested?.octets }
    effects += pass(milliseconds: 200)
    return Self.replies(effects).first?.1
  }

  /// Takes an offer.
  func select(
    _ mac: MACAddress, _ address: UInt32, port: UInt32? = nil, name: String? = nil
  ) -> DHCPMessage? {
    let effects = send(.request, mac, port: port) {
      $0.options[DHCPOption.requestedAddress] = address.octets
      $0.options[DHCPOption.serverIdentifier] = DHCPLab.address.octets
      $0.options[DHCPOption.hostName] = name.map { Array($0.utf8) }
    }
    return Self.replies(effects).first?.1
  }

  /// Both.
  func lease(_ number: UInt64, port: UInt32? = nil, name: String? = nil) -> UInt32? {
    let mac = Self.mac(number)
    guard let offer = discover(mac, port: port), let reply = select(mac, offer.yourAddress, port: port, name: name),
      reply.type == .ack
    else { return nil }
    return reply.yourAddress
  }
}

@Suite struct DHCPServerTests {
  @Test func clientGetsAnAddressThatNobodyAnswersForAndAllSettings() throws {
    let lab = DHCPLab()
    let mac = DHCPLab.mac(1)
    let first = lab.send(.discover, mac)
    guard case .probe(let address) = try #require(first.first), first.count == 1 else {
      Issue.record("no probe: \(first)")
      return
    }
    #expect(lab.pass(milliseconds: 100).isEmpty)
    let (datagram, offer) = try #require(DHCPLab.replies(lab.pass(milliseconds: 100)).first)
    #expect(offer.type == .offer && offer.yourAddress == address && lab.server.settings.pool.contains(address))
    #expect(datagram.destination.ipv4 == address && datagram.destinationMAC == mac && datagram.destinationPort == 68)
    let effects = lab.send(.request, mac) {
      $0.options[DHCPOption.requestedAddress] = address.octets
      $0.options[DHCPOption.serverIdentifier] = DHCPLab.address.octets
      $0.options[DHCPOption.hostName] = Array("Web".utf8)
    }
    // What is answered has been stored before.
    let lease = DHCPLease(address: address, hardwareAddress: mac, name: "web", expires: lab.time.wallSeconds + 3600)
    #expect(effects.first == .store(lease))
    let ack = try #require(DHCPLab.replies(effects).first).1
    #expect(ack.type == .ack && ack.yourAddress == address)
    #expect(ack.uint32(DHCPOption.leaseTime) == 3600)
    #expect(ack.uint32(DHCPOption.renewalTime) == 1800)
    #expect(ack.uint32(DHCPOption.rebindingTime) == 3150)
    #expect(ack.uint32(DHCPOption.subnetMask) == 0xffff_ff00)
    #expect(ack.uint32(DHCPOption.broadcastAddress) == 0x0a09_00ff)
    #expect(ack.uint32(DHCPOption.router) == DHCPLab.address)
    #expect(ack.uint32(DHCPOption.domainNameServer) == DHCPLab.address)
    #expect(ack.uint16(DHCPOption.interfaceMTU) == 1400)
    #expect(ack.options[DHCPOption.domainName] == Array("lab".utf8))
    #expect(ack.options[DHCPOption.domainSearch] == [3] + Array("lab".utf8) + [0])
    #expect(lab.server.address(named: "web") == address)
    #expect(lab.server.name(of: address) == "web")
  }

  @Test func framesOfRealClientsAreAnswered() throws {
    let lab = DHCPLab()
    for (discover, request) in [
      (RecordedFrames.udhcpcDiscover, RecordedFrames.udhcpcRequest),
      (RecordedFrames.dhclientDiscover, RecordedFrames.dhclientRequest),
    ] {
      let discovering = try #require(UDPDatagram(frame: discover))
      let requesting = try #require(UDPDatagram(frame: request))
      var effects = lab.server.handle(discovering, port: nil, lab.time)
      effects += lab.pass(milliseconds: 200)
      let offer = try #require(DHCPLab.replies(effects).first).1
      #expect(offer.type == .offer && lab.server.settings.pool.contains(offer.yourAddress))
      // The recorded request is for 10.9.0.157 of 10.9.0.1, which is free here, too.
      effects = lab.server.handle(requesting, port: nil, lab.time)
      #expect(try #require(DHCPLab.replies(effects).first).1.yourAddress == 0x0a09_009d)
    }
    #expect(lab.server.leases.count == 1, "the same station")
    let release = UDPDatagram(
      sourceMAC: DHCPLab.mac(1), destinationMAC: MACAddress(bits: 0x0200_0000_0001),
      source: IPAddress(ipv4: 0x0a09_009d), destination: IPAddress(ipv4: DHCPLab.address), sourcePort: 68,
      destinationPort: 67, payload: RecordedFrames.dhclientRelease)
    #expect(lab.server.handle(release, port: nil, lab.time) == [.forget(0x0a09_009d)])
  }

  @Test func anAddressThatSomebodyUsesIsNotOffered() throws {
    let lab = DHCPLab()
    guard case .probe(let address) = try #require(lab.send(.discover, DHCPLab.mac(1)).first) else {
      Issue.record("no probe")
      return
    }
    // The client itself may answer: it is no conflict.
    #expect(lab.server.seen(address, DHCPLab.mac(1), lab.time).isEmpty)
    guard case .probe(let second) = try #require(lab.server.seen(address, DHCPLab.mac(9), lab.time).first) else {
      Issue.record("no second probe")
      return
    }
    #expect(second != address)
    #expect(try #require(DHCPLab.replies(lab.pass(milliseconds: 200)).first).1.yourAddress == second)
    #expect(lab.server.counters.conflicts == 1)
    // Nobody gets it for ten minutes.
    #expect(lab.discover(DHCPLab.mac(2), requested: address)?.yourAddress != address)
    _ = lab.pass(milliseconds: 601_000)
    #expect(lab.discover(DHCPLab.mac(3), requested: address)?.yourAddress == address)
  }

  @Test func aRepeatedDiscoverIsAnsweredOnce() {
    let lab = DHCPLab()
    #expect(lab.send(.discover, DHCPLab.mac(1)).count == 1)
    #expect(lab.send(.discover, DHCPLab.mac(1)).isEmpty)
    #expect(DHCPLab.replies(lab.pass(milliseconds: 200)).count == 1)
  }

  @Test func requestsInEveryStateAreAnswered() throws {
    let lab = DHCPLab()
    let mac = DHCPLab.mac(1)
    let address = try #require(lab.lease(1))
    // INIT-REBOOT
    func reboot(_ mac: MACAddress, _ address: UInt32) -> DHCPMessage? {
      DHCPLab.replies(lab.send(.request, mac) { $0.options[DHCPOption.requestedAddress] = address.octets }).first?.1
    }
    #expect(reboot(mac, address)?.type == .ack)
    #expect(reboot(mac, address + 1)?.type == .nak)
    #expect(reboot(mac, 0xc0a8_0001)?.type == .nak)
    #expect(reboot(DHCPLab.mac(2), address)?.type == .nak, "it is another station's")
    #expect(reboot(DHCPLab.mac(3), 0x0a09_0070)?.type == .nak, "who is unknown starts anew")
    // RENEWING, REBINDING
    _ = lab.pass(milliseconds: 1_800_000)
    let (datagram, renewed) = try #require(DHCPLab.replies(lab.send(.request, mac, from: address)).first)
    #expect(renewed.type == .ack && renewed.clientAddress == address)
    #expect(datagram.destination.ipv4 == address)
    #expect(lab.server.leases[address]?.expires == lab.time.wallSeconds + 3600)
    #expect(DHCPLab.replies(lab.send(.request, DHCPLab.mac(2), from: address)).first?.1.type == .nak)
    // A lease that was lost and that nobody else has goes on.
    #expect(DHCPLab.replies(lab.send(.request, DHCPLab.mac(4), from: 0x0a09_0077)).first?.1.type == .ack)
    // SELECTING another server
    let other = lab.discover(DHCPLab.mac(5))
    #expect(other != nil)
    let effects = lab.send(.request, DHCPLab.mac(5)) {
      $0.options[DHCPOption.requestedAddress] = [10, 9, 0, 50]
      $0.options[DHCPOption.serverIdentifier] = [10, 9, 0, 2]
    }
    #expect(effects.isEmpty)
    #expect(lab.server.offers.isEmpty)
  }

  @Test func refusalsGoToAll() throws {
    let lab = DHCPLab()
    let (datagram, nak) = try #require(DHCPLab.replies(lab.send(.request, DHCPLab.mac(1), from: 0xc0a8_0102)).first)
    #expect(nak.type == .nak && nak.yourAddress == 0 && nak.options[DHCPOption.leaseTime] == nil)
    #expect(datagram.destination.ipv4 == .max && datagram.destinationMAC == .broadcast)
  }

  @Test func theBroadcastFlagAndRelaysSayWhereRepliesGo() throws {
    let lab = DHCPLab()
    var effects = lab.send(.discover, DHCPLab.mac(1)) { $0.wantsBroadcast = true } + lab.pass(milliseconds: 200)
    var reply = try #require(DHCPLab.replies(effects).first)
    #expect(reply.0.destination.ipv4 == .max && reply.0.destinationMAC == .broadcast && reply.1.wantsBroadcast)
    effects = lab.send(.discover, DHCPLab.mac(2)) {
      $0.relay = 0x0a09_0009
      $0.options[DHCPOption.relayAgentInformation] = [1, 2, 3, 4]
    }
    effects += lab.pass(milliseconds: 200)
    reply = try #require(DHCPLab.replies(effects).first)
    #expect(reply.0.destination.ipv4 == 0x0a09_0009 && reply.0.destinationPort == 67)
    #expect(reply.1.relay == 0x0a09_0009 && reply.1.options[DHCPOption.relayAgentInformation] == [1, 2, 3, 4])
    #expect(lab.send(.discover, DHCPLab.mac(3)) { $0.relay = 0xc0a8_0001 }.isEmpty, "a relay of another network")
  }

  @Test func declinedAddressesAreLeftAlone() throws {
    let lab = DHCPLab()
    let address = try #require(lab.lease(1))
    func decline(_ mac: MACAddress) -> [DHCPServer.Effect] {
      lab.send(.decline, mac) {
        $0.options[DHCPOption.requestedAddress] = address.octets
        $0.options[DHCPOption.serverIdentifier] = DHCPLab.address.octets
      }
    }
    #expect(decline(DHCPLab.mac(2)).isEmpty, "nobody declines another's address")
    #expect(decline(DHCPLab.mac(1)) == [.forget(address)])
    #expect(lab.lease(1) != address)
  }

  @Test func releasedAndExpiredAddressesAreFree() throws {
    let lab = DHCPLab(DHCPLab.settings(pool: 0x0a09_0064...0x0a09_0064))
    let address = try #require(lab.lease(1))
    #expect(lab.lease(2) == nil)
    #expect(lab.server.counters.exhausted == 1)
    #expect(lab.send(.release, DHCPLab.mac(2), from: address).isEmpty, "nobody releases another's address")
    #expect(lab.send(.release, DHCPLab.mac(1), from: address) == [.forget(address)])
    #expect(lab.lease(2) == address)
    #expect(lab.pass(milliseconds: 3_601_000) == [.forget(address)])
    #expect(lab.lease(3) == address)
  }

  @Test func informIsAnsweredWithoutALease() throws {
    let lab = DHCPLab()
    let (datagram, ack) = try #require(DHCPLab.replies(lab.send(.inform, DHCPLab.mac(1), from: 0x0a09_0005)).first)
    #expect(ack.type == .ack && ack.yourAddress == 0 && ack.options[DHCPOption.leaseTime] == nil)
    #expect(ack.uint32(DHCPOption.router) == DHCPLab.address)
    #expect(datagram.destination.ipv4 == 0x0a09_0005)
    #expect(lab.server.leases.count == 0)
  }

  @Test func staticLeasesAreKeptForTheirStations() throws {
    var settings = DHCPLab.settings(pool: 0x0a09_0064...0x0a09_0065)
    settings.staticLeases = [
      StaticLease(hardwareAddress: DHCPLab.mac(1), address: 0x0a09_0064, name: "web"),
      StaticLease(hardwareAddress: DHCPLab.mac(2), address: 0x0a09_0010, name: nil),
    ]
    let lab = DHCPLab(settings)
    #expect(lab.lease(5) == 0x0a09_0065)
    #expect(lab.lease(6) == nil, "the other address is web's")
    #expect(lab.lease(1, name: "other") == 0x0a09_0064)
    #expect(lab.lease(2) == 0x0a09_0010, "outside the pool")
    #expect(lab.server.name(of: 0x0a09_0064) == "web")
    #expect(lab.server.address(named: "web") == 0x0a09_0064)
    #expect(lab.lease(5, name: "web") != nil)
    #expect(lab.server.name(of: 0x0a09_0065) == nil, "nobody takes a static name")
  }

  @Test func changedSettingsEndLeasesThatDoNotAgree() throws {
    let lab = DHCPLab()
    let address = try #require(lab.lease(1))
    var settings = lab.server.settings
    settings.staticLeases = [StaticLease(hardwareAddress: DHCPLab.mac(2), address: address, name: nil)]
    #expect(lab.server.configure(settings) == [.forget(address)])
    #expect(DHCPLab.replies(lab.send(.request, DHCPLab.mac(1), from: address)).first?.1.type == .nak)
    #expect(lab.lease(2) == address)
  }

  @Test func namesBelongToWhoHadThemFirst() throws {
    let lab = DHCPLab()
    let (first, second) = try (#require(lab.lease(1, name: "vm")), #require(lab.lease(2, name: "vm")))
    #expect(lab.server.address(named: "vm") == first && lab.server.name(of: second) == nil)
    // Whoever says no name keeps the one it had.
    #expect(lab.lease(1) == first && lab.server.name(of: first) == "vm")
  }

  @Test func storedLeasesAreKnownAfterARestart() throws {
    var lab = DHCPLab()
    let address = try #require(lab.lease(1, name: "web"))
    let stored = lab.server.leases.all
    lab = DHCPLab(leases: stored + [DHCPLease(address: 5, hardwareAddress: DHCPLab.mac(9), expires: 2_000_000)])
    #expect(lab.server.leases.count == 1, "one of another network is left out")
    #expect(lab.server.address(named: "web") == address)
    #expect(lab.lease(2) != address)
    #expect(lab.discover(DHCPLab.mac(1))?.yourAddress == address)
  }

  @Test func networkBootAndTheSystemThatItStartsGetTheSameAddress() throws {
    var settings = DHCPLab.settings()
    settings.nextServer = 0x0a09_0002
    settings.bootFile = "pxelinux.0"
    let lab = DHCPLab(settings)
    let address = try #require(lab.lease(1))
    let effects = lab.send(.discover, DHCPLab.mac(1)) {
      $0.options[DHCPOption.clientIdentifier] = [0xff, 1, 2, 3, 4]
      $0.options[DHCPOption.parameterRequestList] = [1, 3, 66, 67]
    }
    let offer = try #require(DHCPLab.replies(effects).first).1
    #expect(offer.yourAddress == address && offer.nextServer == 0x0a09_0002 && offer.bootFile == "pxelinux.0")
    #expect(offer.options[DHCPOption.bootFileName] == Array("pxelinux.0".utf8))
    #expect(offer.options[DHCPOption.serverName] == Array("10.9.0.2".utf8))
    #expect(offer.options[DHCPOption.clientIdentifier] == [0xff, 1, 2, 3, 4], "RFC 6842")
    #expect(offer.options[DHCPOption.domainName] == nil, "not asked for")
  }

  @Test func aFloodOfDiscoversGrowsNothingAndLeavesOthersTheirLease() throws {
    let lab = DHCPLab()
    for number in 0..<10_000 as Range<UInt64> {
      _ = lab.send(.discover, DHCPLab.mac(0x10_0000 + number), port: 1)
      if number % 1000 == 0 { _ = lab.pass(milliseconds: 10) }
    }
    #expect(lab.server.offers.count <= DHCPServer.offerLimit && lab.server.offerOrder.count <= DHCPServer.offerLimit)
    #expect(lab.server.probes.count <= DHCPServer.probeLimit)
    #expect(lab.server.leases.count == 0)
    #expect(lab.lease(1, port: 2) != nil)
  }

  @Test func onePortCannotTakeThePool() throws {
    let lab = DHCPLab()
    for number in 0..<200 as Range<UInt64> { _ = lab.lease(0x10_0000 + number, port: 1) }
    #expect(lab.server.leases.count == lab.server.settings.poolCount * 3 / 4)
    #expect(lab.server.counters.portLimited > 0)
    #expect(lab.lease(1, port: 2) != nil)
    // Its own leases go on.
    let lease = try #require(lab.server.leases.all.first { $0.hardwareAddress != DHCPLab.mac(1) })
    let effects = lab.send(.request, lease.hardwareAddress, port: 1, from: lease.address)
    #expect(DHCPLab.replies(effects).first?.1.type == .ack)
  }

  @Test(arguments: testSeeds(4)) func noTwoClientsEverHaveTheSameAddress(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    var settings = DHCPLab.settings(pool: 0x0a09_0064...0x0a09_006c)
    settings.staticLeases = [StaticLease(hardwareAddress: DHCPLab.mac(3), address: 0x0a09_0066, name: "s")]
    let lab = DHCPLab(settings)
    /// What clients were told: until when they have an address.
    var held: [UInt32: (MACAddress, Int64)] = [:]
    func note(_ effects: [DHCPServer.Effect]) {
      for (_, reply) in DHCPLab.replies(effects) where reply.type == .ack && reply.yourAddress != 0 {
        if let (mac, until) = held[reply.yourAddress], until > lab.time.wallSeconds {
          #expect(mac == reply.hardwareAddress, "seed \(seed)")
        }
        // A station has one address: it has left its former one.
        held = held.filter { $0.value.0 != reply.hardwareAddress }
        let seconds = Int64(reply.uint32(DHCPOption.leaseTime) ?? 0)
        held[reply.yourAddress] = (reply.hardwareAddress, lab.time.wallSeconds + seconds)
      }
    }
    for _ in 0..<3000 {
      let mac = DHCPLab.mac(UInt64.random(in: 1...14, using: &generator))
      let address = UInt32.random(in: 0x0a09_0062...0x0a09_006e, using: &generator)
      switch Int.random(in: 0..<9, using: &generator) {
      case 0, 1: note(lab.send(.discover, mac))
      case 8: note(lab.send(.inform, mac, from: address))
      case 2, 3:
        note(
          lab.send(.request, mac) {
            $0.options[DHCPOption.requestedAddress] = address.octets
            $0.options[DHCPOption.serverIdentifier] = DHCPLab.address.octets
          })
      case 4: note(lab.send(.request, mac) { $0.options[DHCPOption.requestedAddress] = address.octets })
      case 5: note(lab.send(.request, mac, from: address))
      case 6:
        if held[address]?.0 == mac { held[address] = nil }
        note(lab.send(.release, mac, from: address))
      default: note(lab.pass(milliseconds: UInt64.random(in: 1...600_000, using: &generator)))
      }
    }
    #expect(lab.server.leases.count <= lab.server.settings.poolCount)
  }
}
