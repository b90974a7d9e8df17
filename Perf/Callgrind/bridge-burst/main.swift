// Runs bursts of one kind of traffic through the bridge, from memory port to memory port or from guest to guest. Under callgrind the difference
// of two runs with different counts is the cost per packet: see Perf/run.sh.
// Usage: bridge-burst ROUNDS [SCENARIO [BURST]]; a round is BURST packets (32). Exits with 1 if not all of them left.

import Glibc
import PerfScenarios

let arguments = CommandLine.arguments
guard arguments.count > 1, let rounds = Int(arguments[1]), rounds >= 0 else {
  print("usage: bridge-burst ROUNDS [SCENARIO [BURST]], a scenario being one of:")
  for scenario in Scenario.all { print("  \(scenario.name): \(scenario.summary)") }
  for scenario in GuestScenarioRun.all { print("  \(scenario.name): \(scenario.summary)") }
  exit(2)
}
let name = arguments.count > 2 ? arguments[2] : "untagged"
let burst = arguments.count > 3 ? Int(arguments[3]) ?? 32 : 32

func finish(sent: Int, expected: Int) -> Never {
  // Apart: one text would be longer after more rounds, and so be allocated otherwise.
  print(sent, "packets left,", expected, "expected")
  exit(sent == expected ? 0 : 1)
}

if GuestScenarioRun.all.contains(where: { $0.name == name }) {
  let run = try GuestScenarioRun(name, burst: burst)
  run.rounds(rounds)
  finish(sent: run.sent, expected: run.expected)
}
guard let scenario = Scenario.all.first(where: { $0.name == name }) else {
  print("no scenario \(name): see `bridge-burst`")
  exit(2)
}
let run = try ScenarioRun(scenario, burst: burst)
run.rounds(rounds)
finish(sent: run.sent, expected: run.expected)
