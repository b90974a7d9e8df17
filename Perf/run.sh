#!/bin/bash
# What `make perf` runs: the cost of a packet in instructions and heap allocations against Perf/thresholds, counted by
# valgrind and so the same on any machine; then a short round side by side with other switches (root).
#   ROUNDS=5 Perf/run.sh      longer round of the second part
#   PEERS=no Perf/run.sh      first part only
#   CLASSIFIER="--sizes 1000 --shapes acl" Perf/run.sh   other rule sets (default: all shapes, 1k to 500k rules)
#   BENCHMARKS=yes Perf/run.sh   also the wall-clock suites of Perf/Benchmarks
set -euo pipefail
cd "$(dirname "$0")/.."
scratch=.build-perf

if ! command -v valgrind > /dev/null; then
  echo "valgrind is missing: apt-get install valgrind" >&2
  exit 1
fi
VSWITCH_PERF=1 swift build -c release -j "$(nproc)" --static-swift-stdlib --scratch-path $scratch --product bridge-burst
program=$(VSWITCH_PERF=1 swift build -c release --static-swift-stdlib --scratch-path $scratch --show-bin-path)/bridge-burst

printf '\nbridge, memory port to memory port\n'
status=0
Perf/Callgrind/measure.py "$program" || status=1
Perf/Callgrind/check-hot-path.py "$program" || status=1
[ $status = 0 ] || echo "over the limits of Perf/thresholds" >&2

printf '\nflow tables: generated rule sets beside plain tuple-space search and a list\n'
VSWITCH_PERF=1 swift build -c release -j "$(nproc)" --static-swift-stdlib --scratch-path $scratch --product classifier
# shellcheck disable=SC2086
"$(dirname "$program")/classifier" ${CLASSIFIER:-}

if [ "${BENCHMARKS:-no}" = yes ]; then
  # Wall-clock figures, for comparisons within one run.
  VSWITCH_PERF=1 swift package --scratch-path $scratch-suites benchmark --grouping benchmark --no-progress
fi

if [ "${PEERS:-yes}" != no ] && [ "$(id -u)" = 0 ]; then
  make --no-print-directory build
  programs=$(swift build -c release --static-swift-stdlib --show-bin-path)
  VSWITCH_BINDIR=$programs python3 Perf/Peers/compare.py --rounds "${ROUNDS:-1}" --seconds 2
  if command -v ovs-ofctl > /dev/null; then
    printf '\nflow tables, beside Open vSwitch\n'
    VSWITCH_BINDIR=$programs python3 Perf/Peers/flows.py --count "${FLOWS:-100000}"
  fi
  if command -v ovsdb-server > /dev/null; then
    printf '\nthe database, beside ovsdb-server\n'
    python3 Perf/Peers/database.py --program "$programs/vswitchd"
  fi
fi
exit $status
