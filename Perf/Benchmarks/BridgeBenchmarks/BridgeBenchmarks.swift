// What the bridge asks for a packet (MAC table, VLAN rules), and whole bursts from memory port to memory port. Wall
// clock, so a comparison within one run only; what is held to a figure are the instructions that Perf/run.sh counts.

import Benchmark
import PerfScenarios
import VSwitchCore

let benchmarks: @Sendable () -> Void = {
  Benchmark.defaultConfiguration = .init(
    metrics: [.wallClock, .throughput], scalingFactor: .kilo, maxDuration: .seconds(1))

  for stations in [16, 1024, 65_536] {
    let table = MACTable(limit: 1 << 17, ageingSeconds: 300, portLimit: 64, seed: 0x5eed)
    let mask = UInt64(stations - 1)
    for address in 0...mask { table.learn(vlan: 10, address: address, port: UInt16(address & 63), now: 1) }
    Benchmark("MACTable: lookup among \(stations)") { benchmark in
      // Odd steps visit every station, not in the order in which they were learned.
      for i in benchmark.scaledIterations {
        blackHole(table.port(vlan: 10, address: UInt64(i) &* 40_503 & mask, now: 1))
      }
    }
    Benchmark("MACTable: learn again among \(stations)") { benchmark in
      for i in benchmark.scaledIterations {
        let address = UInt64(i) &* 40_503 & mask
        table.learn(vlan: 10, address: address, port: UInt16(address & 63), now: 1)
      }
    }
  }

  Benchmark("MACTable: learn new stations, full") { benchmark in
    let table = MACTable(limit: 1024, ageingSeconds: 300, portLimit: 4096, seed: 0x5eed)
    defer { table.deallocate() }
    for address in 0..<UInt64(1024) { table.learn(vlan: 10, address: address, port: 1, now: 1) }
    benchmark.startMeasurement()
    for i in benchmark.scaledIterations { table.learn(vlan: 10, address: UInt64(2000 + i), port: 1, now: 1) }
    benchmark.stopMeasurement()
  }

  for mode in VLANConfig.Mode.allCases {
    var config = VLANConfig()
    config.mode = mode
    config.tag = 10
    let policy = VLANPolicy(config)
    let outer: UInt32 = mode == .access ? 0 : 0x8100_000a
    Benchmark("VLANPolicy: in and out, \(mode.rawValue)") { benchmark in
      var reason = DropReason.noOutput
      for _ in benchmark.scaledIterations {
        guard let arrival = policy.arrival(outer: outer, inner: 0, reason: &reason) else { continue }
        if policy.carries(arrival) { blackHole(policy.departureTag(arrival)) }
      }
    }
  }

  for scenario in Scenario.all {
    // A thousandfold of 32 packets; the offloads' packets are big.
    let isBig = ["checksum", "segment"].contains(scenario.name)
    let configuration = Benchmark.Configuration(
      metrics: [.wallClock, .throughput], scalingFactor: isBig ? .one : .kilo, maxDuration: .seconds(1))
    Benchmark("burst of 32: \(scenario.name)", configuration: configuration) { benchmark in
      let run = try ScenarioRun(scenario)
      run.rounds(64)
      benchmark.startMeasurement()
      run.rounds(benchmark.scaledIterations.count)
      benchmark.stopMeasurement()
    }
  }
}
