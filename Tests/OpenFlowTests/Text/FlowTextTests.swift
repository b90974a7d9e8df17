// What the parser says of wrong input, and that no text makes it trap.

import TestSupport
import Testing
import VSwitchCore

@testable import OpenFlow

@Suite struct FlowTextTests {
  private func error(_ text: String) -> FlowTextError? {
    do throws(FlowTextError) {
      _ = try FlowTextParser().flow(text)
      return nil
    } catch { return error }
  }

  @Test(arguments: [
    ("tcp,tcp_dst=65536,actions=drop", 12), ("foo=5,actions=drop", 0), ("ip,nw_src=10.0.0,actions=drop", 10),
    ("ip,nw_src=10.0.0.0/33,actions=drop", 19), ("actions=output:1,set_field:1->tcp_dst", 30), ("ip", 0),
    ("actions=clone(output:1,foo)", 23), ("actions=load:0x10->NXM_NX_REG0[0..3]", 13), ("actions=clone(output:1", 13),
    ("actions=ct(commit)", 8), ("table=256,actions=drop", 6), ("priority=1,dl_src=00:11,actions=drop", 18),
    ("actions=goto_table:1,output:1", 21), ("ct_state=+foo,actions=drop", 10), ("actions=output:eth7", 15),
  ])
  func errorsPointAtTheCharacter(text: String, position: Int) {
    let found = error(text)
    #expect(found?.position == position, "\(text): \(found.map(\.description) ?? "accepted")")
    #expect(found?.description.contains("\n") == false)
    #expect(found?.remedy.isEmpty == false)
  }

  @Test func theCaretStandsUnderTheCharacterEvenBehindWiderOnes() {
    let text = "ü,foo=1"
    let found = FlowTextError(at: 3, "cause", remedy: "remedy")
    #expect(found.caret(under: text) == "ü,foo=1\n  ^")
    #expect(FlowTextError(at: 1, "", remedy: "").caret(under: "\tx") == "\tx\n\t^")
  }

  @Test func portsAndTablesAreReadAndPrintedByName() throws {
    let names = NumberNames(
      ports: [
        PortNumber(1): "p1", PortNumber(2): "eth-0.1", PortNumber(3): "with space", PortNumber(4): "local",
        PortNumber(5): "a_b",
      ],
      tables: [3: "acl"])
    let parser = FlowTextParser(names: names)
    let flow = try parser.flow(
      #"table=acl,in_port="eth-0.1",actions=p1,output:"with space",resubmit("eth-0.1",acl),local,output:"local",a_b"#)
    #expect(
      FlowPrinter().request(flow.mod)
        == "ADD table:3 in_port=2 actions=output:1,output:3,resubmit(2,3),LOCAL,output:4,output:5")
    let printed = FlowPrinter(names: names, showsStatistics: false).line(FlowStatistics(flow.mod))
    #expect(
      printed
        == #"table=acl, in_port="eth-0.1" actions=output:p1,output:"with space",resubmit("eth-0.1",acl),LOCAL,output:"local",output:"a_b""#
    )
  }

  @Test func aNameThatTwoPortsHaveIsNotRead() {
    let names = NumberNames(ports: [PortNumber(1): "p", PortNumber(2): "p"])
    #expect((try? FlowTextParser(names: names).flow("actions=p")) == nil)
  }

  @Test func dumpedFlowsAreReadAgain() throws {
    let line =
      " cookie=0x12, duration=0.018s, table=3, n_packets=7, n_bytes=70, idle_timeout=30, hard_age=4, send_flow_rem "
      + "idle_age=0, priority=7,tcp,vlan_tci=0x1000/0x1000,nw_src=10.0.0.0/8,tp_dst=80 actions=dec_ttl,resubmit(,4)"
    let flow = try FlowTextParser().flow(line)
    #expect(flow.mod.table == 3 && flow.mod.cookie == 0x12 && flow.mod.idleTimeoutSeconds == 30)
    #expect(flow.mod.flags == .sendFlowRemoved && flow.mod.match.value(.tcpDestination)?.value == 80)
  }

  @Test func commandsOfLinesAndTheirAttributes() throws {
    let parser = FlowTextParser()
    let deletion = try parser.flow("delete_strict table=1,priority=5,ip,out_port=3,cookie=0x10/0xf0", command: nil).mod
    #expect(deletion.command == .deleteStrict && deletion.priority == 5 && deletion.outPort == PortNumber(3))
    #expect(deletion.cookieFilter == .init(value: 0x10, mask: 0xf0))
    #expect(try parser.flow("delete", command: nil).mod.table == FlowMod.allTables)
    #expect(try parser.flow("modify ip,actions=drop", command: nil).mod.cookie == nil)
    #expect(try parser.flow("modify cookie=3,ip,actions=drop", command: nil).mod.cookie == 3)
    #expect(try parser.flow("ip,actions=drop", command: nil).mod.command == .add)
    #expect((try? parser.flow("ip,actions=drop", command: .delete)) == nil)
    #expect((try? parser.flow("cookie=3", command: .delete)) == nil)
    #expect((try? parser.flow("priority=3", command: .delete)) == nil)
    #expect((try? parser.flow("cookie=3/1,actions=drop")) == nil)
    let filter = try parser.filter("table=5,tcp,out_group=9")
    #expect(filter.table == 5 && filter.outGroup == 9 && filter.match.value(.ipProtocol)?.value == 6)
  }

  @Test func whatTheMatchLeavesOutIsNoted() throws {
    let flow = try FlowTextParser().flow("tcp_dst=80,actions=drop")
    #expect(flow.mod.match == Match())
    #expect(flow.notes == ["normalization changed ofp_match, details: pre: tp_dst=80 post: "])
    #expect(try FlowTextParser().flow("tcp,tcp_dst=80,actions=drop").notes.isEmpty)
  }

  @Test func versionsThatLackAnActionAreSaid() throws {
    #expect(try FlowTextParser().flow("actions=mod_nw_dst:1.2.3.4").versions == VersionSet([.v10]))
    #expect(try FlowTextParser().flow("actions=push_vlan:0x8100").versions.contains(VersionSet([.v10])) == false)
    let refused = error13("actions=dec_ttl")
    #expect(refused?.position == 8 && refused?.cause == "dec_ttl needs an IPv4 or IPv6 packet")
  }

  private func error13(_ text: String) -> FlowTextError? {
    do throws(FlowTextError) {
      _ = try FlowTextParser(versions: VersionSet([.v13])).flow(text)
      return nil
    } catch { return error }
  }

  @Test func filesNameTheLineOfAnError() throws {
    let parser = FlowTextParser()
    let flows = try parser.flows(file: "# all\n\nip,actions=1 # one\r\ndelete tcp\n", command: nil)
    #expect(flows.map(\.mod.command) == [.add, .delete])
    do throws(FlowFileError) {
      _ = try parser.flows(file: "ip,actions=1\n\n  bogus=1,actions=2\n")
      Issue.record("accepted")
    } catch {
      #expect(error.lineNumber == 3 && error.error.position == 2)
      #expect(error.caret == "  bogus=1,actions=2\n  ^")
    }
  }

  @Test func bundlesMixFlowsGroupsAndPackets() throws {
    let entries = try FlowTextParser().bundle(
      file: """
        flow add ip,actions=1
        flow delete tcp
        group add group_id=1,type=all,bucket=1
        group delete group_id=all
        packet-out in_port=1,packet=ffffffffffff0200000000010800,actions=2
        """)
    #expect(entries.count == 5)
    guard case .packetOut(let packet) = entries[4] else {
      Issue.record("no packet")
      return
    }
    #expect(packet.inPort == PortNumber(1) && packet.data.count == 14 && packet.actions.count == 1)
    #expect((try? FlowTextParser().bundle(file: "meter meter=1")) == nil)
  }

  /// Every print of a random flow is read as the same change.
  @Test(arguments: testSeeds(8))
  func whatIsPrintedIsReadAsTheSame(seed: UInt64) throws {
    var generator = FlowGenerator(seed: seed)
    let parser = FlowTextParser()
    var compared = 0
    for _ in 0..<300 {
      let text = generator.flow()
      guard let flow = try? parser.flow(text) else { continue }
      for version in OpenFlowVersion.allCases where flow.versions.contains(VersionSet([version])) && version != .v10 {
        let printed = FlowPrinter(version: version, showsStatistics: generator.chance(50)).line(
          FlowStatistics(flow.mod))
        let again = try? parser.flow(printed)
        // A write to several ranges is several loads before 1.5, so that prints are compared.
        let printer = FlowPrinter(version: version)
        #expect(again.map { printer.request($0.mod) } == printer.request(flow.mod), "\(text) printed as \(printed)")
        if version == .v15 { #expect(again?.mod == flow.mod, "\(text) printed as \(printed)") }
        compared += 1
      }
    }
    #expect(compared > 300)
  }

  @Test(arguments: testSeeds(20))
  func noTextMakesTheParserTrap(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let alphabet = Array("(),:=->[].+/#\" \t0x19afAF*".utf8)
    let corpus = FlowCorpus.flows + FlowCorpus.loads + FlowCorpus.newer + GroupTests.groups
    for _ in 0..<300 {
      var bytes = Array((corpus.randomElement(using: &random) ?? "").utf8)
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        let at = Int.random(in: 0...bytes.count, using: &random)
        switch Int.random(in: 0..<5, using: &random) {
        case 0: bytes.insert(alphabet.randomElement(using: &random) ?? 0, at: at)
        case 1 where at < bytes.count: bytes.remove(at: at)
        case 2 where at < bytes.count: bytes[at] = UInt8.random(in: 0...255, using: &random)
        case 3:
          let other = Array((corpus.randomElement(using: &random) ?? "").utf8)
          bytes.insert(contentsOf: other.prefix(Int.random(in: 0...other.count, using: &random)), at: at)
        default: bytes.removeLast(bytes.count - at)
        }
      }
      FlowTextFuzz.run(bytes)
    }
  }

  @Test func deeplyNestedActionsAreRefused() {
    let text = "actions=" + String(repeating: "clone(", count: 10_000) + String(repeating: ")", count: 10_000)
    #expect(error(text)?.cause == "actions are nested too deep")
  }
}
