"""This switch as peers of a benchmark harness that loads peer classes from files named in PB_PEERS.

The harness runs this text with its own names in scope: peer, vpeer, cpeer (decorators), Base, VBase, Topo, Skip, VU,
pipeline, sh, spawn, addr, veth, offload, wait_until, RUN. Nothing is imported from it. VSWITCH_BINDIR names the directory
of vswitchd and vsctl.
"""
import os
import pathlib
import shutil


def vswitch_program(name):
    directory = os.environ.get("VSWITCH_BINDIR", "")
    return os.path.join(directory, name) if directory else shutil.which(name) or name


class VSwitchPeer(Base):  # noqa: F821 (the harness's)
    """Two ports on one bridge; the daemon runs in the namespace of switches."""

    ports, settings = "tap", ""

    def up(s):
        if s.ports == "tap":
            s.hosts()
        else:
            s.veths()
        s.dir = f"{RUN}/vswitch"  # noqa: F821
        shutil.rmtree(s.dir, ignore_errors=True)
        process = spawn(  # noqa: F821
            [vswitch_program("vswitchd"), "--run-dir", s.dir], netns="pbsw", cpus=s.cpus, log=f"{RUN}/vswitchd.log")  # noqa: F821
        s.pids = [process.pid]
        wait_until(lambda: os.path.exists(f"{s.dir}/db.sock"), 10)  # noqa: F821
        s.vsctl("add-br br0" + s.settings)
        for x, ip in (("A", "10.99.0.1"), ("B", "10.99.0.2")):
            if s.ports == "tap":
                s.vsctl(f"add-port br0 pb{x}0 -- set interface pb{x}0 type=tap options:netns=pb{x}")
                addr(f"pb{x}", f"pb{x}0", f"{ip}/24")  # noqa: F821
                offload(f"pb{x}", f"pb{x}0", s.off)  # noqa: F821
            else:
                s.vsctl(f"add-port br0 pbs{x}")
        return Topo("pbA0", "pbB0")  # noqa: F821

    def vsctl(s, command):
        return sh(f"{vswitch_program('vsctl')} --run-dir {s.dir} {command}")  # noqa: F821


@peer("vswitch-tap")  # noqa: F821
class VSwitchTap(VSwitchPeer):
    pass


@peer("vswitch-tap-on")  # noqa: F821
class VSwitchTapOn(VSwitchPeer):
    """With the hosts' offloads only."""

    modes = ("on",)


@peer("vswitch-tap-busypoll")  # noqa: F821
class VSwitchTapBusyPoll(VSwitchPeer):
    settings = " -- set Open_vSwitch . other_config:busy-poll=true"


@peer("vswitch-veth")  # noqa: F821
class VSwitchVeth(VSwitchPeer):
    ports = "veth"


def pin_worker(pid, cpu):
    """Puts the worker alone on a CPU; the daemon's other threads stay where they are."""
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().startswith("worker"):
            sh(f"taskset -pc {cpu} {task.name}")  # noqa: F821


def start_switch(directory, cpus, netns=None):
    shutil.rmtree(directory, ignore_errors=True)
    process = spawn(  # noqa: F821
        [vswitch_program("vswitchd"), "--run-dir", directory], netns=netns, cpus=cpus, log=f"{RUN}/vswitchd.log")  # noqa: F821
    wait_until(lambda: os.path.exists(f"{directory}/db.sock"), 10)  # noqa: F821
    return process.pid


@vpeer("vswitch")  # noqa: F821
class VSwitchVhostUser(VBase):  # noqa: F821
    """Two vhost-user ports, client of the guests' sockets; the worker spins alone on CPU 1."""

    def up(s, case):
        s.dir = f"{RUN}/vswitch"  # noqa: F821
        s.p = None
        s.pids = [start_switch(s.dir, "0")]
        pin_worker(s.pids[0], 1)
        tool = f"{vswitch_program('vsctl')} --run-dir {s.dir}"
        sh(f"{tool} set Open_vSwitch . other_config:busy-poll=true -- add-br br0")  # noqa: F821
        for i in (0, 1):
            # The guests come later: that the port waits for its socket is no error here.
            sh(  # noqa: F821
                f"{tool} --no-wait add-port br0 v{i} -- set interface v{i} type=dpdkvhostuserclient "
                f"options:vhost-server-path={VU[i]} ofport_request={i + 1}")  # noqa: F821
        if case["pipe"] != "l2":
            flows = pathlib.Path(f"{RUN}/vswitch-flows")  # noqa: F821
            flows.write_text("\n".join(pipeline(case)) + "\n")  # noqa: F821
            target = f"unix:{s.dir}/br0.mgmt"
            wait_until(lambda: os.path.exists(f"{s.dir}/br0.mgmt"), 5)  # noqa: F821
            sh(f"ovs-ofctl -O OpenFlow15 del-flows {target}")  # noqa: F821
            sh(f"ovs-ofctl -O OpenFlow15 --bundle add-flows {target} {flows}")  # noqa: F821


@cpeer  # noqa: F821
def vswitch():
    """The switch alone, for rules by ovs-ofctl."""
    class Running:
        pass
    running = Running()
    directory = f"{RUN}/vswitch"  # noqa: F821
    running.pid = start_switch(directory, None)
    sh(f"{vswitch_program('vsctl')} --run-dir {directory} add-br br0")  # noqa: F821
    running.target = f"unix:{directory}/br0.mgmt"
    wait_until(lambda: os.path.exists(f"{directory}/br0.mgmt"), 5)  # noqa: F821
    running.down = lambda: stop_pid(running.pid)  # noqa: F821
    return running
