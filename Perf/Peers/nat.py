#!/usr/bin/env python3
"""Source address translation: this switch beside Open vSwitch and the kernel's nftables, on this machine, in one run.

  tcp       one TCP stream through a translated connection, hosts' offloads as good as each can: this switch and Open vSwitch
            (user space, netdev) between taps, the kernel's router with masquerade between veths
  memory    resident memory of this switch before and with a million connections (UDP, one datagram each), bytes for one

Between guests by vhost-user the harness of vswitch_peers.py measures. Root; needs what compare.py needs, and ovs-ofctl.
VSWITCH_BINDIR names the directory of vswitchd and vsctl.

  nat.py [--rounds 3] [--seconds 3] [--only tcp,memory]
"""
import argparse
import os
import re
import shutil
import statistics
import sys
import tempfile
import time

import compare
from compare import NAMES, run

OUTSIDE = "10.99.0.254"
# As ovs-actions(7) has it: whatever is sent from port 1 gets another source address, and its answers the old one back.
FLOWS = f"""priority=10,arp,actions=NORMAL
priority=10,in_port=1,ip,actions=ct(commit,zone=1,nat(src={OUTSIDE})),2
priority=10,in_port=2,ip,actions=ct(zone=1,nat,table=1)
table=1,priority=10,ct_state=+trk+est,ip,actions=1
"""


class Translating:
    """Mixed into a switch that flows program."""

    def target(self):
        raise NotImplementedError

    def connect(self):
        super().connect()
        for number, role in enumerate("ab", 1):
            self.vsctl("set", "interface", f"if{role}", f"ofport_request={number}")
        self.load(FLOWS)

    def load(self, flows):
        path = f"{compare.work}/nat-flows"
        with open(path, "w") as file:
            file.write(flows)
        run("ovs-ofctl", "-O", "OpenFlow13", "del-flows", self.target())
        run("ovs-ofctl", "-O", "OpenFlow13", "add-flows", self.target(), path)

    def meet(self):
        # Nobody answers for the translated address: the other host is told where it is.
        mac = compare.inside("a", "cat", "/sys/class/net/ifa/address").strip()
        run("ip", "-n", NAMES["b"], "neighbour", "replace", OUTSIDE, "lladdr", mac, "dev", "ifb")
        super().meet()


class VSwitch(Translating, compare.VSwitch):
    def target(self):
        return f"unix:{compare.work}/run/br0.mgmt"


class OpenVSwitch(Translating, compare.OpenVSwitch):
    def target(self):
        return f"unix:{compare.work}/ovs/br0.mgmt"


class NFTables(compare.Switch):
    """The kernel's router, which masquerades; the hosts are in two networks."""

    def connect(self):
        self.veths()
        compare.inside("sw", "sysctl", "-qw", "net.ipv4.ip_forward=1")
        run("ip", "-n", NAMES["sw"], "address", "add", "10.98.0.254/24", "dev", "pa")
        run("ip", "-n", NAMES["sw"], "address", "add", f"{OUTSIDE}/24", "dev", "pb")
        compare.inside(
            "sw", "nft", "add table ip nat; add chain ip nat out { type nat hook postrouting priority 100; };"
            " add rule ip nat out oifname \"pb\" masquerade")

    def hosts_up(self):
        for role, address in (("a", "10.98.0.1"), ("b", compare.ADDRESS["b"])):
            run("ip", "-n", NAMES[role], "address", "add", f"{address}/24", "dev", f"if{role}")
            run("ip", "-n", NAMES[role], "link", "set", "dev", f"if{role}", "up")
        run("ip", "-n", NAMES["a"], "route", "add", "default", "via", "10.98.0.254")
        if not compare.until(lambda: "1 received" in compare.inside(
                "a", "ping", "-c", "1", "-W", "1", compare.ADDRESS["b"], check=False), 10):
            raise RuntimeError("the hosts do not reach each other")


TCP = {"vswitch-tap": VSwitch, "ovs-tap": OpenVSwitch, "nftables-veth": NFTables}
LIMITS = [("vswitch-tap", "ovs-tap", 10), ("vswitch-tap", "nftables-veth", 0.8)]


def memory(count):
    """Resident bytes of the daemon for each of so many connections, and how many there were."""
    switch = VSwitch("off")
    try:
        switch.start()

        def resident():
            with open(f"/proc/{switch.main_process()}/status") as status:
                return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1)) * 1024

        def tracked():
            return int(re.search(r'"connections": *(\d+)', switch.vsctl("--json", "conntrack", "stats")).group(1))
        before = resident()
        # An address has a port for 64,512 connections to one destination; a port of the switch may have three quarters of the table.
        switch.load("".join(f"in_port={n},ip,actions=ct(commit,zone={n},nat(src=10.99.{n}.1-10.99.{n}.32)),{3 - n}\n" for n in (1, 2)))
        for role, other in ("ab", "ba"):
            mac = compare.inside(other, "cat", f"/sys/class/net/if{other}/address").strip()
            run("ip", "netns", "exec", NAMES[role], f"{compare.work}/udp_flows", f"if{role}", mac, str(count // 2), "6", timeout=60)
        return before, resident(), tracked()
    finally:
        switch.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--only", default="tcp,memory")
    options = parser.parse_args()
    if os.getuid():
        sys.exit("nat.py needs root: it makes network namespaces")
    compare.work = tempfile.mkdtemp(prefix="vswp-")
    rates = {}
    try:
        if "tcp" in options.only:
            for number in range(options.rounds):
                for name, kind in TCP.items():
                    if kind is OpenVSwitch and not os.path.exists(kind.program):
                        continue
                    try:
                        rate = compare.tcp(kind, options.seconds)["tcp"]
                    except (RuntimeError, OSError) as error:  # one switch's fault is a gap in the table
                        print(f"# {name}: {error}", file=sys.stderr)
                        continue
                    rates.setdefault(name, []).append(rate)
                    print(f"# round {number + 1} {name} {rate:.2f}", file=sys.stderr, flush=True)
        if "memory" in options.only:
            run("cc", "-O2", "-o", f"{compare.work}/udp_flows", f"{compare.HERE}/udp_flows.c")
            before, after, connections = memory(1 << 20)
            print(f"\n{connections} connections: {after >> 20} MiB resident, {before >> 20} without them,"
                  f" {(after - before) / max(connections, 1):.0f} bytes for each")
            holds = connections >= 1_000_000 and after - before < 400_000_000
            print(f"a million in under 400 MB: {'holds' if holds else 'DOES NOT HOLD'}")
    finally:
        for name in NAMES.values():
            run("ip", "netns", "delete", name, check=False)
        shutil.rmtree(compare.work, ignore_errors=True)
    middle = {name: statistics.median(values) for name, values in rates.items()}
    if middle:
        print(f"\nTCP through a translated connection (Gbit/s), {options.rounds} rounds")
    for name, value in middle.items():
        print(f"  {name:22}{value:10.2f}   {min(rates[name]):.2f} to {max(rates[name]):.2f}")
    for name, peer, limit in LIMITS:
        if name in middle and peer in middle:
            ratio = middle[name] / middle[peer]
            print(f"{name} / {peer} = {ratio:.2f}  (at least {limit}: {'holds' if ratio >= limit else 'DOES NOT HOLD'})")


if __name__ == "__main__":
    main()
