#!/usr/bin/env python3
"""This switch beside the Linux bridge and Open vSwitch, on this machine, in one run.

Two hosts (namespaces) are joined by each switch in turn; a round measures every switch once, so that a busy moment of the
machine meets all of them. Printed are medians and the ratio of this switch to each other. Root; needs iproute2, iperf3,
ethtool, nftables and a C compiler; Open vSwitch is measured where it is installed (its default datapath in user space; with
userspace-tso-enable if openvswitch-switch-dpdk is there). VSWITCH_BINDIR names the directory of vswitchd and vsctl.

  compare.py [--rounds 3] [--seconds 3] [--only tcp,pps,rtt,start,idle] [SWITCH...]
"""
import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
NAMES = {role: f"vswp{os.getpid()}-{role}" for role in ("a", "b", "sw")}
ADDRESS = {"a": "10.99.0.1", "b": "10.99.0.2"}
OVS = "/usr/lib/openvswitch-switch/ovs-vswitchd"
OVS_DPDK = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
work = ""
switch_cpu = "1" if (os.cpu_count() or 1) > 1 else "0"


def run(*command, check=True, timeout=60, env=None):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout, env=env)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def inside(role, *command, **options):
    return run("ip", "netns", "exec", NAMES[role], *command, **options)


def until(condition, seconds, pause=0.01):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(pause)
    return False


class Switch:
    """Joins the two hosts. `offloads` says with which settings of the hosts' offloads it can work."""

    offloads = ("on", "off")
    veth = False

    def __init__(self, offload="on", pinned=False):
        self.offload = offload
        self.pin = ["taskset", "-c", switch_cpu] if pinned else []
        self.processes = []

    def spawn(self, command, log, env=None):
        with open(f"{work}/{log}", "w") as output:
            process = subprocess.Popen(
                ["ip", "netns", "exec", NAMES["sw"], *self.pin, *command], stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, env=env)
        self.processes.append(process)
        return process

    def namespaces(self):
        for name in NAMES.values():
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "dev", "lo", "up")
            run("ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")

    def veths(self):
        for role in "ab":
            run("ip", "link", "add", f"p{role}", "netns", NAMES["sw"], "type", "veth", "peer", "name", f"if{role}",
                "netns", NAMES[role])
            run("ip", "-n", NAMES["sw"], "link", "set", "dev", f"p{role}", "up")

    def hosts_up(self):
        for role in "ab":
            run("ip", "-n", NAMES[role], "address", "add", f"{ADDRESS[role]}/24", "dev", f"if{role}")
            run("ip", "-n", NAMES[role], "link", "set", "dev", f"if{role}", "up")
            if self.offload == "off":
                for feature in ("gro", "gso", "tso", "tx"):
                    inside(role, "ethtool", "-K", f"if{role}", feature, "off", check=False)
        self.meet()

    def meet(self):
        """Whoever comes first: both know each other before anything is measured."""
        if not until(lambda: subprocess.run(
                ["ip", "netns", "exec", NAMES["a"], "ping", "-c", "1", "-W", "1", ADDRESS["b"]],
                stdout=subprocess.DEVNULL).returncode == 0, 10):
            raise RuntimeError("the hosts do not reach each other")

    def start(self):
        self.namespaces()
        self.connect()
        self.hosts_up()

    def connect(self):
        raise NotImplementedError

    def main_process(self):
        return self.processes[-1].pid if self.processes else None

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for name in NAMES.values():
            run("ip", "netns", "delete", name, check=False)


class LinuxBridge(Switch):
    veth = True

    def connect(self):
        self.veths()
        run("ip", "-n", NAMES["sw"], "link", "add", "name", "br", "type", "bridge")
        run("ip", "-n", NAMES["sw"], "link", "set", "dev", "br", "up")
        for role in "ab":
            run("ip", "-n", NAMES["sw"], "link", "set", "dev", f"p{role}", "master", "br")


class VSwitch(Switch):
    settings = ()

    def programs(self):
        directory = os.environ.get("VSWITCH_BINDIR", "")
        return [os.path.join(directory, name) if directory else shutil.which(name) or name
                for name in ("vswitchd", "vsctl")]

    def vsctl(self, *command):
        return run(self.programs()[1], "--run-dir", f"{work}/run", *command)

    def connect(self):
        shutil.rmtree(f"{work}/run", ignore_errors=True)
        daemon = self.programs()[0]
        self.spawn([daemon, "--run-dir", f"{work}/run"], "vswitchd.log")
        if not until(lambda: os.path.exists(f"{work}/run/db.sock"), 10, 0.002):
            raise RuntimeError("vswitchd did not start: " + open(f"{work}/vswitchd.log").read()[-300:])
        self.vsctl("add-br", "br0", *self.settings)
        if self.veth:
            self.veths()
            self.vsctl("add-port", "br0", "pa", "--", "add-port", "br0", "pb")
        else:
            self.vsctl(*" -- ".join(
                f"add-port br0 if{r} -- set interface if{r} type=tap options:netns={NAMES[r]}" for r in "ab").split())


class VSwitchVeth(VSwitch):
    veth = True


class VSwitchBusy(VSwitch):
    settings = ("--", "set", "Open_vSwitch", ".", "other_config:busy-poll=true")


class OpenVSwitch(Switch):
    offloads = ("off",)
    program, other = OVS, ()

    def environment(self):
        return dict(os.environ, OVS_RUNDIR=f"{work}/ovs", OVS_DBDIR=f"{work}/ovs", OVS_LOGDIR=f"{work}/ovs",
                    OVS_SYSCONFDIR=f"{work}/ovs")

    def vsctl(self, *command):
        return run("ovs-vsctl", f"--db=unix:{work}/ovs/db.sock", "--timeout=20", *command, env=self.environment())

    def connect(self):
        directory = f"{work}/ovs"
        shutil.rmtree(directory, ignore_errors=True)
        os.makedirs(directory)
        run("ovsdb-tool", "create", f"{directory}/conf.db", "/usr/share/openvswitch/vswitch.ovsschema")
        self.spawn(["ovsdb-server", f"{directory}/conf.db", f"--remote=punix:{directory}/db.sock",
                    f"--unixctl={directory}/db.ctl"], "ovsdb.log", self.environment())
        if not until(lambda: os.path.exists(f"{directory}/db.sock"), 10, 0.002):
            raise RuntimeError("ovsdb-server did not start")
        self.vsctl("--no-wait", "init")
        for setting in self.other:
            self.vsctl("--no-wait", "set", "Open_vSwitch", ".", f"other_config:{setting}")
        self.spawn([self.program, f"unix:{directory}/db.sock", f"--unixctl={directory}/sw.ctl"], "ovs.log",
                   self.environment())
        self.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev")
        if self.veth:
            self.veths()
            if self.offload == "off":
                for role in "ab":
                    for feature in ("gro", "gso", "tso", "tx"):
                        inside("sw", "ethtool", "-K", f"p{role}", feature, "off", check=False)
            self.vsctl("add-port", "br0", "pa", "--", "add-port", "br0", "pb")
            return
        self.vsctl(*" -- ".join(f"add-port br0 if{r} -- set interface if{r} type=internal" for r in "ab").split())
        for role in "ab":
            run("ip", "-n", NAMES["sw"], "link", "set", "dev", f"if{role}", "netns", NAMES[role])


class OpenVSwitchVeth(OpenVSwitch):
    veth = True


class OpenVSwitchTSO(OpenVSwitch):
    offloads = ("on",)
    program, other = OVS_DPDK, ("userspace-tso-enable=true",)


class OpenVSwitchTSOVeth(OpenVSwitchTSO):
    veth = True


SWITCHES = {
    "vswitch-tap": VSwitch, "vswitch-veth": VSwitchVeth, "vswitch-tap-busypoll": VSwitchBusy, "bridge": LinuxBridge,
    "ovs-tap": OpenVSwitch, "ovs-afpacket": OpenVSwitchVeth, "ovs-tap-tso": OpenVSwitchTSO,
    "ovs-afpacket-tso": OpenVSwitchTSOVeth,
}


# ---- what is measured: each returns {figure: value} --------------------------------------------------------------

def tcp(kind, seconds):
    """One TCP stream, Gbit/s, offloads as good as the switch allows."""
    switch = kind("on" if "on" in kind.offloads else "off")
    server = None
    try:
        switch.start()
        server = subprocess.Popen(["ip", "netns", "exec", NAMES["b"], "iperf3", "-s", "-1", "-B", ADDRESS["b"]],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: ":5201" in inside("b", "ss", "-Hltn"), 5)
        report = json.loads(inside("a", "iperf3", "-J", "-c", ADDRESS["b"], "-t", str(seconds), "-O", "1",
                                   timeout=seconds + 30))
        return {"tcp": report["end"]["sum_received"]["bits_per_second"] / 1e9}
    finally:
        if server:
            server.kill()
            server.wait()
        switch.stop()


def pps(kind, seconds):
    """64-byte UDP (60 bytes without checksum), one flow, delivered packets a second / 1000; source on CPU 0."""
    switch = kind("off" if "off" in kind.offloads else "on", pinned=True)
    source = None
    try:
        switch.start()
        # Counted and dropped at the first hook of the receiving interface, so that the receiver costs little.
        run("ip", "netns", "exec", NAMES["b"], "nft",
            "add table netdev count; add chain netdev count in { type filter hook ingress device \"ifb\" priority 0; };"
            " add rule netdev count in ip protocol udp udp dport 9 counter drop")

        def delivered():
            return int(re.search(r"counter packets (\d+)", inside("b", "nft", "list", "table", "netdev", "count")).group(1))
        mac = inside("b", "cat", "/sys/class/net/ifb/address").strip()
        source = subprocess.Popen(
            ["ip", "netns", "exec", NAMES["a"], "taskset", "-c", "0", f"{work}/udp_source", "ifa", mac, ADDRESS["a"],
             ADDRESS["b"], str(seconds + 2)], stdout=subprocess.DEVNULL)
        time.sleep(0.8)
        before, began = delivered(), time.monotonic()
        time.sleep(seconds)
        after, ended = delivered(), time.monotonic()
        return {"pps": (after - before) / (ended - began) / 1e3}
    finally:
        if source:
            source.kill()
            source.wait()
        switch.stop()


def rtt(kind, seconds):
    """Ping's round trip, median in µs, at 1 ms and at 20 ms spacing."""
    switch = kind("off" if "off" in kind.offloads else "on", pinned=True)
    try:
        switch.start()
        figures = {}
        for name, interval in (("rtt-1ms", 0.001), ("rtt-20ms", 0.02)):
            count = int(max(50, min(1000, seconds / interval)))
            text = inside("a", "taskset", "-c", "0", "ping", "-n", "-c", str(count), "-i", str(interval), ADDRESS["b"],
                          timeout=60)
            figures[name] = statistics.median(float(t) * 1000 for t in re.findall(r"time=([\d.]+) ms", text))
        return figures
    finally:
        switch.stop()


def start(kind, _):
    """From the daemon's start to the first packet between hosts that are there already, four ports, ms."""
    if kind is LinuxBridge or not kind.veth:
        return {}
    switch = kind("on" if "on" in kind.offloads else "off")
    try:
        switch.start()
        for role in "cd":
            run("ip", "-n", NAMES["sw"], "link", "add", f"p{role}", "type", "veth", "peer", "name", f"q{role}")
            for link in (f"p{role}", f"q{role}"):
                run("ip", "-n", NAMES["sw"], "link", "set", "dev", link, "up")
            switch.vsctl("add-port", "br0", f"p{role}")
        daemon = switch.processes.pop()
        command = [c for c in daemon.args]
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(10)
        mac = inside("b", "cat", "/sys/class/net/ifb/address").strip()
        inside("a", "ip", "neighbour", "replace", ADDRESS["b"], "lladdr", mac, "dev", "ifa")
        own = inside("a", "cat", "/sys/class/net/ifa/address").strip()
        inside("b", "ip", "neighbour", "replace", ADDRESS["a"], "lladdr", own, "dev", "ifb")
        ping = subprocess.Popen(
            ["ip", "netns", "exec", NAMES["a"], "ping", "-n", "-i", "0.002", "-c", "2000", ADDRESS["b"]],
            stdout=subprocess.PIPE, text=True)
        time.sleep(0.2)
        began = time.monotonic()
        with open(f"{work}/again.log", "w") as log:
            again = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                     env=switch.environment() if hasattr(switch, "environment") else None)
        switch.processes.append(again)
        for line in ping.stdout:
            if "bytes from" in line:
                break
        took = (time.monotonic() - began) * 1e3
        ping.kill()
        ping.wait()
        return {"start": took}
    finally:
        switch.stop()


def idle(kind, seconds):
    """Wake-ups a second and resident MiB of the switching process, two ports, no traffic."""
    if kind in (LinuxBridge, VSwitchBusy):
        return {}
    switch = kind("on" if "on" in kind.offloads else "off")
    try:
        switch.start()
        time.sleep(3)
        pid = switch.main_process()

        def wakeups():
            counts = {}
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/status") as status:
                    counts[task] = sum(int(n) for n in re.findall(r"ctxt_switches:\s+(\d+)", status.read()))
            return counts
        before, began = wakeups(), time.monotonic()
        time.sleep(max(seconds, 5))
        # Threads that ended meanwhile take their counts along; those that stayed or came are what is left to see.
        after, took = wakeups(), time.monotonic() - began
        woken = sum(count - before.get(task, 0) for task, count in after.items())
        with open(f"/proc/{pid}/status") as status:
            resident = int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1)) / 1024
        return {"wakeups": woken / took, "rss": resident}
    finally:
        switch.stop()


MEASUREMENTS = {"tcp": tcp, "pps": pps, "rtt": rtt, "start": start, "idle": idle}
FIGURES = {
    "tcp": ("TCP, one stream", "Gbit/s"), "pps": ("64-byte UDP, one flow", "kpps"),
    "rtt-1ms": ("ping, 1 ms apart", "µs"), "rtt-20ms": ("ping, 20 ms apart", "µs"),
    "start": ("start to first packet, 4 ports", "ms"), "wakeups": ("idle wake-ups", "/s"), "rss": ("resident", "MiB"),
}
# What must hold: figure, switch, its peer, limit of the ratio (positive: at least, negative: at most).
LIMITS = [
    ("tcp", "vswitch-tap", "ovs-tap", 8), ("tcp", "vswitch-tap", "ovs-tap-tso", 1),
    ("tcp", "vswitch-veth", "ovs-afpacket", 10), ("tcp", "vswitch-veth", "ovs-afpacket-tso", 1.2),
    ("pps", "vswitch-tap", "ovs-tap", 1.7), ("pps", "vswitch-veth", "ovs-afpacket", 1.4),
    ("rtt-1ms", "vswitch-tap", "ovs-tap", -0.85), ("rtt-20ms", "vswitch-tap", "ovs-tap", -0.85),
    ("rtt-1ms", "vswitch-tap-busypoll", "bridge", -1.3), ("start", "vswitch-veth", "ovs-afpacket", -0.5),
]


def main():
    global work
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("switches", nargs="*", metavar="SWITCH", help=" ".join(SWITCHES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--only", default=",".join(MEASUREMENTS))
    options = parser.parse_args()
    if os.getuid():
        sys.exit("compare.py needs root: it makes network namespaces")
    chosen = options.switches or list(SWITCHES)
    for name in chosen:
        if name not in SWITCHES:
            sys.exit(f"no such switch: {name}; there are {' '.join(SWITCHES)}")
    chosen = [name for name in chosen if not name.startswith("ovs") or os.path.exists(SWITCHES[name].program)]
    work = tempfile.mkdtemp(prefix="vswp-")
    results = {}
    try:
        run("cc", "-O2", "-o", f"{work}/udp_source", f"{HERE}/udp_source.c")
        for number in range(options.rounds):
            for what in options.only.split(","):
                for name in chosen:
                    try:
                        figures = MEASUREMENTS[what](SWITCHES[name], options.seconds)
                    except Exception as error:  # one switch's fault is a gap in the table
                        print(f"# {name} {what}: {error}", file=sys.stderr)
                        continue
                    for figure, value in figures.items():
                        results.setdefault(figure, {}).setdefault(name, []).append(value)
                        print(f"# round {number + 1} {name} {figure} {value:.2f}", file=sys.stderr, flush=True)
    finally:
        for name in NAMES.values():
            run("ip", "netns", "delete", name, check=False)
        shutil.rmtree(work, ignore_errors=True)

    middle = {figure: {name: statistics.median(v) for name, v in by.items()} for figure, by in results.items()}
    for figure, (title, unit) in FIGURES.items():
        if figure not in middle:
            continue
        print(f"\n{title} ({unit}), {options.rounds} rounds")
        for name, value in middle[figure].items():
            values = results[figure][name]
            print(f"  {name:22}{value:10.2f}   {min(values):.2f} to {max(values):.2f}")
    print()
    for figure, name, peer, limit in LIMITS:
        mine, theirs = (middle.get(figure, {}).get(n) for n in (name, peer))
        if mine is None or not theirs:
            continue
        ratio = mine / theirs
        holds = ratio >= limit if limit > 0 else ratio <= -limit
        print(f"{FIGURES[figure][0]:32}{name} / {peer} = {ratio:.2f}  ({'at least' if limit > 0 else 'at most'}"
              f" {abs(limit)}: {'holds' if holds else 'DOES NOT HOLD'})")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    main()
