"""This switch as peers of a benchmark harness that loads peer classes from files named in PB_PEERS.

The harness runs this text with its own names in scope: peer (decorator), Base, Topo, sh, spawn, addr, veth, offload,
wait_until, RUN. Nothing is imported from it. VSWITCH_BINDIR names the directory of vswitchd and vsctl.
"""
import os
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
