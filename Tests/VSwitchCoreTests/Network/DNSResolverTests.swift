// The resolver: names of leases, forwarding, what forgers and failing servers get.

import TestSupport
import Testing

@testable import VSwitchCore

/// A resolver for 10.9.0.0/24 with two servers outside, and its clients.
final class ResolverLab {
  var resolver = DNSResolver(servers: [ResolverLab.first, ResolverLab.second])
  var generator = SeededGenerator(seed: 7)
  var now: UInt64 = 0
  let zone: DNSZone

  static let first = IPAddress(ipv4: 0xc000_0201)
  static let second = IPAddress(ipv4: 0xc000_0202)
  static let web = IPAddress(ipv4: 0x0a09_0064)
  static let webIPv6 = IPAddress(ipv6: UInt128(0xfd00) << 112 | 0x64)

  init(domain: String? = "lab") {
    zone = DNSZone(
      domain: domain.flatMap { DNSName($0) }, networks: ["10.9.0.0/24", "fd00::/64"].compactMap { IPPrefix($0) },
      addresses: { $0 == "web" ? [ResolverLab.web, ResolverLab.webIPv6] : nil },
      name: { $0 == ResolverLab.web || $0 == ResolverLab.webIPv6 ? "web" : nil })
  }

  /// The bytes of a client's query.
  static func query(
    _ name: String, type: UInt16 = DNSType.a, id: UInt16 = 1, bufferSize: UInt16? = nil
  ) -> [UInt8] {
    guard let name = DNSName(name) else { return [] }
    var query = DNSQuery(id: id, flags: DNSFlags(0x0100), question: DNSQuestion(name: name, type: type))
    query.bufferSize = bufferSize
    return query.encoded(id: id, bufferSize: bufferSize ?? 0)
  }

  func send(_ bytes: [UInt8], from host: UInt32 = 0x0a09_0005, port: UInt16 = 4000) -> [DNSResolver.Effect] {
    let datagram = UDPDatagram(
      sourceMAC: MACAddress(bits: 2), destinationMAC: MACAddress(bits: 1), source: IPAddress(ipv4: host),
      destination: IPAddress(ipv4: 0x0a09_0001), sourcePort: port, destinationPort: 53, payload: bytes)
    return resolver.handle(datagram, zone: zone, now: now, using: &generator)
  }

  func answered(_ number: UInt64, _ bytes: [UInt8]) -> [DNSResolver.Effect] {
    resolver.answered(number, bytes, now: now, using: &generator)
  }

  func pass(seconds: UInt64) -> [DNSResolver.Effect] {
    now += seconds * 1_000_000_000
    return resolver.tick(now: now, using: &generator)
  }

  static func reply(_ effects: [DNSResolver.Effect]) -> [UInt8]? {
    for effect in effects { if case .reply(let datagram) = effect { return datagram.payload } }
    return nil
  }

  static func asked(_ effects: [DNSResolver.Effect]) -> (number: UInt64, server: IPAddress, bytes: [UInt8], tcp: Bool)?
  {
    for effect in effects {
      if case .ask(let number, let server, let bytes, let tcp) = effect { return (number, server, bytes, tcp) }
    }
    return nil
  }

  /// What a server answers: the query with its question and one address record.
  static func response(_ query: [UInt8], code: UInt16 = 0, truncated: Bool = false, padding: Int = 0) -> [UInt8] {
    var offset = 12
    guard let question = DNSQuestion(query, at: &offset) else { return [] }
    var bytes = Array(query[..<2]) + (0x8180 | code | (truncated ? 0x0200 : 0)).octets
    bytes += [0, 1, 0, 1, 0, 0, 0, 0] + question.encoded
    bytes += [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 80]
    return bytes + [UInt8](repeating: 0, count: padding)
  }
}

@Suite struct DNSResolverTests {
  /// Response code and the data of address and pointer records.
  private func records(_ bytes: [UInt8]?) throws -> (code: UInt16, count: Int, bytes: [UInt8]) {
    let bytes = try #require(bytes)
    return (UInt16(bytes[3] & 0xf), Int(bytes[6]) << 8 | Int(bytes[7]), bytes)
  }

  @Test func namesOfLeasesAreAnsweredHere() throws {
    let lab = ResolverLab()
    for name in ["web.lab", "WEB.Lab", "web", "web.lab."] {
      let answer = try records(ResolverLab.reply(lab.send(ResolverLab.query(name))))
      #expect(answer.code == 0 && answer.count == 1 && answer.bytes.suffix(4) == [10, 9, 0, 100], "\(name)")
    }
    let long = try records(ResolverLab.reply(lab.send(ResolverLab.query("web.lab", type: DNSType.aaaa))))
    #expect(long.count == 1 && Array(long.bytes.suffix(16)) == ResolverLab.webIPv6.octets)
    let other = try records(ResolverLab.reply(lab.send(ResolverLab.query("web.lab", type: 15))))
    #expect(other.code == 0 && other.count == 0, "the name is there, such records are not")
    for name in ["nobody.lab", "nobody", "a.web.lab"] {
      #expect(try records(ResolverLab.reply(lab.send(ResolverLab.query(name)))).code == 3, "\(name)")
    }
    #expect(lab.resolver.counters.forwarded == 0)
  }

  @Test func addressesOfTheNetworkHaveTheirNames() throws {
    let lab = ResolverLab()
    for address in [ResolverLab.web, ResolverLab.webIPv6] {
      let name = try #require(DNSName.reverse(of: address)).description
      let answer = try records(ResolverLab.reply(lab.send(ResolverLab.query(name, type: DNSType.ptr))))
      #expect(answer.code == 0 && answer.count == 1)
      #expect(Array(answer.bytes.suffix(9)) == [3] + Array("web".utf8) + [3] + Array("lab".utf8) + [0])
    }
    let nobody = try #require(DNSName.reverse(of: IPAddress(ipv4: 0x0a09_0009))).description
    #expect(try records(ResolverLab.reply(lab.send(ResolverLab.query(nobody, type: DNSType.ptr)))).code == 3)
    let outside = try #require(DNSName.reverse(of: IPAddress(ipv4: 0x0808_0808))).description
    #expect(ResolverLab.asked(lab.send(ResolverLab.query(outside, type: DNSType.ptr))) != nil)
  }

  @Test func aDomainThatIsKnownOutsideIsAskedForThere() {
    let lab = ResolverLab(domain: "example.org")
    #expect(ResolverLab.reply(lab.send(ResolverLab.query("web.example.org"))) != nil)
    #expect(ResolverLab.asked(lab.send(ResolverLab.query("www.example.org"))) != nil)
    #expect(ResolverLab.asked(lab.send(ResolverLab.query("example.org", id: 2))) != nil)
  }

  @Test func otherQuestionsAreForwardedWithAnIDOfTheirOwn() throws {
    let lab = ResolverLab()
    let asked = try #require(ResolverLab.asked(lab.send(ResolverLab.query("Example.org", id: 0x1234))))
    #expect(asked.server == ResolverLab.first && !asked.tcp)
    let effects = lab.answered(asked.number, ResolverLab.response(asked.bytes))
    #expect(effects.first == .close(number: asked.number))
    let reply = try #require(ResolverLab.reply(effects))
    #expect(Array(reply[..<2]) == [0x12, 0x34])
    #expect(Array(reply.suffix(4)) == [192, 0, 2, 80])
    #expect(lab.resolver.inFlightCount == 0)
  }

  @Test func idsAreUnforeseeable() throws {
    let lab = ResolverLab()
    var ids: Set<[UInt8]> = []
    for number in 0..<200 {
      let asked = try #require(
        ResolverLab.asked(lab.send(ResolverLab.query("n\(number).example.org"), from: 0x0a09_0000 + UInt32(number))))
      ids.insert(Array(asked.bytes[..<2]))
    }
    #expect(ids.count > 190)
  }

  @Test func responsesThatMatchNothingAreNotPassedOn() throws {
    let lab = ResolverLab()
    let asked = try #require(ResolverLab.asked(lab.send(ResolverLab.query("example.org"))))
    let right = ResolverLab.response(asked.bytes)
    var wrongID = right
    wrongID[0] ^= 1
    var query = right
    query[2] &= 0x7f
    let otherQuestion = ResolverLab.response(Array(asked.bytes[..<2]) + ResolverLab.query("example.com").dropFirst(2))
    let otherCase = ResolverLab.response(Array(asked.bytes[..<2]) + ResolverLab.query("Example.org").dropFirst(2))
    for forged in [wrongID, query, otherQuestion, otherCase, [], Array(right.prefix(20))] {
      #expect(lab.answered(asked.number, forged).isEmpty)
    }
    #expect(lab.answered(asked.number + 1, right).isEmpty)
    #expect(lab.resolver.counters.unmatched == 7)
    #expect(ResolverLab.reply(lab.answered(asked.number, right)) != nil)
    #expect(lab.answered(asked.number, right).isEmpty, "answered once")
  }

  @Test func aQuestionIsForwardedOnceForAllWhoAskIt() throws {
    let lab = ResolverLab()
    let bytes = ResolverLab.query("example.org", id: 5)
    let asked = try #require(ResolverLab.asked(lab.send(bytes)))
    #expect(lab.send(bytes).isEmpty, "repeated")
    #expect(lab.send(ResolverLab.query("example.org", id: 6), from: 0x0a09_0006).isEmpty)
    let effects = lab.answered(asked.number, ResolverLab.response(asked.bytes))
    #expect(effects.count == 3, "closed, and two replies")
  }

  @Test func aTruncatedAnswerIsFetchedByTCPAndCutForWhoTakesNoMore() throws {
    let lab = ResolverLab()
    let asked = try #require(ResolverLab.asked(lab.send(ResolverLab.query("example.org", bufferSize: 1232))))
    let again = try #require(
      ResolverLab.asked(lab.answered(asked.number, ResolverLab.response(asked.bytes, truncated: true))))
    #expect(again.tcp && again.server == ResolverLab.first && again.number != asked.number)
    let whole = ResolverLab.response(again.bytes, padding: 1000)
    let reply = try #require(ResolverLab.reply(lab.answered(again.number, whole)))
    #expect(reply.count == whole.count)
    // A client without EDNS takes 512 bytes (RFC 1035 §4.2.1).
    let plain = try #require(ResolverLab.asked(lab.send(ResolverLab.query("example.org"))))
    let cut = try #require(
      ResolverLab.reply(lab.answered(plain.number, ResolverLab.response(plain.bytes, padding: 1000))))
    #expect(cut.count <= 512 && cut[2] & 2 != 0)
  }

  @Test func whoAsksByAConnectionGetsAllAndIsNotTakenForWhoAskedByUDP() throws {
    let lab = ResolverLab()
    var question = UDPDatagram(
      sourceMAC: MACAddress(bits: 2), destinationMAC: MACAddress(bits: 1), source: IPAddress(ipv4: 0x0a09_0005),
      destination: IPAddress(ipv4: 0x0a09_0001), sourcePort: 4000, destinationPort: 53,
      payload: ResolverLab.query("big.test", id: 5))
    // The same client, port and id by both ways.
    let asked = try #require(ResolverLab.asked(lab.send(question.payload)))
    question.isOfStream = true
    #expect(lab.resolver.handle(question, zone: lab.zone, now: lab.now, using: &lab.generator).isEmpty)
    let replies = lab.answered(asked.number, ResolverLab.response(asked.bytes, padding: 3000)).compactMap { effect in
      if case .reply(let datagram) = effect { datagram } else { nil }
    }
    try #require(replies.count == 2)
    #expect(replies.map(\.isOfStream) == [false, true])
    #expect(replies[0].payload.count <= 512 && replies[0].payload[2] & 2 == 2, "cut off")
    #expect(replies[1].payload.count > 3000 && replies[1].payload[2] & 2 == 0)
  }

  @Test func aConnectionIsToldWhatGetsNoAnswer() throws {
    let lab = ResolverLab()
    var question = UDPDatagram(
      sourceMAC: MACAddress(bits: 2), destinationMAC: MACAddress(bits: 1), source: IPAddress(ipv4: 0x0a09_0005),
      destination: IPAddress(ipv4: 0x0a09_0001), sourcePort: 4000, destinationPort: 53, payload: [1, 2, 3])
    for isOfStream in [false, true] {
      question.isOfStream = isOfStream
      func ask(_ question: UDPDatagram) -> [DNSResolver.Effect] {
        lab.resolver.handle(question, zone: lab.zone, now: lab.now, using: &lab.generator)
      }
      // No message, somebody else's network, the same again.
      #expect(ask(question) == (isOfStream ? [.refuse(question)] : []))
      var other = question
      other.source = IPAddress(ipv4: 1)
      other.payload = ResolverLab.query("a.test")
      #expect(ask(other) == (isOfStream ? [.refuse(other)] : []))
      other.source = question.source
      _ = ask(other)
      #expect(ask(other) == (isOfStream ? [.refuse(other)] : []))
    }
  }

  @Test func aServerThatFailsOrIsSilentIsFollowedByTheNext() throws {
    let lab = ResolverLab()
    let asked = try #require(ResolverLab.asked(lab.send(ResolverLab.query("example.org"))))
    let second = try #require(ResolverLab.asked(lab.answered(asked.number, ResolverLab.response(asked.bytes, code: 2))))
    #expect(second.server == ResolverLab.second)
    let third = try #require(ResolverLab.asked(lab.pass(seconds: 2)))
    #expect(third.server == ResolverLab.first && Array(third.bytes[..<2]) != Array(second.bytes[..<2]))
    let fourth = try #require(ResolverLab.asked(lab.resolver.failed(third.number, now: lab.now, using: &lab.generator)))
    #expect(fourth.server == ResolverLab.second)
    let effects = lab.pass(seconds: 2)
    #expect(try records(ResolverLab.reply(effects)).code == 2)
    #expect(lab.resolver.inFlightCount == 0 && lab.resolver.nextDeadline == nil)
  }

  @Test func whatCannotBeServedIsRefused() throws {
    let lab = ResolverLab()
    #expect(lab.send(ResolverLab.query("web.lab"), from: 0xc0a8_0001).isEmpty, "a stranger")
    #expect(lab.send(ResolverLab.query("web.lab"), port: 53).isEmpty)
    #expect(try records(ResolverLab.reply(lab.send(ResolverLab.query("example.org", type: DNSType.axfr)))).code == 5)
    var update = ResolverLab.query("example.org")
    update[2] = 0x28
    #expect(try #require(ResolverLab.reply(lab.send(update)))[3] & 0xf == 4)
    var two = ResolverLab.query("example.org")
    two[5] = 2
    #expect(try #require(ResolverLab.reply(lab.send(two)))[3] & 0xf == 1)
    #expect(lab.send([1, 2, 3]).isEmpty)
    lab.resolver.servers = []
    #expect(try records(ResolverLab.reply(lab.send(ResolverLab.query("example.org")))).code == 5)
  }

  @Test func aFloodOfQuestionsIsBoundedAndLeavesOthersTheirTurn() throws {
    let lab = ResolverLab()
    for number in 0..<10_000 {
      _ = lab.send(ResolverLab.query("n\(number).example.org"), port: UInt16(1000 + number % 9))
    }
    #expect(lab.resolver.inFlightCount == DNSResolver.clientLimit)
    #expect(lab.resolver.counters.limited == 10_000 - UInt64(DNSResolver.clientLimit))
    #expect(ResolverLab.asked(lab.send(ResolverLab.query("example.org"), from: 0x0a09_0006)) != nil)
    #expect(ResolverLab.reply(lab.send(ResolverLab.query("web.lab"))) != nil)
    for _ in 0..<4 { _ = lab.pass(seconds: 3) }
    #expect(lab.resolver.inFlightCount == 0)
    #expect(ResolverLab.asked(lab.send(ResolverLab.query("example.org"))) != nil)
  }

  @Test(arguments: testSeeds(4)) func anyBytesEndWithoutATrap(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let lab = ResolverLab()
    let query = ResolverLab.query("a.example.org", bufferSize: 1232)
    for _ in 0..<2000 {
      var bytes = query
      for _ in 0..<Int.random(in: 0...3, using: &generator) {
        bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
      }
      let asked = ResolverLab.asked(lab.send(Array(bytes.prefix(Int.random(in: 0...bytes.count, using: &generator)))))
      guard let asked else { continue }
      var response = ResolverLab.response(asked.bytes)
      if !response.isEmpty {
        response[Int.random(in: 0..<response.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
      }
      _ = lab.answered(asked.number, response)
      _ = lab.pass(seconds: 1)
    }
  }
}
