#!/bin/bash
# The router lab: four hosts on two VLANs of one bridge and a Linux router between them. It builds itself, checks every
# claim that it makes, and takes itself down again. Root, Debian 12, Swift 6.
#
#        h1            h2                       h3            h4
#   10.0.10.1/24  10.0.10.2/24             10.0.20.1/24  10.0.20.2/24
#        |  VLAN 10    |                        |   VLAN 20   |
#   +----+-------------+------ bridge lab ------+-------------+----+
#   +----------------------+----------------+----------------------+
#                  VLAN 10 |                | VLAN 20
#               10.0.10.254/24            10.0.20.254/24
#                          +---- router ----+     (a namespace with IP forwarding)
#
#   KEEP=1 router-lab.sh        leaves the lab up, to look around; the next run takes it down
#   VSWITCH_BINDIR=DIR …        uses the programs there instead of building them
set -euo pipefail
cd "$(dirname "$0")/.."

run=/run/vswitch-router-lab
prefix=vswlab
hosts="h1 h2 h3 h4 router"
hostname_of() { echo "$prefix-$1"; }

say() { printf '\n\033[1m%s\033[0m\n' "$*" | if [ -t 1 ]; then cat; else sed 's/\x1b\[[0-9;]*m//g'; fi; }
note() { printf '    %s\n' "$*"; }
failed=0
ok() { printf '    ok: %s\n' "$*"; }
bad() { printf '    FAILED: %s\n' "$*"; failed=1; }
check() { # check "claim" command...: the command must succeed
  local claim=$1; shift
  if "$@" > /dev/null 2>&1; then ok "$claim"; else bad "$claim ($*)"; fi
}
check_not() {
  local claim=$1; shift
  if "$@" > /dev/null 2>&1; then bad "$claim ($*)"; else ok "$claim"; fi
}
inside() { local host; host=$(hostname_of "$1"); shift; ip netns exec "$host" "$@"; }
vsctl() { "$bin/vsctl" --run-dir "$run" "$@"; }

# The pid of this lab's daemon, if one runs: its command line names the lab's run dir.
daemon_pid() {
  local process
  for process in /proc/[0-9]*; do
    [ "$(cat "$process/comm" 2>/dev/null)" = vswitchd ] || continue
    if grep -q -- "--run-dir $run " <<< "$(tr '\0' ' ' < "$process/cmdline" 2> /dev/null)"; then echo "${process#/proc/}"; fi
  done
}

take_down() {
  local host pid
  for host in $hosts; do
    host=$(hostname_of "$host")
    for pid in $(ip netns pids "$host" 2>/dev/null || true); do kill "$pid" 2>/dev/null || true; done
  done
  for pid in $(daemon_pid); do
    kill "$pid" 2>/dev/null || true
    for _ in $(seq 50); do [ -d "/proc/$pid" ] || break; sleep 0.1; done
    kill -9 "$pid" 2>/dev/null || true
  done
  for host in $hosts; do ip netns del "$(hostname_of "$host")" 2>/dev/null || true; done
  rm -rf "$run"
}

[ "$(id -u)" = 0 ] || { echo "router-lab.sh needs root: it makes network namespaces and taps" >&2; exit 1; }

say "1. What is needed"
if [ -n "${VSWITCH_BINDIR:-}" ]; then
  bin=$VSWITCH_BINDIR
  ./scripts/install-packages.sh demo
  note "programs from $bin"
else
  ./scripts/install-packages.sh build demo
  make --no-print-directory build
  bin=$(swift build -c release --static-swift-stdlib --show-bin-path)
fi
note "$("$bin/vswitchd" --version), $(uname -sr)"
take_down                 # what a killed run may have left
if [ -z "${KEEP:-}" ]; then trap take_down EXIT; fi
trap 'exit 130' INT TERM

say "2. The switch"
mkdir -p -m 700 "$run"
"$bin/vswitchd" --run-dir "$run" > "$run/log" 2>&1 &
daemon=$!
for _ in $(seq 100); do
  vsctl show > /dev/null 2>&1 && break
  kill -0 "$daemon" 2>/dev/null || break
  sleep 0.1
done
if ! vsctl show > /dev/null; then
  echo "vswitchd did not start:" >&2
  cat "$run/log" >&2
  exit 1
fi
note "vswitchd runs (pid $daemon) with its sockets and database in $run"
note "\$ vsctl add-br lab"
vsctl add-br lab

say "3. The hosts: a tap of the bridge in a namespace each"
add_host() { # add_host NAME VLAN ADDRESS GATEWAY
  local ns; ns=$(hostname_of "$1")
  ip netns add "$ns"
  ip -n "$ns" link set lo up
  note "\$ vsctl add-port lab $1 tag=$2 -- set interface $1 type=tap options:netns=$ns"
  vsctl add-port lab "$1" "tag=$2" -- set interface "$1" type=tap "options:netns=$ns"
  ip -n "$ns" address add "$3" dev "$1"
  ip -n "$ns" link set dev "$1" up
  ip -n "$ns" route add default via "$4"
}
add_host h1 10 10.0.10.1/24 10.0.10.254
add_host h2 10 10.0.10.2/24 10.0.10.254
add_host h3 20 10.0.20.1/24 10.0.20.254
add_host h4 20 10.0.20.2/24 10.0.20.254

say "4. Inside a VLAN hosts reach each other"
check "h1 reaches h2 (VLAN 10)" inside h1 ping -n -q -c 3 -i 0.2 -W 2 10.0.10.2
check "h3 reaches h4 (VLAN 20)" inside h3 ping -n -q -c 3 -i 0.2 -W 2 10.0.20.2

say "5. Without a router no frame of VLAN 10 gets into VLAN 20"
# h3 gets an address in the other hosts' net, so that nothing but the VLAN can be in the way.
ip -n "$(hostname_of h3)" address add 10.0.10.3/24 dev h3
source=$(inside h1 cat /sys/class/net/h1/address)
capture() { inside "$1" timeout 4 tcpdump -n -l -e -i "$1" ether src "$source" 2> /dev/null; }
capture h3 > "$run/seen-h3" & watch_h3=$!
capture h2 > "$run/seen-h2" & watch_h2=$!
sleep 0.7
check_not "h1 does not reach h3, which has an address in its net but is on VLAN 20" \
  inside h1 ping -n -q -c 5 -i 0.2 -W 1 10.0.10.3
inside h1 ping -n -q -b -c 3 -i 0.2 -W 1 10.0.10.255 > /dev/null 2>&1 || true
wait "$watch_h3" "$watch_h2" || true
# tcpdump ends with an empty line when it is told to stop.
seen_h2=$(grep -c . "$run/seen-h2" || true)
seen_h3=$(grep -c . "$run/seen-h3" || true)
note "frames from h1 that arrived meanwhile: $seen_h2 at h2 (VLAN 10), $seen_h3 at h3 (VLAN 20)"
if [ "$seen_h2" -gt 0 ] && [ "$seen_h3" = 0 ]; then ok "its broadcasts stay in VLAN 10"; else bad "isolation"; fi
ip -n "$(hostname_of h3)" address del 10.0.10.3/24 dev h3

say "6. A router joins the VLANs: a namespace with a tap in each"
ns=$(hostname_of router)
ip netns add "$ns"
ip -n "$ns" link set lo up
for vlan in 10 20; do
  note "\$ vsctl add-port lab r$vlan tag=$vlan -- set interface r$vlan type=tap options:netns=$ns"
  vsctl add-port lab "r$vlan" "tag=$vlan" -- set interface "r$vlan" type=tap "options:netns=$ns"
  ip -n "$ns" address add "10.0.$vlan.254/24" dev "r$vlan"
  ip -n "$ns" link set dev "r$vlan" up
done
inside router sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'
check "h1 (VLAN 10) reaches h3 (VLAN 20) through the router" inside h1 ping -n -q -c 3 -i 0.2 -W 2 10.0.20.1
check "h4 (VLAN 20) reaches h2 (VLAN 10) through the router" inside h4 ping -n -q -c 3 -i 0.2 -W 2 10.0.10.2
ttl=$(inside h1 ping -n -c 1 -W 2 10.0.20.1 | sed -n 's/.*ttl=\([0-9]*\).*/\1/p')
if [ "$ttl" = 63 ]; then ok "and one hop was counted (ttl 63)"; else bad "ttl is '$ttl', not 63"; fi

say "7. What the switch says"
note "\$ vsctl show"; vsctl show | sed 's/^/    /'
note ""; note "\$ vsctl fdb show lab"; vsctl fdb show lab | sed 's/^/    /'
note ""; note "\$ vsctl port stats"; vsctl port stats | sed 's/^/    /'

say "8. TCP through the switch: h1 to h2, 3 seconds"
inside h2 iperf3 -s -1 > "$run/iperf" 2>&1 & server=$!
for _ in $(seq 30); do grep -q ':5201' <<< "$(inside h2 ss -ltn)" && break; sleep 0.1; done
result=$(inside h1 iperf3 -c 10.0.10.2 -t 3 -J 2>&1) || true
wait "$server" || true
rate=$(printf '%s' "$result" | awk '/"sum_received"/ {f = 1} f && /"bits_per_second"/ {gsub(/[^0-9.e+]/, "", $2); printf "%.2f", $2 / 1e9; exit}')
if [ -n "$rate" ] && awk "BEGIN {exit !($rate > 0.01)}"; then ok "$rate Gbit/s"; else bad "no TCP transfer: $result"; fi

if [ -n "${KEEP:-}" ]; then
  say "The lab stays up"
  note "export VSWITCH_RUNDIR=$run; $bin/vsctl show; ip netns exec $(hostname_of h1) bash"
else
  say "9. Taking it down"
  trap - EXIT
  take_down
  leftovers=$(ip netns list | grep -c "^$prefix-" || true)
  if [ "$leftovers" = 0 ] && [ -z "$(daemon_pid)" ] && [ ! -e "$run" ]; then ok "nothing is left"; else bad "leftovers"; fi
fi

if [ "$failed" = 0 ]; then say "All as it should be."; else say "Something failed: see above."; fi
exit "$failed"
