#!/usr/bin/env python3
"""Flow tables beside Open vSwitch (datapath_type=netdev), on this machine, in one run.

  flows.py [--rounds 1] [--count 100000] [--only load,million,miss,exact,churn,miss-guests,exact-guests]

  load     rules added by ovs-ofctl plain and --bundle, and all deleted: processor time of the switch and resident memory a rule
  million  a million rules loaded by this switch alone, and packets that meet them
  miss     new flows a second, ten tables deep, by packets that each are a flow of their own
  exact    packets a second through an ACL to exact five-tuples, a rule for each of as many flows
  churn    packets a second while FlowMods come into a table that the packets do not visit, to those without
  …-guests the same by vhost-user between two guests, both switches spinning, Open vSwitch with DPDK: see vhost_user.py

Else ports are taps in namespaces. Packets come from udp_flows.c as fast as the tap takes them; the switch has a processor of its
own, where there are two. Root; needs ovs-ofctl and a C compiler. VSWITCH_BINDIR names the directory of vswitchd and vsctl.
"""
import argparse
import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import compare
from compare import NAMES, run, until

PROTOCOLS = "OpenFlow10,OpenFlow13,OpenFlow14,OpenFlow15"


class Flows:
    """What both switches have in common: a target for ovs-ofctl, a process."""

    def ofctl(self, *arguments, timeout=600):
        env = dict(os.environ, OVS_RUNDIR=self.run_directory())
        return run("ip", "netns", "exec", NAMES["sw"], "taskset", "-c", "0", "ovs-ofctl", "-O", "OpenFlow15",
                   *arguments, timeout=timeout, env=env)

    def cpu(self):
        """Processor seconds so far."""
        with open(f"/proc/{self.main_process()}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self, which="VmRSS"):
        """Resident bytes."""
        with open(f"/proc/{self.main_process()}/status") as file:
            return int(re.search(which + r":\s+(\d+)", file.read()).group(1)) * 1024

    def missed(self):
        """Packets so far that no cached flow was found for."""
        return int(re.search(r"missed:(\d+)", run("ovs-appctl", "-t", self.control(), "dpif/show")).group(1))

    def ports(self):
        """OpenFlow numbers of the ports to hosts a and b."""
        text = self.ofctl("show", "br0")
        return [int(re.search(rf"(\d+)\(if{role}\)", text).group(1)) for role in "ab"]


class VSwitch(Flows, compare.VSwitch):
    name = "vswitch"

    def run_directory(self):
        return f"{compare.work}/run"

    def control(self):
        return f"{compare.work}/run/vswitchd.{self.main_process()}.ctl"


class OpenVSwitch(Flows, compare.OpenVSwitch):
    name = "Open vSwitch"

    def run_directory(self):
        return f"{compare.work}/ovs"

    def control(self):
        return f"{compare.work}/ovs/sw.ctl"

    def connect(self):
        super().connect()
        self.vsctl("set", "bridge", "br0", f"protocols={PROTOCOLS}")


class VSwitchAlone(VSwitch):
    """Without hosts: what is measured is the control world."""

    def hosts_up(self):
        pass


class OpenVSwitchAlone(OpenVSwitch):
    def hosts_up(self):
        pass


def five_tuple(number):
    """The number's connection: source address and port, destination, as udp_flows.c and vhost_guests.c send it."""
    return f"10.1.{number >> 8 & 15}.{number & 255}", 1024 + (number >> 12), "10.2.0.1", 9


def rule_file(count, table=0, port=2, goto=None):
    path = f"{compare.work}/rules-{count}-{table}-{port}"
    if not os.path.exists(path):
        with open(path, "w") as file:
            for number in range(count):
                source, source_port, destination, destination_port = five_tuple(number)
                file.write(f"table={table},priority=100,udp,nw_src={source},nw_dst={destination},tp_src={source_port},"
                           f"tp_dst={destination_port},actions=output:{port}\n")
    return path


# ---- what is measured: each returns {figure: value} --------------------------------------------------------------

def load(kinds, count):
    figures = {}
    for mode in ("plain", "bundle"):
        switch = kinds[0]()
        try:
            switch.start()
            switch.ofctl("del-flows", "br0")
            time.sleep(0.5)
            rules = rule_file(count)
            memory, cpu, began = switch.memory(), switch.cpu(), time.monotonic()
            switch.ofctl(*(["--bundle"] if mode == "bundle" else []), "add-flows", "br0", rules)
            figures[f"{mode}-seconds"] = time.monotonic() - began
            time.sleep(1)
            figures[f"{mode}-cpu"] = (switch.cpu() - cpu) / count * 1e6
            figures[f"{mode}-memory"] = (switch.memory() - memory) / count
            figures[f"{mode}-peak"] = (switch.memory("VmHWM") - memory) / count
            loaded = int(re.search(r"flow_count=(\d+)", switch.ofctl("dump-aggregate", "br0")).group(1))
            if loaded != count:
                raise RuntimeError(f"{loaded} of {count} rules were loaded")
            if mode == "plain":
                cpu, began = switch.cpu(), time.monotonic()
                switch.ofctl("del-flows", "br0")
                figures["delete-seconds"] = time.monotonic() - began
                time.sleep(1)
                figures["delete-cpu"] = (switch.cpu() - cpu) / count * 1e6
        finally:
            switch.stop()
    return figures


class Traffic:
    """Packets from host a, counted where they come in at host b."""

    def __init__(self, switch, flows):
        self.switch = switch
        run("ip", "netns", "exec", NAMES["b"], "nft",
            "add table netdev count; add chain netdev count in { type filter hook ingress device \"ifb\" priority 0; };"
            " add rule netdev count in ip protocol udp udp dport 9 counter drop")
        mac = compare.inside("b", "cat", "/sys/class/net/ifb/address").strip()
        self.source = subprocess.Popen(
            ["ip", "netns", "exec", NAMES["a"], "taskset", "-c", "0", f"{compare.work}/udp_flows", "ifa", mac,
             str(flows), "60"], stdout=subprocess.DEVNULL)

    def delivered(self):
        text = compare.inside("b", "nft", "list", "table", "netdev", "count")
        return int(re.search(r"counter packets (\d+)", text).group(1))

    def rate(self, seconds):
        """Thousand packets a second, and the switch's processor microseconds for each."""
        before, cpu, began = self.delivered(), self.switch.cpu(), time.monotonic()
        time.sleep(seconds)
        after, cpu_after, ended = self.delivered(), self.switch.cpu(), time.monotonic()
        packets = max(after - before, 1)
        return packets / (ended - began) / 1e3, (cpu_after - cpu) / packets * 1e6

    def stop(self):
        self.source.kill()
        self.source.wait()


def with_traffic(kind, lines, flows, seconds, body=None):
    """Rate and cost of packets of so many flows through the rules."""
    switch = kind("off", pinned=True)
    traffic = None
    try:
        switch.start()
        entry, exit = switch.ports()
        path = f"{compare.work}/pipeline"
        with open(path, "w") as file:
            for line in lines(entry, exit):
                file.write(line + "\n")
        switch.ofctl("del-flows", "br0")
        switch.ofctl("--bundle", "add-flows", "br0", path)
        traffic = Traffic(switch, flows)
        time.sleep(2)
        return body(switch, traffic) if body else traffic.rate(seconds)
    finally:
        if traffic:
            traffic.stop()
        switch.stop()


def ten_tables(entry, exit):
    """A pipeline of ten tables that each ask for another field."""
    fields = ["dl_src=02:00:00:00:{0:02x}:01", "dl_dst=02:00:00:00:{0:02x}:02", "ip,nw_src=172.16.{0}.0/24",
              "ip,nw_dst=172.17.{0}.0/24", "ip,nw_tos={1}", "udp,tp_src={0}", "udp,tp_dst=1{0}", "in_port=1{0}",
              "ip,nw_ttl={0}", "tcp,tp_dst={0}"]
    for table, field in enumerate(fields):
        for value in range(1, 31):
            yield f"table={table},priority=100,{field.format(value, value * 4)},actions=drop"
        yield f"table={table},priority=1,actions=" + (f"goto_table:{table + 1}" if table < 9 else f"output:{exit}")


def all_new(entry, exit):
    """Ten tables; each of 4,096 addresses and 4,096 ports has a rule that only sends on, so that each of sixteen million flows is
    decided by rules that look at all bits of both, and no cached flow of either switch holds for another one."""
    yield from ten_tables(entry, exit)
    for number in range(4096):
        yield f"table=2,priority=150,ip,nw_src={five_tuple(number)[0]},actions=goto_table:3"
        yield f"table=5,priority=150,udp,tp_src={five_tuple(number << 12)[1]},actions=goto_table:6"


def miss(kind, _):
    def body(switch, traffic):
        missed, packets = switch.missed(), traffic.delivered()
        rate, cost = traffic.rate(4)
        share = (switch.missed() - missed) / max(traffic.delivered() - packets, 1)
        return {"miss-kpps": rate * min(share, 1), "miss-cpu": cost, "miss-share": share}
    return with_traffic(kind, all_new, 1 << 24, 4, body)


def behind_an_acl(count):
    def lines(entry, exit):
        for number in range(64):
            yield f"table=0,priority={200 - number},ip,nw_src=192.168.{number}.0/24,actions=drop"
            yield f"table=0,priority={100 - number},udp,tp_dst={2000 + number},actions=drop"
        yield "table=0,priority=1,actions=goto_table:1"
        for number in range(count):
            source, source_port, destination, destination_port = five_tuple(number)
            yield (f"table=1,priority=100,udp,nw_src={source},nw_dst={destination},tp_src={source_port},"
                   f"tp_dst={destination_port},actions=output:{exit}")
    return lines


def exact(kind, count):
    rate, cost = with_traffic(kind, behind_an_acl(count), count, 4)
    return {"exact-kpps": rate, "exact-cpu": cost}


def between_guests(kind, lines, flows):
    """Million packets a second of so many flows through the rules, from one guest to another, and the share that missed."""
    import vhost_user  # needs DPDK
    name = "vswitch" if kind is VSwitch else "ovs"

    class WithRules(vhost_user.SWITCHES[name]):
        def start(self):
            super().start()
            run_directory = self.work / ("run" if name == "vswitch" else "ovs")
            binaries = os.environ.get("VSWITCH_BINDIR", "")
            tool = ([os.path.join(binaries, "vsctl"), "--run-dir", run_directory] if name == "vswitch" else
                    ["ovs-vsctl", f"--db=unix:{run_directory}/db.sock", "--timeout=20"])
            run(*map(str, tool), "--no-wait", *" -- ".join(
                f"set interface v{n} ofport_request={n + 1}" for n in (0, 1)).split(), "--", "set", "bridge", "br0",
                f"protocols={PROTOCOLS}")
            path = f"{compare.work}/pipeline"
            with open(path, "w") as file:
                for line in lines(1, 2):
                    file.write(line + "\n")
            self.ofctl = lambda *arguments: run(
                "ovs-ofctl", "-O", "OpenFlow15", *arguments, timeout=600, env=dict(os.environ, OVS_RUNDIR=str(run_directory)))
            until(lambda: (run_directory / "br0.mgmt").exists(), 5)
            self.ofctl("del-flows", "br0")
            self.ofctl("--bundle", "add-flows", "br0", path)

        def stop(self):
            try:
                control = (f"{self.work}/run/vswitchd.{self.processes[0].pid}.ctl" if name == "vswitch" else
                           f"{self.work}/ovs/switch.ctl")
                text = run("ovs-appctl", "-t", control, "dpif/show")
                hit, missed = map(int, re.search(r"hit:(\d+) missed:(\d+)", text).groups())
                # Of all packets, those that the guests' warming up is made of, too.
                figures["share"] = missed / max(hit + missed, 1)
            finally:
                super().stop()

    figures = {}
    work = pathlib.Path(tempfile.mkdtemp(prefix="vswitch-vhost-"))
    before = vhost_user.HUGE_PAGES.read_text()
    vhost_user.HUGE_PAGES.write_text("1200")
    vhost_user.SWITCHES["measured"] = WithRules
    vhost_user.CASES["measured"] = (f"-f 60 -n {flows}", "mpps", "")
    try:
        program = vhost_user.build_guests(work)
        figures["mpps"] = vhost_user.measure("measured", "measured", work, program, 2)["mpps"]
    finally:
        vhost_user.HUGE_PAGES.write_text(before)
        subprocess.run(["rm", "-rf", work])
    return figures


def miss_guests(kind, _):
    figures = between_guests(kind, all_new, 1 << 24)
    return {"miss-guests-mpps": figures["mpps"] * figures["share"], "miss-guests-share": figures["share"]}


def exact_guests(kind, count):
    figures = between_guests(kind, behind_an_acl(count), count)
    return {"exact-guests-mpps": figures["mpps"], "exact-guests-share": figures["share"]}


def churn(kind, _):
    """A thousand FlowMods a second into table 200."""
    def lines(entry, exit):
        yield f"table=0,priority=1,actions=output:{exit}"

    def body(switch, traffic):
        def beside(target):
            process = subprocess.Popen(
                ["ip", "netns", "exec", NAMES["sw"], "taskset", "-c", "0", sys.executable,
                 f"{compare.HERE}/flow_mods.py", target, "1000", "4"])
            time.sleep(0.5)
            rate = traffic.rate(2.5)
            if process.wait() != 0:
                raise RuntimeError("FlowMods were refused or late")
            return rate

        ratios = []
        for _ in range(4):
            # The source of packets shares a processor with what sends FlowMods: so that runs in both cases.
            quiet = beside("-")
            busy = beside(f"{switch.run_directory()}/br0.mgmt")
            ratios.append((busy[0] / quiet[0], busy[1] / quiet[1]))
        return {"churn-rate": statistics.median(r[0] for r in ratios), "churn-cpu": statistics.median(r[1] for r in ratios)}
    return with_traffic(kind, lines, 1, 0, body)


def million(kind, _):
    count = 1_000_000
    switch = kind("off", pinned=True)
    traffic = None
    try:
        switch.start()
        _, exit = switch.ports()
        switch.ofctl("del-flows", "br0")
        memory, cpu = switch.memory(), switch.cpu()
        switch.ofctl("--bundle", "add-flows", "br0", rule_file(count, port=exit), timeout=900)
        figures = {"million-cpu": (switch.cpu() - cpu) / count * 1e6,
                   "million-memory": (switch.memory() - memory) / count}
        traffic = Traffic(switch, count)
        time.sleep(2)
        figures["million-kpps"] = traffic.rate(4)[0]
        return figures
    finally:
        if traffic:
            traffic.stop()
        switch.stop()


MEASUREMENTS = {"load": load, "million": million, "miss": miss, "exact": exact, "churn": churn, "miss-guests": miss_guests,
                "exact-guests": exact_guests}
# Figure, what it is, its unit, what the ratio to Open vSwitch has to be: at least, or (negative) at most; None: no ratio.
FIGURES = [
    ("bundle-cpu", "add-flows --bundle, switch's time a rule", "µs", -1 / 3),
    ("plain-cpu", "add-flows, switch's time a rule", "µs", -1 / 5),
    ("bundle-seconds", "add-flows --bundle, all", "s", None), ("plain-seconds", "add-flows, all", "s", None),
    ("plain-memory", "memory a rule", "B", -1 / 3), ("bundle-memory", "memory a rule, bundle", "B", -1 / 3),
    ("plain-peak", "peak memory a rule", "B", -1 / 3), ("bundle-peak", "peak memory a rule, bundle", "B", -1 / 3),
    ("delete-cpu", "del-flows, switch's time a rule", "µs", -1), ("delete-seconds", "del-flows, all", "s", -1),
    ("million-cpu", "a million rules, switch's time a rule", "µs", None),
    ("million-memory", "a million rules, memory a rule", "B", None),
    ("million-kpps", "packets that meet a million rules", "kpps", None),
    ("miss-kpps", "new flows, ten tables deep", "k/s", 5), ("miss-cpu", "new flow, switch's time", "µs", -1 / 5),
    ("miss-share", "share of packets that are new flows", "", None),
    ("miss-guests-mpps", "new flows, ten tables deep, guests", "M/s", 5),
    ("miss-guests-share", "share of packets that are new flows", "", None),
    ("exact-guests-mpps", "exact five-tuples behind an ACL, guests", "Mpps", 10),
    ("exact-guests-share", "share of packets that are new flows", "", None),
    ("exact-kpps", "exact five-tuples behind an ACL", "kpps", 10),
    ("exact-cpu", "exact five-tuples, switch's time a packet", "µs", -1 / 10),
    ("churn-rate", "rate with 1,000 FlowMods/s to that without", "", None),
    ("churn-cpu", "time a packet with them to that without", "", None),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--only", default="load,miss,exact,churn")
    parser.add_argument("--without-peer", action="store_true", help="this switch alone")
    options = parser.parse_args()
    compare.work = tempfile.mkdtemp(prefix="vswp-")
    results = {}
    try:
        run("cc", "-O2", "-o", f"{compare.work}/udp_flows", f"{compare.HERE}/udp_flows.c")
        for _ in range(options.rounds):
            for what in options.only.split(","):
                kinds = (VSwitchAlone, OpenVSwitchAlone) if what == "load" else (VSwitch, OpenVSwitch)
                for kind in kinds:
                    if kind.name != "vswitch" and (
                            what == "million" or options.without_peer or not os.path.exists(compare.OVS)):
                        continue
                    try:
                        figures = MEASUREMENTS[what]([kind] if what == "load" else kind, options.count)
                    except Exception as error:  # one switch's fault is a gap in the table
                        print(f"# {kind.name} {what}: {error}", file=sys.stderr)
                        continue
                    for figure, value in figures.items():
                        results.setdefault(figure, {}).setdefault(kind.name, []).append(value)
                        print(f"# {kind.name} {figure} {value:.3f}", file=sys.stderr, flush=True)
    finally:
        for name in NAMES.values():
            run("ip", "netns", "delete", name, check=False)
        subprocess.run(["rm", "-rf", compare.work])
    print(f"{'':48}{'vswitch':>10}{'Open vSwitch':>14}{'ratio':>8}")
    for figure, title, unit, wanted in FIGURES:
        values = results.get(figure)
        if not values or "vswitch" not in values:
            continue
        mine = statistics.median(values["vswitch"])
        line = f"{title + (' (' + unit + ')' if unit else ''):48}{mine:>10.2f}"
        if "Open vSwitch" in values:
            peer = statistics.median(values["Open vSwitch"])
            ratio = mine / peer if peer else float("inf")
            line += f"{peer:>14.2f}{ratio:>8.2f}"
            if wanted is not None:
                holds = ratio >= wanted if wanted > 0 else ratio <= -wanted
                line += f"  {'at least' if wanted > 0 else 'at most'} {abs(wanted):.2f}" + ("" if holds else ": not reached")
        print(line)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    main()
