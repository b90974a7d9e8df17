// The codec of DHCP for IPv4 on messages of real clients, and on what no client sends.

import TestSupport
import Testing

@testable import VSwitchCore

@Suite struct DHCPMessageTests {
  private func message(_ frame: [UInt8]) throws -> DHCPMessage {
    let datagram = try #require(UDPDatagram(frame: frame))
    return try #require(DHCPMessage(datagram.payload))
  }

  @Test func messagesOfRealClientsAreRead() throws {
    let discover = try message(RecordedFrames.udhcpcDiscover)
    #expect(discover.type == .discover)
    #expect(discover.transactionID == 0xc6e7_4716)
    #expect(discover.hardwareAddress.description == "52:54:00:12:34:56")
    #expect(discover.hostName == "udhost")
    #expect(discover.uint16(DHCPOption.maximumMessageSize) == 576)
    #expect(discover.options[DHCPOption.parameterRequestList] == [1, 3, 6, 12, 15, 28, 42])
    #expect(DHCPClient(discover).identifier == nil, "it only repeats the hardware address")
    let request = try message(RecordedFrames.udhcpcRequest)
    #expect(request.type == .request && request.seconds == 3)
    #expect(request.uint32(DHCPOption.requestedAddress) == 0x0a09_009d)
    #expect(request.uint32(DHCPOption.serverIdentifier) == 0x0a09_0001)
    #expect(try message(RecordedFrames.dhclientDiscover).type == .discover)
    #expect(try message(RecordedFrames.dhclientRequest).uint32(DHCPOption.requestedAddress) == 0x0a09_009d)
    let release = try #require(DHCPMessage(RecordedFrames.dhclientRelease))
    #expect(release.type == .release && release.clientAddress == 0x0a09_009d)
  }

  @Test func whatIsWrittenIsReadBack() throws {
    var message = DHCPMessage(isReply: true, transactionID: 7, hardwareAddress: MACAddress(bits: 0x0200_0000_0001))
    message.wantsBroadcast = true
    message.yourAddress = 0x0a00_0002
    message.nextServer = 0x0a00_0001
    message.bootFile = "pxelinux.0"
    message.options = [53: [2], 54: [10, 0, 0, 1], 119: [UInt8](repeating: 7, count: 300)]
    let bytes = message.encoded(limit: 1472)
    #expect(DHCPMessage(bytes) == message)
    // Two parts of the long option (RFC 3396).
    #expect(bytes.count == 240 + 3 + 6 + 2 + 255 + 2 + 45 + 1)
  }

  @Test func whatDoesNotFitIsLeftOutByItsImportance() throws {
    var message = DHCPMessage(isReply: true, transactionID: 7, hardwareAddress: MACAddress(bits: 1))
    message.options = [
      53: [2], 3: [10, 0, 0, 1], 6: [UInt8](repeating: 1, count: 200), 15: [UInt8](repeating: 2, count: 200),
    ]
    let read = try #require(DHCPMessage(message.encoded(first: [15, 3], limit: 548)))
    #expect(read.options.keys.sorted() == [3, 15, 53])
    #expect(message.encoded(first: [15, 3], limit: 548).count <= 548)
  }

  @Test func optionsInFieldsOfStringsAreRead() throws {
    var bytes = DHCPMessage(isReply: false, transactionID: 7, hardwareAddress: MACAddress(bits: 1)).encoded()
    bytes.replaceSubrange(240..<244, with: [52, 1, 3, 255])
    bytes.replaceSubrange(108..<112, with: [53, 1, 1, 12])
    bytes.replaceSubrange(112..<116, with: [2, 97, 98, 255])
    bytes.replaceSubrange(44..<49, with: [12, 2, 99, 100, 255])
    let message = try #require(DHCPMessage(bytes))
    #expect(message.type == .discover)
    #expect(message.hostName == "abcd")
    #expect(message.bootFile == "")
  }

  @Test func namesThatAreNoHostNamesAreNotTaken() {
    for name in ["", "-a", "a-", "a b", "a\nb", "ä", "a_b", String(repeating: "a", count: 64), "<script>"] {
      #expect(DHCPMessage.hostName(name) == nil, "\(name)")
    }
    #expect(DHCPMessage.hostName("Web-1") == "web-1")
    var message = DHCPMessage(isReply: false, transactionID: 7, hardwareAddress: MACAddress(bits: 1))
    message.options[DHCPOption.clientFQDN] = [4, 0, 0, 3, 119, 101, 98, 3, 108, 97, 98, 0]
    #expect(message.hostName == "web")
    message.options[DHCPOption.clientFQDN] = [0, 0, 0] + Array("Mail.example.org".utf8)
    #expect(message.hostName == "mail")
    message.options[DHCPOption.clientFQDN] = [4, 0, 0, 200, 1]
    #expect(message.hostName == nil)
  }

  @Test func prefixesEndWithoutATrap() throws {
    let payload = try #require(UDPDatagram(frame: RecordedFrames.udhcpcDiscover)).payload
    for count in 0..<240 { #expect(DHCPMessage(Array(payload.prefix(count))) == nil) }
    for count in 240...payload.count { _ = DHCPMessage(Array(payload.prefix(count))) }
  }

  @Test(arguments: testSeeds(4)) func anyBytesAreReadOrRefused(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let payload = try #require(UDPDatagram(frame: RecordedFrames.udhcpcRequest)).payload
    for _ in 0..<1000 {
      var bytes = payload
      for _ in 0..<Int.random(in: 1...6, using: &generator) {
        bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
      }
      guard let message = DHCPMessage(bytes) else { continue }
      _ = message.hostName
      #expect(message.encoded(limit: 548).count <= 548)
    }
  }
}
