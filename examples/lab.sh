# What the labs beside this file share; to be sourced. The caller has set `run` (a directory of its own) and `prefix` (of its
# namespaces). Everything is taken down at the end, and what a killed run left at the beginning.
set -euo pipefail

failed=0
pids=()
say() { printf '\n%s\n' "$*"; }
note() { printf '    %s\n' "$*"; }
check() { # check "claim" command...: the command must succeed
  local claim=$1; shift
  if "$@" > /dev/null 2>&1; then note "ok: $claim"; else note "FAILED: $claim ($*)"; failed=1; fi
}
check_not() {
  local claim=$1; shift
  if "$@" > /dev/null 2>&1; then note "FAILED: $claim ($*)"; failed=1; else note "ok: $claim"; fi
}
inside() { local host=$1; shift; ip netns exec "$prefix-$host" "$@"; }
vsctl() { "$bin/vsctl" --run-dir "$run" "$@"; }
show() { note "\$ vsctl $*"; vsctl "$@" | sed 's/^/        /'; }
do_it() { note "\$ vsctl $*"; vsctl "$@"; }
# shows TEXT COMMAND...: the command's output holds the text. Never `COMMAND | grep -q`: under pipefail that fails whenever the command
# writes another line after the one that grep ended at.
shows() { local text=$1; shift; grep -q -- "$text" <<< "$("$@")"; }
pings() { inside "$1" ping -n -q -c 3 -i 0.2 -W 2 "$2"; }

take_down() {
  local pid ns
  for pid in "${pids[@]}"; do kill -9 "$pid" 2> /dev/null || true; done
  wait 2> /dev/null || true
  for ns in $(ip netns list | awk -v p="$prefix-" 'index($1, p) == 1 {print $1}'); do
    for pid in $(ip netns pids "$ns"); do kill -9 "$pid" 2> /dev/null || true; done
    ip netns del "$ns"
  done
  rm -rf "$run"
}

# host NAME: a namespace.
namespace() {
  ip netns add "$prefix-$1"
  ip -n "$prefix-$1" link set lo up
}
# host NAME VLAN ADDRESS GATEWAY: a namespace with a tap of bridge br0.
host() {
  namespace "$1"
  vsctl add-port br0 "$1" "tag=$2" -- set interface "$1" type=tap "options:netns=$prefix-$1"
  ip -n "$prefix-$1" address add "$3" dev "$1"
  ip -n "$prefix-$1" link set "$1" up
  [ -z "${4:-}" ] || ip -n "$prefix-$1" route add default via "$4"
}

# start_switch [COMMAND...]: the switch, run by a command such as "ip netns exec NAME".
start_switch() {
  "$@" "$bin/vswitchd" --run-dir "$run" --log-file "$run/log" &
  pids+=("$!")
  for _ in $(seq 100); do vsctl show > /dev/null 2>&1 && return; sleep 0.05; done
  echo "vswitchd did not start: see $run/log" >&2
  exit 1
}

finish() {
  if [ "$failed" = 0 ]; then say "All claims hold."; else say "Some claims do not hold."; fi
  exit "$failed"
}

cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ "$(id -u)" = 0 ] || { echo "this lab needs root: it makes network namespaces and taps" >&2; exit 1; }
bin=${VSWITCH_BINDIR:-}
if [ -z "$bin" ]; then
  make
  bin=$(swift build -c release --static-swift-stdlib --show-bin-path)
fi
take_down
trap take_down EXIT
install -d -m 700 "$run"
