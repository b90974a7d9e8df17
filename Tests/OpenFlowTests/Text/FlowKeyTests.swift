// Keys of packets as text.

import TestSupport
import Testing
import VSwitchCore

@testable import OpenFlow

@Suite struct FlowKeyTests {
  private let parser = FlowTextParser()

  @Test(arguments: [
    (
      "in_port=1,icmp,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=64,icmp_type=8",
      "icmp,in_port=1,vlan_tci=0x0000,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,nw_src=10.0.0.1,nw_dst=10.0.0.2,"
        + "nw_tos=0,nw_ecn=0,nw_ttl=64,nw_frag=no,icmp_type=8,icmp_code=0"
    ),
    (
      "in_port=2,tcp6,ipv6_src=fe80::1,tcp_dst=80,tcp_flags=syn,dl_vlan=5,reg0=7",
      "tcp6,reg0=0x7,in_port=2,dl_vlan=5,dl_vlan_pcp=0,vlan_tci1=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,ipv6_src=fe80::1,"
        + "ipv6_dst=::,ipv6_label=0x00000,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no,tp_src=0,tp_dst=80,tcp_flags=syn"
    ),
    (
      "in_port=1,icmp6,icmpv6_type=135,nd_target=fe80::1",
      "icmp6,in_port=1,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,ipv6_src=::,ipv6_dst=::,"
        + "ipv6_label=0x00000,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no,icmp_type=135,icmp_code=0,nd_target=fe80::1,"
        + "nd_sll=00:00:00:00:00:00"
    ),
    (
      "arp,arp_op=1,arp_spa=10.0.0.1",
      "arp,in_port=ANY,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,arp_spa=10.0.0.1,"
        + "arp_tpa=0.0.0.0,arp_op=1,arp_sha=00:00:00:00:00:00,arp_tha=00:00:00:00:00:00"
    ),
  ])
  func keysArePrintedAsOpenVSwitchPrintsFlows(text: String, printed: String) throws {
    let key = try parser.key(text)
    #expect(FlowKeyPrinter().text(key) == printed)
    #expect(try parser.key(printed.replacing(#/vlan_tci1?=0x0000,/#, with: "")) == key)
  }

  @Test(arguments: [
    ("udp_dst=53", "udp"), ("tcp_src=1,ipv6_dst=::1", "tcp6"), ("nw_dst=1.2.3.4", "ip"), ("arp_tpa=1.2.3.4", "arp"),
    ("icmp_type=8", "icmp"), ("icmpv6_type=128", "icmp6"), ("nd_target=fe80::1", "icmp6"), ("mpls_label=3", "mpls"),
    ("sctp_dst=3,dl_type=0x86dd", "sctp6"), ("nw_src=1.2.3.4,tcp_dst=80", "tcp"),
  ])
  func protocolsThatFieldsImplyNeedNotBeSaid(text: String, name: String) throws {
    #expect(FlowKeyPrinter().text(try parser.key(text)).hasPrefix(name + ","))
  }

  @Test(arguments: [
    "nw_dst=10.0.0.0/8", "tcp,udp_dst=5,tcp_dst=4,arp_op=1", "ip,ipv6_src=::1", "reg0=1,reg0=2", "foo=1", "tcp_dst=",
    "tcp_dst=*", "arp,tcp_dst=80", "actions=drop",
  ])
  func whatIsNoPacketIsRefused(text: String) { #expect((try? parser.key(text)) == nil) }

  @Test func aTaggedKeyHasItsTagsType() throws {
    #expect(try parser.key("dl_vlan=5").vlanType == 0x8100)
    #expect(try parser.key("in_port=1").vlanType == 0)
  }

  @Test func megaflowsArePrintedWithWhatTheyLookedAt() throws {
    let key = try parser.key("in_port=1,tcp,nw_dst=10.1.2.3,tcp_dst=80,dl_vlan=5")
    var mask = FlowMask()
    for field: Field in [.inPort, .recirculationID, .etherType, .ipFragment, .vlanTCI] { mask[field] = field.fullMask }
    mask[.ipv4Destination] = 0xffff_0000
    #expect(
      FlowKeyPrinter().text(key, mask: mask)
        == "recirc_id=0,eth,ip,in_port=1,dl_vlan=5,dl_vlan_pcp=0,nw_dst=10.1.0.0/16,nw_frag=no")
    #expect(
      DatapathFlowPrinter().text(key, mask: mask)
        == "recirc_id(0),in_port(1),eth_type(0x8100),vlan(vid=5,pcp=0),encap(eth_type(0x0800),"
        + "ipv4(dst=10.1.0.0/255.255.0.0,frag=no))")
  }

  @Test func wholeKeysInTheFormOfDatapaths() throws {
    let key = try parser.key(
      "in_port=1,icmp,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=64,icmp_type=8"
    )
    #expect(
      DatapathFlowPrinter().text(key, mask: FlowMask(fieldsOf: key))
        == "recirc_id(0),in_port(1),eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02),eth_type(0x0800),"
        + "ipv4(src=10.0.0.1,dst=10.0.0.2,proto=1,tos=0,ttl=64,frag=no),icmp(type=8,code=0)")
    let tcp = try parser.key(
      "in_port=LOCAL,tcp6,ipv6_src=fe80::1,tcp_flags=syn|ack,ct_state=trk|est,tun_id=5,tun_dst=1.2.3.4")
    #expect(
      DatapathFlowPrinter().text(tcp, mask: FlowMask(fieldsOf: tcp))
        == "tunnel(tun_id=0x5,dst=1.2.3.4),ct_state(est|trk),recirc_id(0),in_port(LOCAL),eth(src=00:00:00:00:00:00,"
        + "dst=00:00:00:00:00:00),eth_type(0x86dd),ipv6(src=fe80::1,dst=::,label=0,proto=6,tclass=0,hlimit=0,frag=no),"
        + "tcp(src=0,dst=0),tcp_flags(syn|ack)")
  }
}
