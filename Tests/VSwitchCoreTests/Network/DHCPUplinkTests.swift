// The DHCP client for outer addresses against the switch's own server, and against what a server should not say.

import TestSupport
import Testing

@testable import VSwitchCore

@Suite struct DHCPUplinkTests {
  private static let mac = MACAddress(bits: 0x0600_0000_0001)
  private static let second: UInt64 = 1_000_000_000

  /// A client and a server of 192.0.2.0/24 on a wire, and their clock.
  private struct Wire {
    var uplink: DHCPUplink
    var server: DHCPServer
    var time = DHCPServer.Time(now: 1, wallSeconds: 1_000_000)
    var random = SeededGenerator(seed: 7)
    var leases: [UplinkLease?] = []
    var sent: [UDPDatagram] = []
    var isServerThere = true

    init(known: UplinkLease? = nil) {
      uplink = DHCPUplink(hardwareAddress: DHCPUplinkTests.mac, known: known)
      var settings = DHCPSettings(
        serverAddress: 0xc000_0201, serverMAC: MACAddress(bits: 0x0200_0000_0099), prefixLength: 24,
        pool: 0xc000_0264...0xc000_02c8)
      settings.gateway = 0xc000_0201
      settings.dnsServers = [0xc000_0235]
      settings.leaseSeconds = 600
      server = DHCPServer(settings)
    }

    mutating func take(_ effects: [DHCPUplink.Effect]) {
      for effect in effects {
        switch effect {
        case .lease(let lease): leases.append(lease)
        case .send(let datagram):
          sent.append(datagram)
          guard isServerThere else { continue }
          answer(server.handle(datagram, port: 1, time))
        }
      }
    }

    mutating func answer(_ effects: [DHCPServer.Effect]) {
      for case .send(let reply) in effects { take(uplink.handle(reply, time, using: &random)) }
    }

    /// Lets time pass, in tenths of a second.
    mutating func run(seconds: Int) {
      for step in 0..<(seconds * 10) {
        answer(server.tick(time))
        take(uplink.tick(time, using: &random))
        time.now += DHCPUplinkTests.second / 10
        if step % 10 == 9 { time.wallSeconds += 1 }
      }
    }
  }

  @Test func anAddressIsGotKeptAndRenewed() throws {
    var wire = Wire()
    wire.run(seconds: 10)
    let lease = try #require(wire.leases.last ?? nil)
    #expect(wire.uplink.state == .bound && wire.leases.count == 1)
    #expect(lease.address.description.hasPrefix("192.0.2.") && lease.address.bitCount == 24)
    #expect(lease.gateway?.description == "192.0.2.1" && lease.dnsServers.map(\.description) == ["192.0.2.53"])
    #expect(wire.sent.allSatisfy { $0.destinationMAC == .broadcast && $0.source.isUnspecified })
    // Half of its time later its server is asked, alone.
    wire.sent = []
    wire.run(seconds: 320)
    #expect(wire.leases.count == 2 && wire.sent.count == 1)
    let request = try #require(wire.sent.first)
    #expect(request.destination.description == "192.0.2.1" && request.source == lease.address.address)
    #expect(request.destinationMAC == MACAddress(bits: 0x0200_0000_0099))
    #expect(try #require(wire.leases.last ?? nil).expires > lease.expires)
    #expect(try #require(wire.leases.last ?? nil).address == lease.address)
  }

  @Test func aServerThatIsGoneIsAskedForThenAllAreThenTheAddressEnds() throws {
    var wire = Wire()
    wire.run(seconds: 10)
    let lease = try #require(wire.leases.last ?? nil)
    wire.isServerThere = false
    wire.sent = []
    wire.run(seconds: 400)
    #expect(wire.uplink.state == .renewing && wire.leases.count == 1)
    wire.run(seconds: 150)
    #expect(wire.uplink.state == .rebinding && wire.sent.last?.destination == IPAddress(ipv4: .max))
    wire.run(seconds: 60)
    #expect(wire.uplink.state == .selecting && wire.leases.count == 2 && wire.leases.last == .some(nil))
    #expect(wire.sent.count < 40, "\(wire.sent.count) messages in ten minutes")
    wire.isServerThere = true
    wire.run(seconds: 70)
    #expect(try #require(wire.leases.last ?? nil).address == lease.address)
  }

  @Test func anAddressOfBeforeIsAskedForAgain() throws {
    var first = Wire()
    first.run(seconds: 10)
    let lease = try #require(first.leases.last ?? nil)
    var wire = Wire(known: lease)
    wire.server = first.server
    wire.time = first.time
    wire.run(seconds: 1)
    #expect(wire.sent.count == 1 && wire.uplink.state == .bound)
    #expect(DHCPMessage(wire.sent[0].payload)?.type == .request)
    // One that its server does not know is given up, and another one is got.
    var other = Wire(known: lease)
    other.server = Wire().server
    var stranger = lease
    stranger.address = InterfaceAddress(IPAddress(ipv4: 0x0a00_0005), bitCount: 8)
    other.uplink = DHCPUplink(hardwareAddress: Self.mac, known: stranger)
    other.run(seconds: 20)
    #expect(other.leases.count == 2 && other.leases.first == .some(nil))
    #expect(other.uplink.lease?.address.description.hasPrefix("192.0.2.") == true)
    // One whose time is over is not used at all.
    var old = Wire(known: lease)
    old.time.wallSeconds = lease.expires
    old.isServerThere = false
    old.run(seconds: 1)
    #expect(old.leases == [nil] && DHCPMessage(old.sent[0].payload)?.type == .discover)
  }

  @Test func answersToOthersAndOddOnesAreNotTaken() throws {
    var wire = Wire()
    wire.isServerThere = false
    wire.run(seconds: 1)
    let question = try #require(wire.sent.first.flatMap { DHCPMessage($0.payload) })
    func offer(_ change: (inout DHCPMessage) -> Void) -> UDPDatagram {
      var message = DHCPMessage(
        isReply: true, transactionID: question.transactionID, hardwareAddress: Self.mac)
      message.yourAddress = 0xc000_0264
      message.options = [
        DHCPOption.messageType: [DHCPMessageType.offer.rawValue], DHCPOption.serverIdentifier: [192, 0, 2, 1],
      ]
      change(&message)
      return UDPDatagram(
        sourceMAC: MACAddress(bits: 0x0200_0000_0099), destinationMAC: .broadcast, source: IPAddress(ipv4: 0xc000_0201),
        destination: IPAddress(ipv4: .max), sourcePort: 67, destinationPort: 68, payload: message.encoded())
    }
    let bad: [(inout DHCPMessage) -> Void] = [
      { $0.transactionID &+= 1 }, { $0.hardwareAddress = MACAddress(bits: 0x0600_0000_0002) }, { $0.isReply = false },
      { $0.options[DHCPOption.serverIdentifier] = nil }, { $0.yourAddress = 0 }, { $0.yourAddress = 0xe000_0001 },
      { $0.yourAddress = .max }, { $0.options[DHCPOption.messageType] = [DHCPMessageType.ack.rawValue] },
    ]
    for change in bad {
      #expect(wire.uplink.handle(offer(change), wire.time, using: &wire.random).isEmpty)
      #expect(wire.uplink.state == .selecting)
    }
    #expect(wire.uplink.handle(offer { _ in }, wire.time, using: &wire.random).count == 1)
    #expect(wire.uplink.state == .requesting)
    let odd: [(inout DHCPMessage) -> Void] = [
      { $0.yourAddress &+= 1 }, { $0.options[DHCPOption.leaseTime] = nil },
      { $0.options[DHCPOption.leaseTime] = [0, 0, 0, 1] },
      { $0.options[DHCPOption.subnetMask] = [255, 0, 255, 0] }, { $0.options[DHCPOption.subnetMask] = [0, 0, 0, 0] },
      { $0.options[DHCPOption.serverIdentifier] = [192, 0, 2, 2] },
    ]
    func acknowledge(_ change: (inout DHCPMessage) -> Void) -> UDPDatagram {
      offer { message in
        message.options[DHCPOption.messageType] = [DHCPMessageType.ack.rawValue]
        message.options[DHCPOption.leaseTime] = UInt32(600).networkOrder
        message.options[DHCPOption.subnetMask] = [255, 255, 255, 0]
        change(&message)
      }
    }
    for change in odd {
      #expect(wire.uplink.handle(acknowledge(change), wire.time, using: &wire.random).isEmpty)
    }
    // A gateway outside of the network is none.
    _ = wire.uplink.handle(
      acknowledge { $0.options[DHCPOption.router] = [10, 0, 0, 1] }, wire.time, using: &wire.random)
    #expect(wire.uplink.state == .bound && wire.uplink.lease?.gateway == nil)
  }
}
