// What vsctl and ovs-ofctl are compared by: every command on flow tables that both have, with its options. BR stands for the
// bridge, @NAME for a file, "< NAME" for standard input.

enum FlowScript {
  static let files: [String: String] = [
    "flows": """
    # a comment
    priority=10,ip,nw_dst=10.0.0.0/8,actions=output:1   # another
    table=1,priority=3,tcp,tp_dst=80,actions=set_field:10.1.1.1->ip_dst,output:2

    priority=6,arp,actions=flood
    cookie=0x12,idle_timeout=300,in_port=1,udp actions=resubmit(,1)
    """,
    "changes": """
    add table=2,priority=9,udp,actions=output:1
    modify table=2,udp,actions=output:2
    delete_strict table=2,priority=9,udp
    add table=2,priority=8,icmp,actions=drop
    """,
    "other": "priority=10,ip,nw_dst=10.0.0.0/8,actions=output:2\npriority=77,dl_vlan=5,actions=pop_vlan,output:1\n",
    "refused": "priority=1,actions=output:1\npriority=2,actions=group:99\n",
    "misspelt": "priority=1,actions=output:1\npriority=2,actions=nosuch:1\n",
    "groups": "group_id=8,type=all,bucket=actions=output:1\ngroup_id=9,type=indirect,bucket=actions=output:2\n",
    "bundle": """
    group add group_id=30,type=all,bucket=actions=output:1
    flow add table=30,priority=5,ip,actions=group:30
    flow table=30,priority=6,arp,actions=output:2
    group modify group_id=30,type=indirect,bucket=actions=output:2
    flow delete_strict table=30,priority=6,arp
    """,
    "refusedbundle": "group add group_id=31,type=all,bucket=actions=1\nflow add table=30,actions=group:99\n",
    "empty": "# nothing\n",
  ]

  /// Without options of versions.
  static let lines: [String] = [
    "dump-flows BR", "del-flows BR", "dump-flows BR", "dump-aggregate BR",
    "add-flow BR ip,nw_dst=10.0.0.1,actions=output:1", "add-flow BR in_port=p1,actions=p2", "add-flow BR - < flows",
    "add-flow BR table=1,reg0=1,actions=load:1->NXM_NX_REG1[],resubmit(,2)",
    "add-flow BR table=3,tcp,vlan_tci=0x1000/0x1000,nw_src=10.0.0.0/8,actions=dec_ttl,mod_nw_dst:10.1.1.1",
    "add-flow BR table=4,ipv6,ipv6_dst=2001:db8::/32,actions=push_vlan:0x8100,mod_vlan_vid:7,in_port",
    "add-flow BR table=4,mpls,mpls_label=5,actions=pop_mpls:0x0800,controller(max_len=128,id=5)",
    "add-flow BR table=5,arp,arp_op=1,actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],note:00.11.00.00.00.00",
    "add-flow BR table=5,actions=learn(table=9,hard_timeout=60,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])",
    "add-flow BR table=6,icmp6,icmpv6_type=135,nd_target=fe80::1,actions=all",
    "add-flow BR table=6,priority=5,conj_id=7,actions=normal",
    "add-flow BR table=6,priority=4,ip,nw_src=10.0.0.1,actions=conjunction(7,1/2)",
    "add-flow BR table=7,send_flow_rem,check_overlap,hard_timeout=100,sctp,tp_src=1/0xfff0,actions=goto_table:8",
    "add-flow BR table=7,metadata=0x5/0xf,tcp,tcp_flags=+syn-ack,actions=multipath(symmetric_l4,1024,modulo_n,2,0,NXM_NX_REG1[0..7])",
    "add-flow BR table=7,ip,nw_frag=later,nw_ttl=64,nw_tos=32,actions=bundle(eth_src,0,hrw,ofport,slaves:1,2),bundle(symmetric_l3l4,60,active_backup,ofport,slaves:1,2)",
    "add-flow BR table=8,dl_src=02:00:00:00:00:01,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,actions=clone(dec_ttl,output:1),push:NXM_NX_REG0[],pop:NXM_NX_REG1[],exit",
    "add-flow BR table=8,priority=1,ip,actions=check_pkt_larger(100)->NXM_NX_REG0[0],output:NXM_NX_REG2[],sample(probability=1,collector_set_id=1,obs_domain_id=0,obs_point_id=0)",
    "dump-flows BR", "dump-flows BR ip", "dump-flows BR table=1", "dump-flows BR table=4,ipv6",
    "dump-flows BR cookie=0x12/-1",
    "dump-flows BR out_port=p2", "dump-flows BR out_port=1", "dump-flows BR nosuch=1", "dump-flows BR table=300",
    "dump-flows BR priority=5", "--no-stats dump-flows BR", "--names dump-flows BR", "--no-names dump-flows BR",
    "--names --no-stats dump-flows BR table=0", "--sort dump-flows BR", "--sort=in_port dump-flows BR",
    "--rsort=nw_src dump-flows BR", "--rsort --sort=table dump-flows BR", "--rsort --no-stats dump-flows BR",
    "dump-aggregate BR", "dump-aggregate BR table=1", "dump-aggregate BR ip,nw_dst=10.0.0.0/8", "dump-tables BR",
    "add-flows BR @flows", "add-flows BR - < changes", "add-flows BR @changes", "--bundle add-flows BR @flows",
    "--bundle add-flow BR udp,actions=2", "add-flows BR @empty", "add-flows BR @nosuchfile", "add-flows BR @misspelt",
    "--no-stats dump-flows BR", "--bundle add-flows BR @refused", "--no-stats dump-flows BR",
    "mod-flows BR udp,actions=output:2", "mod-flows BR table=1,actions=drop",
    "mod-flows BR cookie=0x12/-1,actions=local",
    "--strict mod-flows BR priority=6,arp,actions=1", "--strict mod-flows BR priority=5,arp,actions=2",
    "mod-flows BR cookie=5,ip,actions=3", "mod-flows BR dl_type=0x1234,actions=2", "--no-stats dump-flows BR",
    "del-flows BR table=3", "del-flows BR out_port=2,table=7", "--strict del-flows BR table=6,priority=5,conj_id=7",
    "--strict del-flows BR table=6,ip", "del-flows BR cookie=0x12/0xff", "del-flows BR ip,actions=drop",
    "del-flows BR cookie=3", "del-flows BR - < other", "--no-stats dump-flows BR", "del-flows BR icmp,nw_src=1.2.3.4/8",
    "replace-flows BR @flows", "--no-stats dump-flows BR", "replace-flows BR @flows", "diff-flows BR @flows",
    "diff-flows @flows BR", "diff-flows BR @other", "diff-flows @other BR", "diff-flows @flows @other",
    "diff-flows @flows @flows", "replace-flows BR @other", "diff-flows BR @flows", "--bundle replace-flows BR @flows",
    "--names diff-flows BR @other", "replace-flows BR @misspelt", "replace-flows BR @refused",
    "replace-flows BR - < other",
    "--no-stats dump-flows BR",
    "add-group BR group_id=1,type=select,bucket=weight:1,actions=1,bucket=weight:2,actions=2",
    "add-group BR group_id=1,type=all,bucket=actions=1",
    "add-group BR group_id=2,type=ff,bucket=watch_port:1,actions=1",
    "add-group BR group_id=3,type=indirect,bucket=actions=1,bucket=actions=2", "add-group BR type=all,bucket=actions=1",
    "mod-group BR group_id=2,type=indirect,bucket=actions=p2",
    "mod-group BR group_id=77,type=indirect,bucket=actions=2",
    "--may-create mod-group BR group_id=77,type=indirect,bucket=actions=set_field:5->reg0,2", "add-groups BR @groups",
    "add-group BR group_id=5,type=select,selection_method=hash,fields(ip_src,tcp_dst),bucket=bucket_id:3,actions=1,bucket=bucket_id:9,weight:0,actions=2",
    "dump-groups BR", "dump-groups BR 2", "--names dump-groups BR", "dump-groups BR 55",
    "dump-group-stats BR", "dump-group-stats BR group_id=2", "dump-group-features BR",
    "insert-buckets BR group_id=1,command_bucket_id=last,bucket=bucket_id:7,actions=1",
    "insert-buckets BR group_id=1,command_bucket_id=first,bucket=bucket_id:7,actions=1",
    "remove-buckets BR group_id=1,command_bucket_id=7", "remove-buckets BR group_id=1,command_bucket_id=all",
    "insert-buckets BR group_id=1,bucket=actions=1", "dump-groups BR", "add-flow BR table=20,actions=group:2",
    "dump-flows BR table=20", "del-groups BR group_id=2", "dump-flows BR table=20",
    "del-groups BR group_id=1", "dump-groups BR", "add-groups BR - < groups", "del-groups BR", "dump-groups BR",
    "add-meter BR meter=1,kbps,band=type=drop,rate=1000",
    "add-meter BR meter=2,pktps,burst,stats,band=type=drop,rate=100,burst_size=50",
    "add-meter BR meter=1,kbps,band=type=drop,rate=1",
    "add-meter BR meter=3,band=type=drop,rate=1",
    "mod-meter BR meter=1,pktps,burst,stats,band=type=drop,rate=100,burst_size=50",
    "mod-meter BR meter=9,kbps,band=type=drop,rate=1", "dump-meters BR", "dump-meters BR meter=1", "meter-stats BR",
    "meter-stats BR meter=2", "meter-features BR", "add-flow BR table=21,actions=meter:1,output:1",
    "dump-flows BR table=21",
    "meter-stats BR", "del-meters BR meter=1", "dump-flows BR table=21", "dump-meters BR", "del-meters BR",
    "dump-meters BR",
    "add-flow BR table=21,ip,actions=write_metadata:5/7,goto_table:22", "dump-flows BR table=21",
    "add-flow BR table=22,ip,actions=write_actions(output:1),clear_actions",
    "add-flow BR table=22,tcp,actions=clear_actions,write_actions(dec_ttl,output:2)",
    "dump-flows BR table=22",
    "dump-desc BR", "queue-stats BR", "queue-stats BR p1", "queue-stats BR ALL", "queue-stats BR p1 ALL",
    "queue-stats BR nosuch", "queue-get-config BR", "queue-get-config BR p1", "queue-get-config BR ANY",
    "queue-get-config BR nosuch", "-O OpenFlow14 dump-table-desc BR", "-O OpenFlow14 mod-table BR 3 evict",
    "-O OpenFlow14 mod-table BR 3 vacancy:20,80", "-O OpenFlow15 mod-table BR 4 vacancy:0,100",
    "-O OpenFlow15 dump-table-desc BR", "-O OpenFlow14 mod-table BR 3 novacancy",
    "-O OpenFlow15 mod-table BR 3 noevict",
    "-O OpenFlow14 dump-table-desc BR", "-O OpenFlow14 mod-table BR 3 nosuch",
    "-O OpenFlow14 mod-table BR 3 vacancy:9,5",
    "-O OpenFlow13 mod-table BR 3 evict", "bundle BR @bundle", "dump-groups BR", "dump-flows BR table=30",
    "bundle BR @refusedbundle", "dump-groups BR", "dump-flows BR table=30", "bundle BR @misspelt",
    "bundle BR @nosuchfile",
    "del-groups BR", "dump-ports BR", "dump-ports BR p1", "dump-ports BR 2", "dump-ports BR LOCAL",
    "dump-ports BR nosuch",
    "--names dump-ports BR",
    "dump-ports-desc BR", "dump-ports-desc BR p1", "get-frags BR", "set-frags BR normal", "set-frags BR nosuch",
    "mod-port BR nosuch up", "mod-port BR p1 nosuch",
    "packet-out BR in_port=1,packet=ffffffffffff0200000000010806000108000604000102000000000100000000000000000000c0a80001,actions=2",
    "packet-out BR 1 2 ffffffffffff0200000000010806000108000604000102000000000100000000000000000000c0a80001",
    "packet-out BR packet=00,actions=2", "packet-out BR in_port=1,actions=2",
    "packet-out BR in_port=1,packet=zz,actions=2",
    "packet-out BR in_port=controller,packet=ffffffffffff0200000000010806000108000604000102000000000100000000000000000000c0a80001,actions=group:7",
    "add-flow BR actions=nosuch", "add-flow BR ip", "add-flow BR tp_dst=80,actions=drop",
    "add-flow BR priority=70000,actions=drop",
    "add-flow BR nosuch,actions=drop", "add-flow BR in_port=nosuch,actions=drop", "add-flow BR table=255,actions=drop",
    "add-flow BR actions=output:nosuch", "add-flow BR ip,nw_src=10.0.0.0.1,actions=drop", "add-flow BR",
    "add-flow nosuchbridge actions=drop", "mod-flows BR ip", "del-flows BR ip,nosuch=1",
  ]
}
