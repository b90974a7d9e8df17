#!/bin/bash
# Runs the tests that are built, a target after the other: most tests of a target run at once, and what starts servers and
# hosts would take the processor from what waits for them. Runs all of them, and fails if one failed.
#   test.sh                 everything
#   test.sh ARGUMENT...     one run of `swift test` with these arguments
# With VSWITCH_TEST_AGAIN=1 what failed is run once more, alone, and counts as it ends then; each such test is named
# ("failed at first"): it depends on the machine's load, which is a fault of the test to be mended.
set -uo pipefail
swift=${SWIFT:-swift}
if [ $# -gt 0 ]; then
  exec "$swift" test --skip-build "$@"
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# run TARGETS [TESTS]: one run, kept in $log
run() {
  "$swift" test --skip-build --filter "^($1)\\.${2:-}" 2>&1 | tee "$log"
}

status=0
for group in 'VSwitchCoreTests|OpenFlowTests' DatapathTests DifferentialTests 'TransportTests|OVSDBTests' vsctlTests \
  vswitchdTests SystemTests GuestTests; do
  printf '\n-- %s\n' "$group"
  run "$group" && continue
  if [ "${VSWITCH_TEST_AGAIN:-}" = 1 ]; then
    # Nothing is named if the process itself ended: then all are run again.
    failed=$(grep -oP '^✘ Test \K\w+(?=\()' "$log" | sort -u | paste -sd '|')
    printf '\n-- again: %s %s\n' "$group" "$failed"
    if run "$group" "${failed:+.*/($failed)\\(}" && grep -qE '^✔ Test run with [1-9]' "$log"; then
      echo "failed at first: ${failed:-$group}"
      continue
    fi
  fi
  status=1
done
exit $status
