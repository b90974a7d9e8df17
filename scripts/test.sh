#!/bin/bash
# Runs the tests that are built, a target after the other: most tests of a target run at once, and what starts servers and
# hosts would take the processor from what waits for them. Runs all of them, and fails if one failed.
#   test.sh                 everything
#   test.sh ARGUMENT...     one run of `swift test` with these arguments
set -uo pipefail
swift=${SWIFT:-swift}
if [ $# -gt 0 ]; then
  exec "$swift" test --skip-build "$@"
fi
status=0
for group in 'VSwitchCoreTests|OpenFlowTests' DatapathTests DifferentialTests 'TransportTests|OVSDBTests' vsctlTests \
  vswitchdTests SystemTests GuestTests; do
  printf '\n-- %s\n' "$group"
  "$swift" test --skip-build --filter "^($group)\\." || status=1
done
exit $status
