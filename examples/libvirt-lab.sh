#!/bin/bash
# The libvirt lab: two virtual machines that libvirt starts, one on a vhost-user port and one on a tap that libvirt puts on the
# bridge by itself, and a container's tap, all on one VLAN. It checks every claim that it makes and takes itself down. Where
# libvirt's daemon is missing or does not run, QEMU is started with the same devices.
# Root, Debian 12, Swift 6, qemu-system-x86, busybox-static, socat; libvirt-daemon, libvirt-daemon-driver-qemu, libvirt-clients.
#
#     vm1 (libvirt/vhostuser.xml)   vm2 (libvirt/tap.xml)     box (namespace)
#           10.0.10.1                    10.0.10.2               10.0.10.3
#         vhost-user |  VLAN 10           tap |  VLAN 10   VLAN 10  | tap
#   +----------------+----------------- libvirtlab -----------------+---+
#
#   VSWITCH_BINDIR=DIR libvirt-lab.sh    uses the programs there instead of building them
#   LIBVIRT=no libvirt-lab.sh            QEMU alone
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${VSWITCH_BINDIR:-}
if [ -z "$bin" ]; then
  make
  bin=$(swift build -c release --show-bin-path)
fi
# In namespaces of its own: nothing here meets the machine's own links, libvirt or Open vSwitch.
if [ "${1:-}" != inside ]; then
  VSWITCH_BINDIR=$bin exec unshare --mount --net --propagation private "$0" inside
fi

run=$(mktemp -d /tmp/vswitch-libvirt-lab.XXXXXX)
pids=()
failed=0
say() { printf '\n%s\n' "$*"; }
check() { # check "claim" command...: the command must succeed
  local claim=$1; shift
  if "$@" > /dev/null 2>&1; then printf '    ok: %s\n' "$claim"; else printf '    FAILED: %s (%s)\n' "$claim" "$*"; failed=1; fi
}
vsctl() { "$bin/vsctl" --run-dir "$run/switch" "$@"; }
virsh() { command virsh -q -c qemu:///system "$@"; }
take_down() {
  [ "$how" != libvirt ] || { virsh destroy vm1; virsh destroy vm2; } > /dev/null 2>&1 || true
  for pid in "${pids[@]}"; do kill "$pid" 2> /dev/null || true; done
  wait 2> /dev/null || true
  rm -rf "$run"
}
how=qemu
trap take_down EXIT
mount -t tmpfs none /run/netns 2> /dev/null || { mkdir -p /run/netns; mount -t tmpfs none /run/netns; }
ip link set lo up

say "The switch, with a port for vm1 and one for a container"
image=$(Tests/Support/GuestImage/build.sh)
install -d -m 700 "$run/switch"
"$bin/vswitchd" --run-dir "$run/switch" --log-file "$run/log" &
pids+=("$!")
for _ in $(seq 100); do vsctl show > /dev/null 2>&1 && break; sleep 0.05; done
ip netns add box
vsctl add-br libvirtlab -- \
  add-port libvirtlab vm1 tag=10 -- set interface vm1 type=vhostuserclient options:vhost-server-path="$run/vm1.sock" -- \
  add-port libvirtlab box tag=10 -- set interface box type=tap options:netns=box
ip -n box address add 10.0.10.3/24 dev box
ip -n box link set box up

# libvirt's places and the accounts that it looks for are compiled in: it sees others here.
start_libvirt() {
  local place file
  [ "${LIBVIRT:-yes}" = yes ] && command -v libvirtd > /dev/null && command -v virsh > /dev/null || return 1
  mkdir -p "$run"/libvirt/{run,lib,etc,cache,log,bin}
  for place in run/libvirt:run var/lib/libvirt:lib etc/libvirt:etc var/cache/libvirt:cache var/log/libvirt:log; do
    mkdir -p "/${place%:*}"
    mount --bind "$run/libvirt/${place#*:}" "/${place%:*}"
  done
  for file in passwd group; do cp "/etc/$file" "$run/$file"; done
  grep -q ^libvirt-qemu: /etc/passwd || echo 'libvirt-qemu:x:64055:64055::/nonexistent:/usr/sbin/nologin' >> "$run/passwd"
  grep -q ^libvirt-qemu: /etc/group || echo 'libvirt-qemu:x:64055:' >> "$run/group"
  grep -q ^kvm: /etc/group || echo 'kvm:x:64056:' >> "$run/group"
  for file in passwd group; do mount --bind "$run/$file" "/etc/$file"; done
  printf 'listen_tls = 0\nauth_unix_rw = "none"\n' > "$run/libvirt/etc/libvirtd.conf"
  # As root, without the confinement that a machine with systemd would add.
  printf '%s\n' 'user = "root"' 'group = "root"' 'security_driver = "none"' 'cgroup_controllers = []' 'namespaces = []' \
    'stdio_handler = "file"' 'remember_owner = 0' > "$run/libvirt/etc/qemu.conf"
  # vsctl under the name by which libvirt calls it.
  ln -s "$bin/vsctl" "$run/libvirt/bin/ovs-vsctl"
  PATH="$run/libvirt/bin:$PATH" OVS_RUNDIR="$run/switch" \
    libvirtd -f "$run/libvirt/etc/libvirtd.conf" -p "$run/libvirtd.pid" > "$run/libvirtd.log" 2>&1 &
  local daemon=$!
  pids+=("$daemon")
  for _ in $(seq 100); do
    virsh version > /dev/null 2>&1 && return
    kill -0 "$daemon" 2> /dev/null || return 1
    sleep 0.1
  done
  return 1
}

kernel="console=ttyS0 quiet nokaslr mitigations=off net.ifnames=0 8250.nr_uarts=2 rdinit=/init"
acceleration=qemu
# QEMU 7.2 crashes on a vhost-user device with MSI-X while it emulates the processor.
vectors="<qemu:commandline><qemu:arg value='-global'/><qemu:arg value='virtio-net-pci.vectors=0'/></qemu:commandline>"
if [ -w /dev/kvm ] && grep -qwE 'vmx|svm' /proc/cpuinfo; then acceleration=kvm vectors=; fi

if start_libvirt; then
  how=libvirt
  say "The machines, by libvirt $(libvirtd --version | grep -oE '[0-9.]+$')"
  for machine in vhostuser tap; do
    sed -e "s|@ACCELERATION@|$acceleration|; s|@IMAGE@|$image|; s|@KERNEL@|$kernel|; s|@RUN@|$run|; s|@QEMU@|$vectors|" \
      examples/libvirt/$machine.xml > "$run/$machine.xml"
    virsh create "$run/$machine.xml" > "$run/virsh" 2>&1 || { cat "$run/virsh" "$run/libvirtd.log" >&2; failed=1; }
  done
else
  say "The machines, by QEMU alone: libvirt's daemon does not run here"
  [ $acceleration = kvm ] && options="-accel kvm -cpu host" more= || options="-accel tcg -cpu qemu64" more=,vectors=0
  ip tuntap add dev vm2tap mode tap
  ip link set vm2tap up
  machine() { # NUMBER and its network devices
    local number=$1; shift
    # shellcheck disable=SC2086
    qemu-system-x86_64 -nodefaults -no-user-config -display none -machine pc,memory-backend=ram $options -m 128 \
      -object memory-backend-memfd,id=ram,size=128M,share=on -kernel "$image/vmlinuz" -initrd "$image/initramfs" \
      -append "$kernel net=eth0:10.0.10.$number/24" -serial "file:$run/vm$number.console" \
      -serial "unix:$run/vm$number.control,server=on,wait=off" "$@" &
    pids+=("$!")
  }
  machine 1 -chardev "socket,id=c0,path=$run/vm1.sock,server=on,wait=off" -netdev vhost-user,id=n0,chardev=c0 \
    -device "virtio-net-pci,netdev=n0,packed=on,romfile=,mac=52:54:00:00:00:01$more"
  machine 2 -netdev tap,id=n0,ifname=vm2tap,script=no,downscript=no \
    -device virtio-net-pci,netdev=n0,romfile=,mac=52:54:00:00:00:02
  sleep 0.5
  vsctl add-port libvirtlab vm2tap tag=10
fi

reaches() { ip netns exec box ping -n -c 3 -i 0.2 -W 2 "$1"; }
answers() { ip netns exec box ping -n -c 1 -W 1 "$1" > /dev/null 2>&1; }
for _ in $(seq 60); do answers 10.0.10.1 && answers 10.0.10.2 && break; done
check "the container reaches the machine on vhost-user" reaches 10.0.10.1
check "the container reaches the machine on a tap" reaches 10.0.10.2
from_vm1() { { printf '%s\n' "$1"; sleep 6; } | socat -t 7 - "UNIX-CONNECT:$run/vm1.control"; }
# All of it is read: who ends at the first line that fits breaks the pipe.
two() { from_vm1 "ping -c 3 10.0.10.2" | grep "3 packets received"; }
check "the machines reach each other" two
check "the tap is an access port of VLAN 10" test "$(vsctl get port vm2tap tag)" = 10
status() { vsctl get interface vm1 status; }
shows() { status | grep "$1"; }
check "vm1 has packed rings in shared memory" shows ring_layout=packed
if [ $how = libvirt ]; then
  check "libvirt has noted whose port it is" sh -c "'$bin/vsctl' --run-dir '$run/switch' get interface vm2tap external_ids | grep -q vm-id="
  virsh destroy vm2 > /dev/null
  check "libvirt takes the port away with the machine" sh -c "! '$bin/vsctl' --run-dir '$run/switch' list-ports libvirtlab | grep -q vm2tap"
fi

[ "$failed" = 0 ] && say "All claims hold (by $how)." || say "Some claims do not hold."
exit "$failed"
