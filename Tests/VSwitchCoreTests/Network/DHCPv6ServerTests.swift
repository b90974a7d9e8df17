// Stateless DHCP for IPv6: what is answered and what is not.

import TestSupport
import Testing

@testable import VSwitchCore

@Suite struct DHCPv6ServerTests {
  private let settings = DHCPv6Settings(
    serverMAC: MACAddress(bits: 0x0200_0000_0001), dnsServers: [IPAddress(ipv6: UInt128(0xfd00) << 112 | 1)],
    search: ["lab"])
  private let server = IPAddress(ipv6: UInt128(0xfe80) << 112 | 1)

  private func datagram(_ payload: [UInt8], source: String = "fe80::5054:ff:fe12:3456") throws -> UDPDatagram {
    UDPDatagram(
      sourceMAC: MACAddress(bits: 0x5254_0012_3456), destinationMAC: MACAddress(bits: 0x3333_0001_0002),
      source: try #require(IPAddress(source)), destination: try #require(IPAddress("ff02::1:2")), sourcePort: 546,
      destinationPort: 547, payload: payload)
  }

  // As dhclient -6 -S sends it: client identifier, options requested, elapsed time.
  private let request: [UInt8] = bytes(
    "0b8c0a3d0001000e000100012a5e3c5d525400123456000600060017001800380008000200 00".filter { $0 != " " })

  @Test func anInformationRequestIsAnswered() throws {
    let answer = try #require(DHCPv6Server.answer(datagram(request), settings, source: server))
    #expect(answer.destination.description == "fe80::5054:ff:fe12:3456" && answer.destinationPort == 546)
    #expect(answer.source == server && answer.sourcePort == 547)
    var expected: [UInt8] = [7, 0x8c, 0x0a, 0x3d]
    expected += bytes("0002000a00030001020000000001")
    expected += bytes("0001000e000100012a5e3c5d525400123456")
    expected += bytes("00170010fd00(13)01") + [0, 24, 0, 5, 3] + Array("lab".utf8) + [0]
    #expect(answer.payload == expected)
  }

  @Test func whatIsNotForThisServerIsIgnored() throws {
    let options = Array(request.dropFirst(4))
    let other: [UInt8] = request + [0, 2, 0, 4, 0, 3, 0, 1]
    let addresses: [UInt8] = request + [0, 3, 0, 4, 0, 0, 0, 1]
    for payload in [[1, 0, 0, 1] + options, other, addresses, Array(request.dropLast()), [], [11, 0]] {
      #expect(try DHCPv6Server.answer(datagram(payload), settings, source: server) == nil)
    }
    #expect(try DHCPv6Server.answer(datagram(request, source: "fd00::5"), settings, source: server) == nil)
    for count in 0..<request.count {
      _ = try DHCPv6Server.answer(datagram(Array(request.prefix(count))), settings, source: server)
    }
  }
}
