// Groups and meters as text.

import TestSupport
import Testing
import VSwitchCore

@testable import OpenFlow

@Suite struct GroupTests {
  static let groups = [
    "group_id=1,type=select,bucket=weight:1,actions=1,bucket=weight:2,actions=2",
    "group_id=2,type=ff,bucket=watch_port:1,watch_group:3,actions=1,bucket=watch_group:4,output:2",
    "group_id=3,type=select,selection_method=hash,fields(ip_src,ip_dst=255.255.0.0,tcp_src=0xff),selection_method_param=5,"
      + "bucket=bucket_id:7,weight=5,output:1,set_field:1->reg0",
    "group_id=3,type=select,selection_method=dp_hash,bucket=bucket_id:7,actions=drop", "group_id=4,type=all",
    "group_id=5,type=indirect,bucket=actions=1,2,group:3",
    "group_id=3,type=select,selection_method=hash,fields=ip_src,bucket=output:1",
    "group_id=3,type=select,selection_method=hash,bucket=output:1", "group_id=9,type=select,bucket=weight:0,actions=1",
    "group_id=9,type=all,bucket=weight:3,actions=1", "group_id=9,type=fast_failover,bucket=actions=1",
    "group_id=9,bucket=1", "type=all,bucket=1", "group_id=9,type=all,bucket=resubmit(,3)",
    "group_id=4294967041,type=all", "group_id=3,type=select,selection_method=hash,fields=eth(src),bucket=output:1",
    "group_id=9,type=all,bucket=output:1,weight:3,output:2", "group_id=9,type=all,bucket= ",
    "group_id=9,type=all,bucket=watch_port:p1,1", "group_id=9 type=all bucket=output:1 bucket=output:2",
    "group_id=9,type=all,bucket=actions=set_field:00:01:02:03:04:05->eth_src,output:1", "group_id=1,type=foo",
    "group_id=x,type=all", "group_id=1,type=all,foo=1", "group_id=4294967040,type=all,bucket=drop",
  ]

  @Test(
    .enabled(if: OpenVSwitchOracle.isAvailable, "ovs-ofctl is not installed"),
    arguments: [OpenFlowVersion.v10, .v13, .v15])
  func groupsAreUnderstoodAndPrintedAsByOpenVSwitch(version: OpenFlowVersion) throws {
    for text in Self.groups {
      let ours = (try? FlowTextParser().group(text)).map { GroupPrinter(version: version).request($0) }
      #expect(try OpenVSwitchOracle.group(text, version) == ours, "\(text)")
    }
  }

  @Test func whatIsPrintedOfAGroupIsReadAsTheSame() throws {
    for text in Self.groups {
      guard var group = try? FlowTextParser().group(text).group else { continue }
      for index in group.buckets.indices { group.buckets[index].id = group.buckets[index].id ?? UInt32(index) }
      #expect(try FlowTextParser().group(GroupPrinter().text(group)).group == group)
    }
  }

  @Test func bucketsAreInsertedAndRemovedByCommand() throws {
    let parser = FlowTextParser()
    let insert = try parser.group(
      "insert_bucket group_id=1,command_bucket_id=last,bucket=bucket_id:7,actions=1", command: nil)
    #expect(insert.command == .insertBuckets(at: .last) && insert.group.buckets.first?.id == 7)
    #expect(
      try parser.group("group_id=1,command_bucket_id=7", command: .removeBuckets).command == .removeBuckets(.id(7)))
    #expect(try parser.group("", command: .delete).group.id == GroupMod.allGroups)
    #expect((try? parser.group("group_id=1,bucket=1", command: .insertBuckets)) == nil)
    #expect((try? parser.group("group_id=1,type=all", command: .delete)) == nil)
  }

  /// As recorded of Open vSwitch 3.1.
  @Test func metersAreReadAndPrinted() throws {
    let parser = FlowTextParser()
    let text = "meter=1 pktps burst stats bands=\ntype=drop rate=100 burst_size=50"
    let meter = try parser.meter("meter=1,pktps,burst,stats,band=type=drop,rate=100,burst_size=50").meter
    #expect(MeterPrinter.text(meter) == text)
    #expect(try parser.meter(text).meter == meter)
    let two = try parser.meter("meter=5 kbps bands=type=drop rate=10,type=dscp_remark rate=5 prec_level=1").meter
    #expect(two.bands.map(\.kind) == [.drop, .dscpRemark(precedenceLevel: 1)])
    #expect(try parser.meter("", command: .delete).meter.id == MeterMod.allMeters)
    #expect(try parser.meter("meter=all", command: .delete).meter.id == MeterMod.allMeters)
    for wrong in [
      "kbps,band=type=drop,rate=1", "meter=1,kbps", "meter=1,kbps,band=type=foo,rate=1",
      "meter=0,kbps,band=type=drop,rate=1",
      "meter=1,kbps,band=type=drop", "meter=1,kbps,pktps,band=type=drop,rate=1", "meter=1,kbps,band=rate=1",
      "meter=1,band=type=drop,rate=1", "meter=1,kbps,band=type=drop,rate=1,burst_size=2",
    ] { #expect((try? parser.meter(wrong)) == nil, "\(wrong)") }
  }
}
