#!/bin/bash
# What `make perf` runs: the cost of a packet in instructions and heap allocations, counted by valgrind and so the same on
# any machine; then a short round side by side with other switches (root).
#   ROUNDS=5 Perf/run.sh      longer round of the second part
#   PEERS=no Perf/run.sh      first part only
set -euo pipefail
cd "$(dirname "$0")/.."
scratch=.build-perf

if ! command -v valgrind > /dev/null; then
  echo "valgrind is missing: apt-get install valgrind" >&2
  exit 1
fi
VSWITCH_PERF=1 swift build -c release -j "$(nproc)" --static-swift-stdlib --scratch-path $scratch --product bridge-burst
program=$(VSWITCH_PERF=1 swift build -c release --static-swift-stdlib --scratch-path $scratch --show-bin-path)/bridge-burst
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

instructions() { # instructions ROUNDS SCENARIO
  valgrind --tool=callgrind --callgrind-out-file="$work/out" "$program" "$1" "$2" 2>&1 |
    sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}
allocations() {
  valgrind --tool=memcheck --undef-value-errors=no "$program" "$1" "$2" 2>&1 |
    sed -n 's/.*total heap usage: \([0-9,]*\) allocs.*/\1/p' | tr -d ,
}

# The difference between two runs leaves out what starting costs. A round is 32 packets.
few=100 many=1100 packets=$((32 * 1000))
printf '\n%-34s %12s %8s %12s %8s\n' "bridge, memory port to memory port" "instructions" "limit" "allocations" "limit"
status=0
for scenario in untagged push pop; do
  cost=$((($(instructions $many $scenario) - $(instructions $few $scenario)) / packets))
  heap=$(($(allocations $many $scenario) - $(allocations $few $scenario)))
  printf '%-34s %12d %8d %12d %8d\n' "64 bytes, $scenario, per packet" $cost 250 $heap 0
  [ $cost -le 250 ] && [ $heap = 0 ] || status=1
done
[ $status = 0 ] || echo "over the limit" >&2

if [ "${PEERS:-yes}" != no ] && [ "$(id -u)" = 0 ]; then
  make --no-print-directory build
  VSWITCH_BINDIR=$(swift build -c release --static-swift-stdlib --show-bin-path) \
    python3 Perf/Peers/compare.py --rounds "${ROUNDS:-1}" --seconds 2
fi
exit $status
