// Domain names: what is read of messages, how they compare and print; the host's resolv.conf.

import TestSupport
import Testing

@testable import VSwitchCore

@Suite struct DNSNameTests {
  private func read(_ bytes: [UInt8], at start: Int = 0) -> (DNSName, Int)? {
    var offset = start
    return DNSName(bytes, at: &offset).map { ($0, offset) }
  }

  @Test func pointersGoBackAndEnd() throws {
    let message: [UInt8] = [3] + Array("lab".utf8) + [0, 3] + Array("web".utf8) + [0xc0, 0, 9]
    let (name, end) = try #require(read(message, at: 5))
    #expect(name.description == "web.lab" && end == 11)
    #expect(read([0xc0, 0]) == nil, "to itself")
    #expect(read([0xc0, 2, 0xc0, 0], at: 0) == nil, "ahead")
    #expect(read([1, 97, 0xc0, 0]) == nil, "to the name that it is in")
    #expect(read([0x40, 97, 0]) == nil, "reserved kinds of labels")
    #expect(read([5, 97]) == nil && read([]) == nil && read([0xc0]) == nil)
    // A name of more than 255 bytes.
    #expect(
      read([UInt8](repeating: 0, count: 0) + (0..<5).flatMap { _ in [63] + [UInt8](repeating: 97, count: 63) } + [0])
        == nil)
  }

  @Test func manyPointersEndInTime() {
    // Each pointer to the one before: as deep as a message allows.
    var message: [UInt8] = [0]
    for offset in stride(from: 0, to: 16_000, by: 2) {
      let target = offset == 0 ? 0 : offset - 1
      message += [0xc0 | UInt8(target >> 8), UInt8(target & 0xff)]
    }
    #expect(read(message, at: message.count - 2) != nil)
  }

  @Test func namesAreEqualRegardlessOfCaseAndPrintSafely() throws {
    #expect(DNSName("Web.LAB") == DNSName("web.lab"))
    #expect(DNSName("Web.LAB").hashValue == DNSName("web.lab").hashValue)
    #expect(DNSName("a..b") == nil)
    #expect(try #require(DNSName(labels: [[10, 46, 92, 97]])).description == "\\010\\.\\\\a")
    #expect(try #require(DNSName("a.lab")).isWithin(try #require(DNSName("LAB"))))
    #expect(try !#require(DNSName("alab")).isWithin(try #require(DNSName("lab"))))
  }

  @Test func addressesAreReadFromTheirNames() throws {
    for text in ["10.9.0.100", "fd00::12:3", "0.0.0.0", "::"] {
      let address = try #require(IPAddress(text))
      #expect(DNSName.reverse(of: address)?.reverseAddress == address)
    }
    for text in [
      "1.10.in-addr.arpa", "x.0.9.10.in-addr.arpa", "+1.0.9.10.in-addr.arpa", "arpa", "300.0.9.10.in-addr.arpa",
    ] {
      #expect(DNSName(text)?.reverseAddress == nil, "\(text)")
    }
  }

  @Test func serversAreReadFromTheHostsFile() {
    let text = """
      # generated
      search example.org
      nameserver 127.0.0.53
      nameserver\tfd00::53
      nameserver fe80::1%eth0
      nameserver nonsense
      options edns0
      nameserver 192.0.2.1
      nameserver 192.0.2.2
      """
    #expect(ResolverConfiguration(text).servers.map(\.description) == ["127.0.0.53", "fd00::53", "192.0.2.1"])
  }
}
