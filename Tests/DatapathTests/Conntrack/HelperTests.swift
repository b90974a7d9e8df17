import TestSupport
import Testing
import VSwitchCore

@testable import Datapath

/// FTP and TFTP through translation, and what helpers refuse.
@Suite struct HelperTests {
  private let c = ConntrackLab.client
  private let s = ConntrackLab.server
  private let o = ConntrackLab.outside

  private func lab(_ kind: NetworkTranslation.Kind = .source, address: UInt128 = 0xc633_6407, helper: UInt16 = 21)
    throws -> ConntrackLab
  {
    var translation = NetworkTranslation()
    translation.kind = kind
    translation.addresses = address...address
    let wanted = translation
    return try ConntrackLab(
      outward: { $0.translation = NetworkTranslation() }, inward: { $0.translation = NetworkTranslation() },
      commit: {
        $0.translation = wanted
        $0.helperPort = helper
      })
  }

  /// An FTP control connection; returns what leaves.
  private struct Control {
    let lab: ConntrackLab
    let client: [UInt8]
    /// As the client sees it, and as the server sees the client.
    let server: [UInt8]
    let seenServer: [UInt8]
    let seenClient: [UInt8]
    var clientNext: UInt32 = 1001
    var serverNext: UInt32 = 5001
    var clientShift: UInt32 = 0

    init(_ lab: ConntrackLab, client: [UInt8], server: [UInt8], seenServer: [UInt8], seenClient: [UInt8]) throws {
      self.lab = lab
      self.client = client
      self.server = server
      self.seenServer = seenServer
      self.seenClient = seenClient
      _ = try #require(lab.send(ConntrackLab.tcp(client, 40000, server, 21, flags: 2, 1000)))
      _ = try #require(lab.send(ConntrackLab.tcp(seenServer, 21, seenClient, 40000, flags: 0x12, 5000, 1001), from: 2))
      _ = try #require(lab.send(ConntrackLab.tcp(client, 40000, server, 21, flags: 0x10, 1001, 5001)))
    }

    mutating func say(_ text: String) -> ConntrackLab.Result? {
      let result = lab.send(
        ConntrackLab.tcp(client, 40000, server, 21, flags: 0x18, clientNext, serverNext, Array(text.utf8)))
      clientNext &+= UInt32(text.utf8.count)
      return result
    }

    /// - Parameter acknowledged: bytes of the client as the server has counted them.
    mutating func answer(_ text: String, acknowledged: UInt32) -> ConntrackLab.Result? {
      let result = lab.send(
        ConntrackLab.tcp(
          seenServer, 21, seenClient, 40000, flags: 0x18, serverNext, acknowledged, Array(text.utf8)), from: 2)
      serverNext &+= UInt32(text.utf8.count)
      return result
    }
  }

  private func text(_ result: ConntrackLab.Result?) -> String {
    guard let result else { return "" }
    return String(decoding: result.transport.dropFirst(20), as: UTF8.self)
  }

  private func number(_ result: ConntrackLab.Result, at offset: Int) -> UInt32 {
    result.transport[offset..<(offset + 4)].reduce(0) { $0 << 8 | UInt32($1) }
  }

  @Test func activeModeWorksThroughSourceTranslation() throws {
    let lab = try lab()
    var control = try Control(lab, client: c, server: s, seenServer: s, seenClient: o)
    let said = "PORT 10,0,0,1,200,10\r\n"
    let said1 = control.say(said)
    let sent = try #require(said1)
    let rewritten = "PORT 198,51,100,7,200,10\r\n"
    #expect(text(sent) == rewritten)
    #expect(ConntrackLab.complaint(sent.packet) == nil)
    #expect(Int(sent.packet[2]) << 8 | Int(sent.packet[3]) == sent.packet.count)
    // The server counts more bytes than the client has sent.
    let counted = 1001 + UInt32(rewritten.utf8.count)
    let said2 = control.answer("200 PORT command successful.\r\n", acknowledged: counted)
    let answer = try #require(said2)
    #expect(number(answer, at: 8) == control.clientNext)
    #expect(answer.state.text == "est|rpl|trk|dnat" && ConntrackLab.complaint(answer.packet) == nil)
    let said3 = control.say("RETR file\r\n")
    let next = try #require(said3)
    #expect(number(next, at: 4) == counted && ConntrackLab.complaint(next.packet) == nil)
    // The server opens the data connection: nobody else could.
    let stranger = lab.send(ConntrackLab.tcp([192, 0, 2, 81], 20, o, 51_210, flags: 2, 9), from: 2)
    #expect(stranger?.state.text == "new|trk")
    let data = try #require(lab.send(ConntrackLab.tcp(s, 20, o, 51_210, flags: 2, 9), from: 2))
    #expect(data.state.text == "new|rel|trk|dnat" && data.destination == c && data.destinationPort == 51_210)
    #expect(ConntrackLab.complaint(data.packet) == nil)
    let reply = try #require(lab.send(ConntrackLab.tcp(c, 51_210, s, 20, flags: 0x12, 70, 10)))
    #expect(reply.source == o && reply.state.text == "est|rel|rpl|trk|snat")
    // Once.
    let again = lab.send(ConntrackLab.tcp(s, 21_000, o, 51_210, flags: 2, 9), from: 2)
    #expect(again?.state.text == "new|trk")
  }

  @Test func aSegmentSentAgainIsRewrittenTheSameWay() throws {
    let lab = try lab()
    var control = try Control(lab, client: c, server: s, seenServer: s, seenClient: o)
    let said4 = control.say("PORT 10,0,0,1,200,10\r\n")
    let first = try #require(said4)
    control.clientNext = 1001
    let said5 = control.say("PORT 10,0,0,1,200,10\r\n")
    let second = try #require(said5)
    #expect(first.packet == second.packet)
  }

  @Test func twoClientsWithOnePortGetTwo() throws {
    let lab = try lab()
    var ports: Set<String> = []
    for host in 1...2 {
      let client: [UInt8] = [10, 0, 0, UInt8(host)]
      _ = try #require(lab.send(ConntrackLab.tcp(client, 40000 + UInt16(host), s, 21, flags: 2, 1000)))
      _ = lab.send(ConntrackLab.tcp(s, 21, o, 40000 + UInt16(host), flags: 0x12, 5000, 1001), from: 2)
      let said = Array("EPRT |1|10.0.0.\(host)|51210|\r\n".utf8)
      let result = lab.send(ConntrackLab.tcp(client, 40000 + UInt16(host), s, 21, flags: 0x18, 1001, 5001, said))
      #expect(text(result).hasPrefix("EPRT |1|198.51.100.7|"))
      ports.insert(text(result))
    }
    #expect(ports.count == 2)
  }

  @Test func passiveModeOfATranslatedServerNamesItsOuterAddress() throws {
    let lab = try lab(.destination, address: 0x0a00_0050)
    let inside: [UInt8] = [10, 0, 0, 80]
    var control = try Control(lab, client: c, server: o, seenServer: inside, seenClient: c)
    _ = control.say("PASV\r\n")
    let answer = control.answer("227 Entering Passive Mode (10,0,0,80,195,80).\r\n", acknowledged: 1007)
    #expect(text(answer) == "227 Entering Passive Mode (198,51,100,7,195,80).\r\n")
    let data = try #require(lab.send(ConntrackLab.tcp(c, 41_000, o, 50_000, flags: 2, 9)))
    #expect(data.state.text == "new|rel|trk|dnat" && data.destination == inside && data.destinationPort == 50_000)
  }

  @Test func addressesOfOthersAndLowPortsAreRefused() throws {
    let lab = try lab()
    for said in [
      "PORT 10,0,0,9,200,10\r\n", "PORT 10,0,0,1,0,22\r\n", "EPRT |1|192.0.2.80|51210|\r\n", "PORT 10,0,0,1,200\r\n",
      "PORT 10,0,0,1,200,256\r\n", "EPRT |3|10.0.0.1|51210|\r\n", "EPRT |1|10.0.0.1|70000|\r\n", "PORT 10,0,0,1,200,10",
    ] {
      lab.bridge.now += 100_000
      var control = try Control(lab, client: c, server: s, seenServer: s, seenClient: o)
      #expect(text(control.say(said)) == said)
    }
    #expect(lab.bridge.tracker.expectations.isEmpty)
  }

  @Test func withoutAHelperNothingIsExpected() throws {
    let lab = try lab(helper: 0)
    var control = try Control(lab, client: c, server: s, seenServer: s, seenClient: o)
    #expect(text(control.say("PORT 10,0,0,1,200,10\r\n")) == "PORT 10,0,0,1,200,10\r\n")
    #expect(lab.bridge.tracker.expectations.isEmpty)
  }

  @Test func aTFTPServerAnswersFromAnotherPort() throws {
    let lab = try lab(helper: 69)
    let request = try #require(lab.send(ConntrackLab.udp(c, 2000, s, 69, [0, 1] + Array("file".utf8) + [0])))
    #expect(request.source == o && request.sourcePort == 2000)
    let data = try #require(lab.send(ConntrackLab.udp(s, 3333, o, 2000, [0, 3, 0, 1]), from: 2))
    #expect(data.state.text == "new|rel|trk|dnat" && data.destination == c && data.destinationPort == 2000)
    #expect(lab.send(ConntrackLab.udp(c, 2000, s, 3333, [0, 4, 0, 1]))?.state.text == "est|rel|rpl|trk|snat")
  }

  @Test func commandsAreReadByTheBook() {
    func read(_ text: String, isReply: Bool = false) -> FTPCommand? {
      unsafe Array(text.utf8).withUnsafeBytes { unsafe FTPCommand($0, isReply: isReply) }
    }
    #expect(read("port 1,2,3,4,5,6\r\n")?.port == 1286)
    #expect(read("EPRT |2|fd00::1|4000|\r\n")?.address == UInt128(0xfd00) << 112 | 1)
    #expect(read("EPRT |2|::|4000|\r\n")?.address == 0)
    #expect(read("EPRT |2|1:2:3:4:5:6:7:8|4000|\r\n")?.port == 4000)
    for wrong in ["1:2:3:4:5:6:7:8:9", "1::2::3", ":1", "1:", "fd00", "12345::", ""] {
      #expect(read("EPRT |2|\(wrong)|4000|\r\n") == nil, "\(wrong)")
    }
    #expect(read("229 Entering Extended Passive Mode (|||6446|)\r\n", isReply: true)?.port == 6446)
    #expect(read("227 =1,2,3,4,5,6\r\n", isReply: true)?.address == 0x0102_0304)
    #expect(read("227 Entering\r\n", isReply: true) == nil)
    #expect(read("PORT 1,2,3,4,5,6\r\n", isReply: true) == nil)
  }

  @Test(arguments: testSeeds(5)) func anyBytesGiveACommandOrNone(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let parts = ["PORT ", "EPRT ", "227 ", "229 ", "1,2,3", "|", "(", "::", "\r\n", "99999", "a", ".", "255"]
    for _ in 0..<5000 {
      var text: [UInt8] = []
      for _ in 0..<Int.random(in: 0..<12, using: &random) {
        text +=
          Bool.random(using: &random) ? Array(parts.randomElement(using: &random)?.utf8 ?? "".utf8) : random.bytes(2)
      }
      for isReply in [false, true] {
        let command = unsafe text.withUnsafeBytes { unsafe FTPCommand($0, isReply: isReply) }
        if let command {
          #expect(command.start < command.end && command.end <= text.count)
          #expect(HelperText(command, address: .max, port: .max).count <= 64)
        }
      }
    }
  }
}
