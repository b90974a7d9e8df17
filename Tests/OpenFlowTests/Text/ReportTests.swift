// Lines of dump-… commands, as recorded of ovs-ofctl 3.1 (flows: FlowOracleTests).

import Testing
import VSwitchCore

@testable import OpenFlow

@Suite struct ReportTests {
  private func flow(_ text: String) throws -> FlowStatistics {
    var flow = FlowStatistics(try FlowTextParser().flow(text).mod)
    flow.duration = ElapsedTime(seconds: 0, nanoseconds: 23_000_000)
    flow.idleAgeSeconds = 0
    flow.hardAgeSeconds = 0
    return flow
  }

  @Test func flowsAsInDumpFlows() throws {
    var arp = try flow("priority=6,arp,actions=FLOOD")
    #expect(
      FlowPrinter(version: .v10).line(arp)
        == "cookie=0x0, duration=0.023s, table=0, n_packets=0, n_bytes=0, idle_age=0, priority=6,arp actions=FLOOD")
    #expect(FlowPrinter(version: .v15, showsStatistics: false).line(arp) == "priority=6,arp actions=FLOOD")
    arp.hardAgeSeconds = 4
    #expect(FlowPrinter(version: .v10).line(arp).contains("idle_age=0, hard_age=4, "))
    var web = try flow(
      "table=3,cookie=0x12,priority=7,idle_timeout=30,send_flow_rem,check_overlap,tcp,vlan_tci=0x1000/0x1000,"
        + "nw_src=10.0.0.0/8,tp_dst=80,actions=meter:1,dec_ttl,mod_nw_dst:10.1.1.1,goto_table:4")
    web.idleAgeSeconds = nil
    #expect(
      FlowPrinter(version: .v13).line(web)
        == "cookie=0x12, duration=0.023s, table=3, n_packets=0, n_bytes=0, idle_timeout=30, send_flow_rem check_overlap "
        + "priority=7,tcp,vlan_tci=0x1000/0x1000,nw_src=10.0.0.0/8,tp_dst=80 "
        + "actions=meter:1,dec_ttl,set_field:10.1.1.1->ip_dst,goto_table:4")
    web.flags = []
    #expect(
      FlowPrinter(version: .v10).line(web).hasSuffix(
        "tp_dst=80 actions=dec_ttl,mod_nw_dst:10.1.1.1,resubmit(,4)"))
    var last = FlowStatistics()
    last.priority = 0
    last.flags = .resetCounts
    last.duration = ElapsedTime(seconds: 0, nanoseconds: 11_999_999)
    #expect(
      FlowPrinter(version: .v13).line(last)
        == "cookie=0x0, duration=0.011s, table=0, n_packets=0, n_bytes=0, reset_counts priority=0 actions=drop")
  }

  @Test func flowsAsInDiffFlows() throws {
    #expect(
      FlowPrinter(version: .v10).difference(try flow("priority=1,ip,actions=drop")) == "priority=1,ip actions=drop")
    #expect(
      FlowPrinter(version: .v10).difference(
        try flow("table=3,cookie=0x12,priority=7,idle_timeout=30,send_flow_rem,tcp,actions=dec_ttl,resubmit(,4)"))
        == "table=3 priority=7,tcp cookie=0x12 idle_timeout=30 actions=dec_ttl,resubmit(,4)")
  }

  @Test func portsAsInDumpPorts() {
    var port = PortStatistics(port: PortNumber(1))
    (port.rxPackets, port.rxBytes, port.rxDropped, port.rxErrors) = (12, 936, 0, 0)
    (port.txPackets, port.txBytes, port.txDropped, port.txErrors, port.collisions) = (20, 840, 3, 0, 0)
    (port.rxFrameErrors, port.rxOverErrors) = (0, 0)
    port.duration = ElapsedTime(seconds: 455, nanoseconds: 849_000_000)
    #expect(
      PortReport(version: .v13).text(port) == """
          port  1: rx pkts=12, bytes=936, drop=0, errs=0, frame=0, over=0, crc=?
                   tx pkts=20, bytes=840, drop=3, errs=0, coll=0
                   duration=455.849s
        """)
    #expect(PortReport(version: .v10).text(PortStatistics(port: .local)).hasPrefix("  port LOCAL: rx pkts=?"))
    let named = PortReport(names: NumberNames(ports: [PortNumber(1): "veth0.1"]), version: .v10)
    #expect(named.text(PortStatistics(port: PortNumber(1))).hasPrefix("  port  \"veth0.1\": rx pkts=?"))
  }

  @Test func portsAsInShow() {
    var port = PortDescription(number: PortNumber(1), hardwareAddress: MACAddress(bits: 0xa2b0_8200_c8d1), name: "p2")
    port.configuration = [.down, .noFlood]
    port.state = .linkDown
    port.current = [.fullDuplex10Gb, .copper]
    #expect(
      PortReport(version: .v10).text(port) == """
         1(p2): addr:a2:b0:82:00:c8:d1
             config:     PORT_DOWN NO_FLOOD
             state:      LINK_DOWN
             current:    10GB-FD COPPER
             speed: 10000 Mbps now, 0 Mbps max
        """)
  }

  @Test func theSwitchAsInShow() {
    var features = SwitchFeatures(
      datapathID: 0xca41_58ea_d54a, tableCount: 254,
      capabilities: [.flowStatistics, .tableStatistics, .portStatistics, .queueStatistics, .arpMatchIP])
    features.actions = 0xfff
    #expect(
      SwitchReport(version: .v10).text(features) == """
        dpid:0000ca4158ead54a
        n_tables:254, n_buffers:0
        capabilities: FLOW_STATS TABLE_STATS PORT_STATS QUEUE_STATS ARP_MATCH_IP
        actions: output enqueue set_vlan_vid set_vlan_pcp strip_vlan mod_dl_src mod_dl_dst mod_nw_src mod_nw_dst mod_nw_tos mod_tp_src mod_tp_dst
        """)
    #expect(SwitchReport(version: .v13).text(SwitchConfiguration()) == "frags=normal miss_send_len=0")
  }

  @Test func tablesThatAreAlikeStandTogether() {
    var tables = (0..<254).map { TableCounters(table: UInt8($0)) }
    (tables[0].activeCount, tables[0].lookupCount, tables[0].matchedCount) = (2, 12, 1)
    #expect(
      SwitchReport(version: .v13).text(tables) == """
          table 0:
            active=2, lookup=12, matched=1

          table 1:
            active=0, lookup=0, matched=0

          tables 2...253: ditto

        """)
    for index in tables.indices { tables[index].maximumEntries = 1_000_000 }
    #expect(
      SwitchReport(version: .v10).text(tables) == """
          table 0:
            active=2, lookup=12, matched=1
            max_entries=1000000
            matching:
              exact match or wildcard: in_port eth_{src,dst,type} vlan_{vid,pcp} ip_{src,dst} nw_{proto,tos} tcp_{src,dst}

          table 1:
            active=0, lookup=0, matched=0
            (same features)

          tables 2...253: ditto

        """)
  }

  @Test func groupsAndMetersAsInTheirStatistics() {
    var group = GroupCounters(group: 5)
    group.duration = ElapsedTime(seconds: 1, nanoseconds: 303_000_000)
    group.buckets = [.init(packetCount: 0, byteCount: 0)]
    #expect(
      GroupPrinter.text(group)
        == "group_id=5,duration=1.303s,ref_count=0,packet_count=0,byte_count=0,bucket0:packet_count=0,byte_count=0")
    var meter = MeterCounters(meter: 1)
    meter.duration = ElapsedTime(seconds: 0, nanoseconds: 38_000_000)
    meter.bands = [.init(packetCount: 0, byteCount: 0)]
    #expect(
      MeterPrinter.text(meter)
        == "meter:1 flow_count:0 packet_in_count:0 byte_in_count:0 duration:0.038s bands:\n0: packet_count:0 byte_count:0"
    )
    var features = MeterFeatures()
    (features.maximumMeters, features.bandKinds, features.capabilities, features.maximumBands) = (262144, 2, 15, 8)
    #expect(
      SwitchReport(version: .v13).text(features)
        == "max_meter:262144 max_bands:8 max_color:0\nband_types: drop\ncapabilities: kbps pktps burst stats")
  }
}
