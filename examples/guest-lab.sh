#!/bin/bash
# The guest lab: a virtual machine on the switch by shared memory (vhost-user) beside a container's tap, on one VLAN. The
# switch is killed and started again under the running guest. It checks every claim that it makes and takes itself down.
# Root, Debian 12, Swift 6, qemu-system-x86 and busybox-static.
#
#        guest (QEMU)              host (namespace)
#        10.0.10.1/24               10.0.10.2/24
#      vhost-user |  VLAN 10    VLAN 10  | tap
#   +-------------+------ guestlab ------+-----+
#
#   VSWITCH_BINDIR=DIR guest-lab.sh     uses the programs there instead of building them
set -euo pipefail
cd "$(dirname "$0")/.."

run=/run/vswitch-guest-lab
namespace=vswlab-guesthost
pids=()
failed=0
say() { printf '\n%s\n' "$*"; }
check() { # check "claim" command...: the command must succeed
  local claim=$1; shift
  if "$@" > /dev/null 2>&1; then printf '    ok: %s\n' "$claim"; else printf '    FAILED: %s (%s)\n' "$claim" "$*"; failed=1; fi
}
vsctl() { "$bin/vsctl" --run-dir "$run" "$@"; }
start_switch() {
  "$bin/vswitchd" --run-dir "$run" --log-file "$run/log" &
  switch=$!
  pids+=("$switch")
  for _ in $(seq 100); do vsctl show > /dev/null 2>&1 && return; sleep 0.05; done
  echo "vswitchd did not start: see $run/log" >&2
  exit 1
}
take_down() {
  for pid in "${pids[@]}"; do kill -9 "$pid" 2> /dev/null || true; done
  wait 2> /dev/null || true
  ip netns del "$namespace" 2> /dev/null || true
  rm -rf "$run"
}
answers() { ip netns exec "$namespace" ping -n -c 1 -W 1 10.0.10.1 > /dev/null 2>&1; }
reaches() { ip netns exec "$namespace" ping -n -c 3 -i 0.2 -W 2 10.0.10.1; }

bin=${VSWITCH_BINDIR:-}
if [ -z "$bin" ]; then
  make
  bin=$(swift build -c release --show-bin-path)
fi
image=$(Tests/Support/GuestImage/build.sh)
take_down
trap take_down EXIT
install -d -m 700 "$run"
ip netns add "$namespace"

say "The switch, with a port for a guest and one for a container"
start_switch
vsctl add-br guestlab -- \
  add-port guestlab vm1 tag=10 -- set interface vm1 type=vhostuserclient options:vhost-server-path="$run/vm1.sock" -- \
  add-port guestlab box tag=10 -- set interface box type=tap options:netns="$namespace"
ip -n "$namespace" address add 10.0.10.2/24 dev box
ip -n "$namespace" link set box up

say "The guest: its memory is a file that the switch maps too"
qemu-system-x86_64 -nodefaults -no-user-config -display none -machine pc,memory-backend=ram -accel tcg -cpu qemu64 -m 128 \
  -object memory-backend-memfd,id=ram,size=128M,share=on -kernel "$image/vmlinuz" -initrd "$image/initramfs" \
  -append "console=ttyS0 quiet nokaslr net.ifnames=0 8250.nr_uarts=2 rdinit=/init net=eth0:10.0.10.1/24" \
  -serial "file:$run/console" -serial null \
  -chardev "socket,id=c0,path=$run/vm1.sock,server=on,wait=off" -netdev vhost-user,id=n0,chardev=c0 \
  -device virtio-net-pci,netdev=n0,packed=on,vectors=0,romfile= &
pids+=("$!")
for _ in $(seq 90); do answers && break; done
check "guest and container reach each other" reaches
check "the switch knows what the guest agreed on" sh -c "'$bin/vsctl' --run-dir $run get interface vm1 status | grep -q ring_layout=packed"

say "The switch is killed and started again; the guest just goes on"
kill -9 "$switch"
wait "$switch" 2> /dev/null || true
start_switch
# The kernel may take the killed one's tap away a moment later; then it is made anew.
for _ in $(seq 100); do ip -n "$namespace" link show box > /dev/null 2>&1 && break; sleep 0.05; done
ip -n "$namespace" address replace 10.0.10.2/24 dev box
ip -n "$namespace" link set box up
for _ in $(seq 20); do answers && break; done
check "they reach each other again" reaches

[ "$failed" = 0 ] && say "All claims hold." || say "Some claims do not hold."
exit "$failed"
