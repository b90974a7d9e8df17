#!/usr/bin/env python3
"""vhost-user: two guests joined by this switch, by Open vSwitch with DPDK, and by testpmd, which looks at nothing.

The guests are one program on CPU 0 (vhost_guests.c: DPDK's virtio-user driver), the switch's forwarding thread is alone on
CPU 1. A round measures every switch once in each case, so that a busy moment of the machine meets all of them. Beside each goes
how long a cache line takes from one of the two processors to the other (handover.c), which changes on a virtual machine, and
everything with it: medians and the ratio of this switch to each other are printed for near and for far processors. Root; needs
dpdk, libdpdk-dev, gcc, pkg-config and, for Open vSwitch, openvswitch-switch-dpdk; sets 1200 huge pages of 2 MB for the time it
runs. VSWITCH_BINDIR names vswitchd's directory, VSWITCH_OTHER_BINDIR that of another build (`other`).

  vhost_user.py [--rounds 3] [--seconds 1] [--cases l2-64,...] [vswitch|other|ovs|testpmd]...
"""
import argparse
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
HUGE_PAGES = pathlib.Path("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")
OVS_DPDK = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
# name: (arguments of the guests, what is measured, further options of the guests' device)
CASES = {
    "l2-64": ("-f 60", "mpps", ""),
    "l2-64-both": ("-f 60 -b", "mpps", ""),
    "l2-1518": ("-f 1514", "mpps", ""),
    "l2-64-100k": ("-f 60 -n 100000", "mpps", ""),
    "l2-64-packed": ("-f 60", "mpps", ",packed_vq=1"),
    "latency": ("-1 50000", "median", ""),
    # Source addresses translated: connections that were answered; four million flows, so that every packet begins one.
    "nat-1": ("-f 60 -e -n 1", "mpps", ""),
    "nat-10k": ("-f 60 -e -p -n 10000", "mpps", ""),
    "nat-new": ("-f 60 -p -n 4000000 -w 0.1", "mpps", ""),
    "segments": ("-t -f 64000 -m 32", "copies", ""),
}


# As ovs-actions(7) has it.
TRANSLATION = """in_port=1,ip,actions=ct(table=1,nat,zone=1)
in_port=2,ip,actions=ct(table=1,nat,zone=1)
table=1,in_port=1,ip,ct_state=+trk+new,actions=ct(commit,zone=1,nat(src=10.3.0.1-10.3.0.64)),output:2
table=1,in_port=1,ip,ct_state=+trk+est,actions=output:2
table=1,in_port=2,ip,ct_state=+trk+est,actions=output:1
"""


# How the machine has laid its two processors, by nanoseconds for a line from one to the other, before and after a measurement: the
# same program runs half as fast where they share no cache. What it changed meanwhile is in between, and says nothing.
PLACES = {"near": (0, 60), "far": (130, 1000)}


def run(command, check=True, environment=None):
    done = subprocess.run(command.split(), capture_output=True, text=True, timeout=60, env=environment)
    if check and done.returncode:
        raise RuntimeError(f"{command}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def wait_for(path, seconds=15):
    end = time.monotonic() + seconds
    while not path.exists():
        if time.monotonic() > end:
            raise RuntimeError(f"{path} does not come")
        time.sleep(0.02)


class Switch:
    """A back end that connects to the guests' sockets."""

    def __init__(self, work):
        self.work, self.processes = work, []
        self.sockets = [work / "guest0", work / "guest1"]

    def spawn(self, command, log, cpus="0", **options):
        with open(self.work / log, "w") as output:
            process = subprocess.Popen(
                ["taskset", "-c", cpus, *command], stdin=subprocess.PIPE, stdout=output, stderr=output, **options)
        self.processes.append(process)
        return process

    def program(self, flows):
        """Gives the bridge flows in place of those that it has."""
        path = self.work / "flows"
        path.write_text(flows)
        wait_for(self.management)
        for command in ("del-flows", "add-flows"):
            run(f"ovs-ofctl -O OpenFlow13 {command} unix:{self.management}" + (f" {path}" if command == "add-flows" else ""))

    def stop(self):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes = []


class VSwitch(Switch):
    """A learning bridge; the worker spins, as the others do."""
    directory = "VSWITCH_BINDIR"

    def start(self):
        directory = self.work / "run"
        self.management = directory / "br0.mgmt"
        shutil.rmtree(directory, ignore_errors=True)
        binaries = os.environ.get(self.directory, "")
        daemon = self.spawn([os.path.join(binaries, "vswitchd"), "--run-dir", str(directory)], "vswitchd.log")
        wait_for(directory / "db.sock")
        for task in pathlib.Path(f"/proc/{daemon.pid}/task").iterdir():
            if (task / "comm").read_text().startswith("worker"):
                run(f"taskset -pc 1 {task.name}")
        tool = f"{os.path.join(binaries, 'vsctl')} --run-dir {directory}"
        run(f"{tool} set Open_vSwitch . other_config:busy-poll=true -- add-br br0")
        for number, socket in enumerate(self.sockets):
            # The guests come later: that the port waits for its socket is no error here.
            run(f"{tool} --no-wait add-port br0 v{number} -- set interface v{number} type=vhostuserclient "
                f"ofport_request={number + 1} options:vhost-server-path={socket}")


class OpenVSwitch(Switch):
    """A learning bridge of its userspace datapath, its polling thread on CPU 1."""

    def start(self):
        directory = self.work / "ovs"
        self.management = directory / "br0.mgmt"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        names = ("OVS_RUNDIR", "OVS_DBDIR", "OVS_SYSCONFDIR", "OVS_LOGDIR")
        environment = dict(os.environ, **{name: str(directory) for name in names})
        database = f"unix:{directory}/db.sock"
        tool = f"ovs-vsctl --db={database} --timeout=20"
        run(f"ovsdb-tool create {directory}/conf.db /usr/share/openvswitch/vswitch.ovsschema")
        self.spawn(["ovsdb-server", f"--remote=p{database}", f"--unixctl={directory}/db.ctl", f"{directory}/conf.db"],
                   "ovsdb.log", env=environment)
        wait_for(directory / "db.sock")
        run(f"{tool} --no-wait init", environment=environment)
        for setting in ("dpdk-init=true", "dpdk-socket-mem=1024", "pmd-cpu-mask=0x2", "dpdk-lcore-mask=0x1",
                        'dpdk-extra="--in-memory\\ --no-pci\\ --file-prefix\\ perfovs"'):
            subprocess.run([*f"{tool} --no-wait set Open_vSwitch .".split(), f"other_config:{setting}".replace("\\ ", " ")],
                           check=True, env=environment)
        # It pins its own threads.
        self.spawn([OVS_DPDK, database, f"--unixctl={directory}/switch.ctl"], "ovs-vswitchd.log", cpus="0,1", env=environment)
        run(f"{tool} add-br br0 -- set bridge br0 datapath_type=netdev", environment=environment)
        for number, socket in enumerate(self.sockets):
            run(f"{tool} add-port br0 v{number} -- set interface v{number} type=dpdkvhostuserclient "
                f"ofport_request={number + 1} options:vhost-server-path={socket}", environment=environment)


class TestPMD(Switch):
    """testpmd's io mode: from one port to the other, no look at any packet."""

    def start(self):
        devices = []
        for number, socket in enumerate(self.sockets):
            devices += ["--vdev", f"net_vhost{number},iface={socket},queues=1,client=1"]
        self.spawn(
            ["dpdk-testpmd", "--lcores", "0@0,1@1", "--in-memory", "--no-pci", "--file-prefix", "perftestpmd", "-m", "512",
             *devices, "--", "-i", "--nb-cores=1", "--forward-mode=io", "--auto-start", "--rxd=1024", "--txd=1024",
             "--burst=32", "--no-lsc-interrupt", "--total-num-mbufs=65536"], "testpmd.log", cpus="0,1")
        time.sleep(1)


class OtherBuild(VSwitch):
    """The same with the programs of VSWITCH_OTHER_BINDIR: one build beside another in the same run."""
    directory = "VSWITCH_OTHER_BINDIR"


SWITCHES = {"vswitch": VSwitch, "other": OtherBuild, "ovs": OpenVSwitch, "testpmd": TestPMD}


def build_guests(work):
    program = str(work / "vhost_guests")
    flags = run("pkg-config --cflags libdpdk").split(), run("pkg-config --libs libdpdk").split()
    subprocess.run(
        ["gcc", "-O3", "-march=native", *flags[0], str(HERE / "vhost_guests.c"), "-o", program, *flags[1]], check=True)
    return program


def measure(name, case, work, program, seconds):
    arguments, _, device = CASES[case]
    switch = SWITCHES[name](work)
    for socket in switch.sockets:
        socket.unlink(missing_ok=True)
    try:
        switch.start()
        if case.startswith("nat"):
            switch.program(TRANSLATION)
        devices = []
        for number, socket in enumerate(switch.sockets):
            queue = f"queue_size={arguments.split()[-1]}" if "-m" in arguments else "queue_size=1024"
            devices += ["--vdev", f"net_virtio_user{number},path={socket},server=1,{queue}{device}"]
        done = subprocess.run(
            [program, "--lcores", "0@0", "--in-memory", "--single-file-segments", "--no-pci", "--file-prefix", "perfguests",
             "-m", "512", *devices, "--", "-s", str(seconds), *arguments.split()],
            capture_output=True, text=True, timeout=120)
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        if not lines:
            raise RuntimeError((done.stdout + done.stderr)[-600:])
        result = json.loads(lines[-1])
        if "error" in result:
            raise RuntimeError(result["error"])
        if result.get("copy"):
            result["copies"] = result["bytes"] / result["copy_rings"]
            result["near_copies"] = result["bytes"] / result["copy"]
        return result
    finally:
        switch.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("switches", nargs="*", choices=[*SWITCHES, []])
    options = parser.parse_args()
    names = options.switches or ["vswitch", "ovs", "testpmd"]
    before = HUGE_PAGES.read_text()
    HUGE_PAGES.write_text("1200")
    work = pathlib.Path(tempfile.mkdtemp(prefix="vswitch-vhost-"))
    results = {}
    try:
        program = build_guests(work)
        handover = str(work / "handover")
        subprocess.run(["gcc", "-O2", "-pthread", str(HERE / "handover.c"), "-o", handover], check=True)
        for turn in range(options.rounds):
            for case in options.cases.split(","):
                for name in names:
                    # The others' ports take no segments as they are set up here; testpmd has no flows.
                    if CASES[case][1] == "copies" and name in ("ovs", "testpmd") or "nat" in case and name == "testpmd":
                        continue
                    try:
                        distance = float(run(handover))
                        result = measure(name, case, work, program, options.seconds)
                        result["handover"] = round((distance + float(run(handover))) / 2, 1)
                    except (RuntimeError, subprocess.SubprocessError) as error:
                        print(f"# {case} {name}: {error}", file=sys.stderr, flush=True)
                        continue
                    results.setdefault(case, {}).setdefault(name, []).append(result)
                    print(f"# round {turn} {case} {name} {json.dumps(result)}", file=sys.stderr, flush=True)
    finally:
        HUGE_PAGES.write_text(before)
        shutil.rmtree(work, ignore_errors=True)
    for case, by_name in results.items():
        for place, (low, high) in PLACES.items():
            here = {name: [row for row in rows if low <= row["handover"] < high] for name, rows in by_name.items()}
            show(case, place, {name: rows for name, rows in here.items() if rows})


def show(case, place, by_name):
    """Medians of the rounds in which the processors lay so."""
    if not by_name:
        return
    units = {"mpps": "million packets a second", "median": "µs one way",
             "copies": "of the bytes a second of a memcpy between areas of the rings' size"}
    key = CASES[case][1]
    print(f"\n{case}, processors {place}: {units[key]}")
    medians = {name: statistics.median(row[key] for row in rows) for name, rows in by_name.items()}
    for name, rows in by_name.items():
        values = sorted(row[key] for row in rows)
        wrong = sum(row["wrong"] for row in rows)
        ratio = f"  vswitch is {medians['vswitch'] / medians[name]:.2f} of it" if name != "vswitch" and "vswitch" in medians else ""
        print(f"  {name:<8} {medians[name]:8.3f}  ({values[0]:.3f} to {values[-1]:.3f}, {len(rows)} rounds){ratio}"
              + (f"  {wrong} packets came wrong" if wrong else ""))
        if key == "copies":
            near = statistics.median(row["near_copies"] for row in rows)
            print(f"           {near:8.3f}  of a memcpy between two buffers that stay in the nearest cache")


if __name__ == "__main__":
    main()
