// What is done to the bytes of a frame: reading its key, summing its payload. Wall clock, so a comparison within one
// run only; what is held to a figure are the instructions that Perf/run.sh counts.

import Benchmark
import VSwitchCore

let benchmarks: @Sendable () -> Void = {
  Benchmark.defaultConfiguration = .init(
    metrics: [.wallClock, .throughput], scalingFactor: .kilo, maxDuration: .seconds(1))
  let addresses: [UInt8] = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1]
  let tag: [UInt8] = [0x81, 0x00, 0x00, 0x0a]
  let payload = [UInt8](repeating: 7, count: 46)

  for (name, tags) in [("untagged", []), ("one tag", tag), ("two tags", tag + tag)] {
    let frame = addresses + tags + [0x08, 0x00] + payload
    Benchmark("EthernetHeader: \(name)") { benchmark in
      unsafe frame.withUnsafeBytes { bytes in
        guard let start = bytes.baseAddress else { return }
        for _ in benchmark.scaledIterations { unsafe blackHole(EthernetHeader(start, byteCount: bytes.count)) }
      }
    }
  }

  for byteCount in [20, 64, 1480, 65_500] {
    let bytes = (0..<byteCount).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    Benchmark("InternetChecksum: \(byteCount) bytes") { benchmark in
      unsafe bytes.withUnsafeBytes { bytes in
        for _ in benchmark.scaledIterations { unsafe blackHole(InternetChecksum.sum(of: bytes)) }
      }
    }
  }
}
