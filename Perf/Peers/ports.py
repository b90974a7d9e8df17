#!/usr/bin/env python3
"""Ports added and rows loaded, beside ovs-vswitchd with ovsdb-server, in one run. Root.

  VSWITCH_BINDIR=DIR Perf/Peers/ports.py [--ports 1000] [--rounds 30] [--only vswitch|openvswitch]

Each switch runs in a network namespace of its own. Printed:
  one-by-one   milliseconds a port for each quarter of the ports, added by `ovs-vsctl add-port` commands one after the other
               (each of which reads all ports that there are, and asks the server to check each)
  by mutation  the same by a client that names its own port alone, as ovsdbapp does: what the switch itself takes
  one-line     the same ports in one transaction, for a quarter, half, three quarters and all of them
  add-port     with all ports present: median and 90th percentile of one more `add-port` in milliseconds, and how many a
               second, by Debian's ovs-vsctl and (on this switch) by vsctl
  load         seconds from the start of the daemon to its first answer with 10,000 rows in the database
The last lines are ratios and limits; the exit code is 1 if one is not kept.
"""
import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from database import Client

BINDIR = os.environ.get("VSWITCH_BINDIR", "")
OVS_DAEMON = "/usr/lib/openvswitch-switch/ovs-vswitchd"


def program(name):
    return os.path.join(BINDIR, name) if BINDIR else shutil.which(name) or name


def run(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


class Switch:
    """A switch in a namespace, with its database on <directory>/db.sock."""

    def __init__(self):
        self.namespace = f"ports{os.getpid()}{self.name[:2]}"
        self.directory = tempfile.mkdtemp(prefix=f"ports-{self.name}-")
        run("ip", "netns", "add", self.namespace)
        self.processes = []
        self.start()

    def spawn(self, *words):
        environment = dict(os.environ, OVS_RUNDIR=self.directory, OVS_LOGDIR=self.directory, OVS_DBDIR=self.directory)
        self.processes.append(subprocess.Popen(
            ["ip", "netns", "exec", self.namespace, *words], env=environment, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL))

    def vsctl(self, *words, client="ovs-vsctl"):
        return run(client, f"--db=unix:{self.directory}/db.sock", "--timeout=120", *words)

    def answers(self):
        return subprocess.run(
            ["ovs-vsctl", f"--db=unix:{self.directory}/db.sock", "--timeout=5", "get", "open", ".", "cur_cfg"],
            capture_output=True).returncode == 0

    def wait(self):
        for _ in range(6000):
            if self.answers():
                return
            time.sleep(0.005)
        sys.exit(f"{self.name} did not start")

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes = []

    def close(self):
        self.stop()
        subprocess.run(["ip", "netns", "delete", self.namespace], capture_output=True)
        shutil.rmtree(self.directory, ignore_errors=True)


class VSwitch(Switch):
    name = "vswitch"
    clients = {"ovs-vsctl": "ovs-vsctl", "vsctl": program("vsctl")}

    def start(self):
        self.spawn(program("vswitchd"), "--run-dir", self.directory)
        self.wait()


class OpenVSwitch(Switch):
    name = "openvswitch"
    clients = {"ovs-vsctl": "ovs-vsctl"}

    def start(self):
        database = f"{self.directory}/conf.db"
        if not os.path.exists(database):
            run("ovsdb-tool", "create", database, "/usr/share/openvswitch/vswitch.ovsschema")
        self.spawn("ovsdb-server", database, f"--remote=punix:{self.directory}/db.sock")
        while subprocess.run(
                ["ovs-vsctl", f"--db=unix:{self.directory}/db.sock", "--no-wait", "init"],
                capture_output=True).returncode:
            time.sleep(0.01)
        self.spawn(OVS_DAEMON, f"unix:{self.directory}/db.sock", "--disable-system")
        self.wait()


def add(port):
    return ["--", "add-port", "br0", port, "--", "set", "interface", port, "type=tap"]


def timed(action):
    begin = time.monotonic()
    action()
    return time.monotonic() - begin


def add_by_mutation(client, port):
    """Adds a tap and waits until the switch has it."""
    result = client.transact(
        {"op": "insert", "table": "Interface", "row": {"name": port, "type": "tap"}, "uuid-name": "i"},
        {"op": "insert", "table": "Port", "row": {"name": port, "interfaces": ["named-uuid", "i"]}, "uuid-name": "p"},
        {"op": "mutate", "table": "Bridge", "where": [["name", "==", "br0"]],
         "mutations": [["ports", "insert", ["named-uuid", "p"]]]},
        {"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [["next_cfg", "+=", 1]]},
        {"op": "select", "table": "Open_vSwitch", "where": [], "columns": ["next_cfg"]})
    client.transact(
        {"op": "wait", "table": "Open_vSwitch", "where": [], "columns": ["cur_cfg"], "until": "==",
         "rows": [{"cur_cfg": result[4]["rows"][0]["next_cfg"]}], "timeout": 60000})


def by_quarters(quarters, add_port):
    costs, done = [], 0
    for size in quarters:
        ports = range(done, size)
        costs.append(1000 * timed(lambda: [add_port(f"t{i}") for i in ports]) / len(ports))
        done = size
    return costs


def measure_mutations(switch, quarters):
    switch.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev")
    client = Client(f"{switch.directory}/db.sock")
    costs = by_quarters(quarters, lambda port: add_by_mutation(client, port))
    switch.vsctl("del-br", "br0")
    return costs


def measure(make, count, rounds):
    found = {"clients": {}}
    switch = make()
    try:
        bridge = ["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev"]
        quarters = [count * i // 4 for i in (1, 2, 3, 4)]
        costs = []
        for size in quarters:
            switch.vsctl(*bridge)
            words = [word for i in range(size) for word in add(f"t{i}")]
            costs.append(1000 * timed(lambda: switch.vsctl(*words)) / size)
            switch.vsctl("del-br", "br0")
        found["one-line"] = costs
        found["by mutation"] = measure_mutations(switch, quarters)
        switch.vsctl(*bridge)
        found["one-by-one"] = by_quarters(quarters, lambda port: switch.vsctl(*add(port)))
        for name, client in switch.clients.items():
            times = []
            for i in range(rounds):
                times.append(timed(lambda: switch.vsctl(*add(f"x{i}"), client=client)))
                switch.vsctl("del-port", f"x{i}")
            times.sort()
            found["clients"][name] = (
                1000 * statistics.median(times), 1000 * times[len(times) * 9 // 10], len(times) / sum(times))
        switch.vsctl("del-br", "br0")
        for start in range(0, 10000, 1000):
            words = [word for i in range(1000) for word in ("--", "create", "qos", f"type=x{start + i}")]
            switch.vsctl("--no-wait", *words)
        switch.stop()
        found["load"] = timed(switch.start)
        rows = switch.vsctl("--columns=_uuid", "-f", "csv", "--no-headings", "list", "qos").count("\n")
        if rows != 10000:
            sys.exit(f"{switch.name}: {rows} rows were loaded")
    finally:
        switch.close()
    print(f"{make.name}:")
    for kind in ("one-by-one", "by mutation", "one-line"):
        print(f"  {kind:<12}", "  ".join(f"{n}: {c:.2f} ms" for n, c in zip(quarters, found[kind])))
    for name, (median, high, rate) in found["clients"].items():
        print(f"  add-port by {name}: median {median:.1f} ms, 90% {high:.1f} ms, {rate:.1f} a second")
    print(f"  load         {found['load']:.2f} s", flush=True)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ports", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--only", choices=["vswitch", "openvswitch"])
    options = parser.parse_args()
    found = {
        kind.name: measure(kind, options.ports, options.rounds)
        for kind in (VSwitch, OpenVSwitch) if options.only in (None, kind.name)}
    status = 0

    def claim(text, holds):
        nonlocal status
        print(("kept    " if holds else "BROKEN  ") + text)
        status = status if holds else 1

    if "vswitch" in found:
        ours = found["vswitch"]
        for kind in ("one-by-one", "by mutation", "one-line"):
            growth = ours[kind][3] / ours[kind][0]
            claim(f"{kind}: a port in the last quarter costs {growth:.2f} times one in the first, at most 2", growth <= 2)
        claim(f"10,000 rows are loaded in {ours['load']:.2f} s, under 1", ours["load"] < 1)
        if "openvswitch" in found:
            theirs = found["openvswitch"]["clients"]["ovs-vsctl"][0]
            for name, (median, _, _) in ours["clients"].items():
                claim(f"add-port by {name}: {theirs / median:.1f} times as fast, at least 2", theirs / median >= 2)
    return status


if __name__ == "__main__":
    sys.exit(main())
