// A trace tells what translation does, why nothing happens, and what to do about it.

import Foundation
import ReferenceSwitch
import Testing
import VSwitchCore

struct TraceTests {
  private func trace(_ change: (inout ReferencePipeline) -> Void, _ byteCount: Int? = nil) throws -> Trace {
    var pipeline = ReferencePipeline()
    for number in UInt32(1)...4 { pipeline.ports[number] = [.exists, .isLive] }
    change(&pipeline)
    var packet = PipelinePacket()
    packet.ethernetSource = 0x0200_0000_0001
    packet.ethernetDestination = 0x0200_0000_0002
    packet.etherType = 0x0800
    packet.contentType = 0x0800
    packet.content.ipv4Source = 0x0a00_0001
    packet.content.ipTTL = 64
    var key = packet.key
    key.inPort = 1
    let reader = try LinearReader(pipeline)
    var options = TraceOptions(bridge: "br0", match: { reader.match($0) })
    options.byteCount = byteCount
    return PacketTranslation.trace(reader, key: key, version: 1, options: options)
  }

  private func rule(
    _ table: UInt8, _ match: Match = Match(), _ apply: [Action], goto: UInt8? = nil
  ) -> ReferencePipelineRule {
    var instructions = Instructions(apply: apply)
    instructions.gotoTable = goto
    return ReferencePipelineRule(table: table, priority: 5, match: match, cookie: 0, instructions: instructions)
  }

  private func output(_ number: UInt32) -> Action { .output(PortNumber(number), maximumByteCount: 0) }

  @Test func theTreeFollowsTablesAndActions() throws {
    var match = Match()
    match.set(.etherType, 0x0800)
    match.set(.ipv4Source, 0x0a00_0000, mask: 0xff00_0000)
    let trace = try trace {
      $0.rules = [
        rule(0, Match(), [.resubmit(port: nil, table: 7, withConntrackTuple: false), output(1)], goto: 1),
        rule(1, match, [.setField(.ethernetSource, value: 5, mask: 0xffff_ffff_ffff), output(2)]),
      ]
    }
    #expect(
      trace.description == """
        Flow: in_port=1,eth_src=02:00:00:00:00:01,eth_dst=02:00:00:00:00:02,eth_type=0x800,ip_src=10.0.0.1,nw_ttl=64

        bridge("br0")
        -------------
         0. priority 5
            resubmit(,7)
             7. No match.
            output:1
             >> port 1 is where the packet came in: not sent back (use in_port)
            goto_table:1
             1. eth_type=0x800,ip_src=10.0.0.0/0xff000000, priority 5
                set_field:00:00:00:00:00:05->eth_src
                output:2

        Final flow: in_port=1,eth_src=00:00:00:00:00:05,eth_dst=02:00:00:00:00:02,eth_type=0x800,ip_src=10.0.0.1,nw_ttl=64
        Megaflow: in_port=1,recirc_id=0,eth_type=0x800,ip_src=10.0.0.0/0xff000000,ip_frag=0
        Result:
            leaves port 2 (set_field:00:00:00:00:00:05->eth_src)
        """)
    #expect(try JSONDecoder().decode(Trace.self, from: JSONEncoder().encode(trace)) == trace)
  }

  @Test func everyDropIsExplainedWithACommand() throws {
    let miss = try trace { _ in }
    #expect(miss.outcome.drop == "table_miss")
    #expect(
      miss.outcome.remedy == "vsctl add-flow br0 \"table=0,priority=1,in_port=1,eth_type=0x800,actions=output:PORT\"")
    let drops = try trace { $0.rules = [rule(0, Match(), [])] }
    #expect(drops.outcome.drop == "rule_drops")
    #expect(drops.outcome.remedy == "vsctl add-flow br0 \"table=0,priority=5,actions=output:PORT\"")
    let down = try trace {
      $0.rules = [rule(0, Match(), [output(2)])]
      $0.ports[2] = [.exists, .isDown]
    }
    #expect(down.outcome.drop == "port_down")
    #expect(down.outcome.remedy == "vsctl mod-port br0 2 up")
    let noPort = try trace { $0.rules = [rule(0, Match(), [output(99)])] }
    #expect(noPort.outcome.remedy == "vsctl add-port br0 NAME -- set Interface NAME ofport_request=99")
    let noGroup = try trace { $0.rules = [rule(0, Match(), [.group(4)])] }
    #expect(noGroup.outcome.drop == "no_such_group")
    #expect(noGroup.outcome.remedy?.contains("group_id=4") == true)
    let deaf = try trace { $0.ports[1] = [.exists, .noReceive] }
    #expect(deaf.outcome.remedy == "vsctl mod-port br0 1 receive")
    let loop = try trace { $0.rules = [rule(0, Match(), [.resubmit(port: nil, table: 0, withConntrackTuple: false)])] }
    #expect(loop.outcome.drop == "too_deep")
    #expect(loop.outcome.explanation?.isEmpty == false)
  }

  @Test func bucketsBranchesAndConnectionsAreFollowed() throws {
    var new = Match()
    new.set(.ctState, 0x21, mask: 0x21)
    var conntrack = ConntrackAction()
    conntrack.recirculationTable = 3
    let connection = try trace {
      $0.rules = [rule(0, Match(), [.conntrack(conntrack)]), rule(3, new, [output(3)])]
    }
    #expect(connection.outcome.actions == ["goes to connection tracking in zone 0", "then: leaves port 3"])
    #expect(connection.nodes.last?.kind == .comesBack)
    #expect(connection.nodes.last?.children.first?.table == 3)

    let branches = [
      rule(
        0, Match(),
        [.checkPacketLarger(byteCount: 1500, to: Subfield(.reg0, firstBit: 0, bitCount: 1) ?? Subfield(.reg0))],
        goto: 1), rule(1, Match(), [.outputField(Subfield(.reg0), maximumByteCount: 0), output(4)]),
    ]
    #expect(try trace { $0.rules = branches }.outcome.actions.count == 2)
    #expect(try trace({ $0.rules = branches }, 100).outcome.actions == ["up to 1500 bytes: leaves port 4"])

    var group = GroupDescription(id: 1, kind: .select)
    for number in UInt32(2)...3 {
      var bucket = GroupDescription.Bucket()
      bucket.actions = [output(number)]
      group.buckets.append(bucket)
    }
    let select = try trace {
      $0.groups[1] = group
      $0.rules = [rule(0, Match(), [.group(1)])]
    }
    #expect(
      select.outcome.actions == [
        "group 1 may choose bucket 0: leaves port 2", "group 1 may choose bucket 1: leaves port 3",
      ])
    #expect(select.nodes.first?.children.first?.children.map(\.text) == ["bucket 0", "bucket 1"])
  }
}
