#!/usr/bin/env python3
"""Records what the installed ovs-ofctl sends: a line "version|command|message in hexadecimal" for each message of each command below.
   record.py > ovs-ofctl.txt        (Debian's openvswitch-common; the committed file was made with 3.1.0)
A small server plays the switch: it answers hello, features, port and table questions and barriers, and nothing else."""
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading

pack = struct.pack
VERSIONS = {1: "OpenFlow10", 4: "OpenFlow13", 5: "OpenFlow14", 6: "OpenFlow15"}
FLOWS = [
    "actions=drop",
    "in_port=1,dl_src=00:00:00:00:00:01,dl_dst=00:00:00:00:00:02,dl_vlan=5,dl_vlan_pcp=3,ip,nw_src=10.0.0.0/8,nw_dst=10.1.2.3,nw_tos=16,actions=1,normal,flood",
    "udp,tp_src=5,tp_dst=53,actions=mod_nw_src:1.2.3.4,mod_tp_dst:7,local",
    "icmp,icmp_type=8,icmp_code=0,actions=all",
    "arp,arp_op=1,arp_spa=10.0.0.0/24,arp_tpa=10.0.0.1,arp_sha=00:00:00:00:00:01,actions=controller:65535",
    "cookie=0x12,priority=7,idle_timeout=30,hard_timeout=60,send_flow_rem,check_overlap,tcp,vlan_tci=0x1000/0x1000,actions=dec_ttl,in_port",
    "icmp6,icmp_type=135,icmp_code=0,nd_target=2001:db8::1,nd_sll=00:00:00:00:00:05,ipv6_src=2001:db8::/32,ipv6_label=4,actions=2",
    "reg0=5/0xf,reg15=1,xreg1=7,xxreg3=4,pkt_mark=4,ct_state=+trk+new-est,ct_zone=4,ct_mark=5/7,ct_label=9,metadata=7/15,actions=load:7->NXM_NX_REG1[0..3],move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],resubmit(,2),resubmit:3,resubmit(4,5)",
    "conj_id=3,tun_id=5,tun_src=1.2.3.4,tun_dst=4.3.2.1/24,actions=set_tunnel:5,set_tunnel64:0x123456789abcdef,set_queue:3,pop_queue",
    "actions=conjunction(7,1/3)",
    "actions=learn(table=9,idle_timeout=3,hard_timeout=4,fin_idle_timeout=5,fin_hard_timeout=6,priority=7,cookie=8,send_flow_rem,delete_learned,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],reg3=5,load:NXM_OF_IN_PORT[]->NXM_NX_REG1[0..15],output:NXM_OF_IN_PORT[])",
    "actions=learn(table=9,limit=5,result_dst=NXM_NX_REG0[3],NXM_OF_VLAN_TCI[0..11],load:0x1234->NXM_NX_REG2[])",
    "actions=note:00.11.22,exit,clone(1,2),push:NXM_NX_REG0[3..9],pop:NXM_NX_REG1[0..31],ct_clear",
    "ip,actions=ct(commit,force,zone=NXM_NX_REG0[0..15],table=4,nat(src=10.0.0.1-10.0.0.9:1-9,persistent,hash),exec(set_field:1->ct_mark))",
    "tcp,actions=ct(table=1,zone=5,nat),ct(commit,alg=ftp)",
    "ipv6,actions=ct(commit,nat(dst=[fc00::1]-[fc00::9]))",
    "actions=multipath(symmetric_l3l4+udp,50,hrw,8,3,NXM_NX_REG2[0..15])",
    "actions=bundle(eth_src,50,hrw,ofport,slaves:4,8),bundle_load(symmetric_l4,60,active_backup,ofport,NXM_NX_REG0[],slaves:4,8)",
    "actions=output:NXM_NX_REG1[0..15],output(port=1,max_len=100),check_pkt_larger(1500)->NXM_NX_REG0[3]",
    "actions=controller(reason=no_match,max_len=128,id=5),controller(userdata=01.02.03,pause,meter_id=4)",
    "actions=sample(probability=7,collector_set_id=1,obs_domain_id=2,obs_point_id=3,sampling_port=4,egress),sample(probability=7,collector_set_id=1),sample(probability=9,collector_set_id=1,sampling_port=4)",
    "tcp,actions=fin_timeout(idle_timeout=5,hard_timeout=6),dec_ttl(1,2)",
    "mpls,mpls_label=5,mpls_tc=3,mpls_bos=1,actions=set_mpls_ttl(5),dec_mpls_ttl,pop_mpls:0x0800",
    "actions=push_mpls:0x8847,set_field:5->mpls_label,group:7",
    "tcp,tcp_flags=+syn-ack,actions=enqueue:1:3",
]
LATER = [
    "table=3,tcp,actions=meter:1,set_field:10.1.1.1->ip_dst,write_actions(2),write_metadata:5/7,goto_table:4",
    "actions=push_vlan:0x8100,set_field:4101->vlan_vid,clear_actions",
    "dl_vlan=5,actions=pop_vlan,set_field:00:00:00:00:00:07->eth_dst",
    "actset_output=2,actions=set_field:0x12/0xff->reg0",
]
COMMANDS = (
    [["add-flow", "@", flow] for flow in FLOWS]
    + [
        ["mod-flows", "@", "cookie=0x5/0xff,ip,actions=2"], ["--strict", "mod-flows", "@", "priority=5,ip,actions=3"],
        ["del-flows", "@"], ["del-flows", "@", "cookie=1/3,table=5,out_port=3,ip"], ["--strict", "del-flows", "@", "priority=3,ip"],
        ["dump-flows", "@", "cookie=1/3,table=5,out_port=3,ip"], ["dump-aggregate", "@"], ["dump-ports", "@"], ["dump-ports", "@", "3"],
        ["dump-ports-desc", "@"], ["queue-stats", "@", "1", "2"], ["dump-tables", "@"], ["dump-desc", "@"], ["show", "@"],
        ["add-group", "@", "group_id=1,type=select,bucket=weight:5,actions=output:1,bucket=actions=2"],
        ["add-group", "@", "group_id=2,type=ff,bucket=watch_port:1,actions=1,bucket=watch_group:3,actions=2"],
        ["mod-group", "@", "group_id=2,type=indirect,bucket=actions=2"], ["del-groups", "@"], ["del-groups", "@", "group_id=4"],
        ["dump-groups", "@"], ["dump-group-stats", "@"], ["dump-group-features", "@"],
        ["packet-out", "@", "in_port=3,packet=ffffffffffff0200000000010806,actions=2,controller"],
        ["dump-tlv-map", "@"], ["add-tlv-map", "@", "{class=0x102,type=1,len=4}->tun_metadata0"], ["ct-flush-zone", "@", "5"], ["ct-flush", "@"],
        ["ct-flush", "@", "zone=5", "ct_nw_src=10.1.1.1,ct_nw_dst=10.1.1.2,ct_nw_proto=17,ct_tp_src=1"],
        ["ct-flush", "@", "ct_nw_src=10.1.1.1,ct_nw_proto=1,icmp_type=8,icmp_code=0,icmp_id=10"],
        ["ct-flush", "@", "ct_ipv6_src=fc00::1,ct_nw_proto=6,ct_tp_dst=2", "ct_ipv6_dst=fc00::2"],
        ["monitor", "@", "watch:!initial,table=3,out_port=4"], ["monitor", "@", "128"], ["dump-ipfix-bridge", "@"],
    ]
)
FROM13 = (
    [["add-flow", "@", flow] for flow in LATER]
    + [
        ["add-meter", "@", "meter=1,kbps,burst,stats,band=type=drop,rate=1000,burst_size=50"], ["mod-meter", "@", "meter=1,pktps,band=type=drop,rate=7"],
        ["del-meters", "@"], ["del-meter", "@", "meter=3"], ["dump-meters", "@"], ["dump-meter", "@", "meter=3"], ["meter-stats", "@"], ["meter-features", "@"],
        ["dump-table-features", "@"], ["--bundle", "add-flow", "@", "ip,actions=2"],
    ]
)
FROM14 = [["dump-table-desc", "@"], ["queue-get-config", "@", "1"]]
ONLY15 = [
    ["add-group", "@", "group_id=1,type=select,selection_method=hash,selection_method_param=7,fields(ip_src=255.255.255.0,tcp_src),bucket=bucket_id:4,weight:5,watch_group:3,actions=output:1"],
    ["add-group", "@", "group_id=1,type=select,selection_method=dp_hash,bucket=bucket_id:4,actions=output:1"],
    ["insert-buckets", "@", "group_id=1,command_bucket_id=first,bucket=bucket_id:4,weight:3,actions=output:1"], ["remove-buckets", "@", "group_id=1,command_bucket_id=7"],
    ["remove-buckets", "@", "group_id=1,command_bucket_id=all"],
]


def table_features(version):
    def prop(kind, data=b""):
        size = 4 + len(data)
        return pack(">HH", kind, size) + data + bytes(-size % 8)
    action = pack(">HH4x", 0, 8) if version == 4 else pack(">HH", 0, 4)
    properties = b"".join([
        prop(0, b"".join(pack(">HH", i, 4) for i in range(1, 6))), prop(2, b"\1"), prop(4, action), prop(6, action), prop(8, bytes.fromhex("80000004")),
        prop(10), prop(12), prop(14)])
    return pack(">HB5x32sQQII", 64 + len(properties), 0, b"", 0, 0, 0, 100) + properties


class Switch:
    def __init__(self, version):
        self.version, self.messages = version, []
        self.path = tempfile.mktemp(prefix="ofrec")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(8)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                peer = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    def serve(self, peer):
        stream = peer.makefile("rb")
        peer.sendall(pack(">BBHI", self.version, 0, 8, 1))
        while header := stream.read(8):
            version, kind, length, xid = struct.unpack(">BBHI", header)
            message = header + stream.read(length - 8)
            self.messages.append(message)
            def answer(kind, body=b""):
                peer.sendall(pack(">BBHI", version, kind, 8 + len(body), xid) + body)
            first = version == 1
            try:
                if kind == 5:
                    answer(6, pack(">QIB3xII", 1, 0, 254, 0xC7, 0xFFF) if first else pack(">QIBB2xII", 1, 0, 254, 0, 0x4F, 0))
                elif kind == (16 if first else 18):
                    part = struct.unpack(">H", message[8:10])[0]
                    body = table_features(version) if part == 12 else b""
                    answer(kind + 1, pack(">HH" if first else ">HH4x", part, 0) + body)
                elif kind == (18 if first else 20):
                    answer(kind + 1)
                elif kind == 4 and message[8:12] == b"ONF\0" or kind == 33:
                    body = bytearray(message[8:])
                    body[-3] += 1
                    answer(kind, bytes(body))
            except OSError:
                return

    def close(self):
        self.listener.close()
        os.unlink(self.path)


def main():
    for version, name in VERSIONS.items():
        seen = set()
        commands = COMMANDS + (FROM13 if version > 1 else []) + (FROM14 if version > 4 else []) + (ONLY15 if version == 6 else [])
        for command in commands:
            switch = Switch(version)
            try:
                subprocess.run(["ovs-ofctl", "-O", name] + [word.replace("@", "unix:" + switch.path) for word in command], capture_output=True, timeout=1.5)
            except subprocess.TimeoutExpired:
                pass
            switch.close()
            text = " ".join(command)
            for message in switch.messages:
                # The same questions come before every command; the xid differs.
                key = message[:4] + message[8:]
                if key not in seen:
                    seen.add(key)
                    print(f"{version}|{text}|{message.hex()}")
                    sys.stdout.flush()


main()
