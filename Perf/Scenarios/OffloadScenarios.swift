// Exits that accept no offloads: checksums and segments are made in software.

import Datapath
import VSwitchCore

extension Scenario {
  static var offloads: [Scenario] { [checksum, segment] }

  private static let here = station(1, 1)
  private static let there = station(2, 1)

  private static func scenario(_ name: String, _ summary: String, payload: Int, segment: Int, copies: Int) -> Scenario {
    let (frame, offload) = tcpFrame(to: there, from: here, payload: payload, segment: segment)
    return Scenario(
      name: name, summary: summary, ports: [port("p1"), port("p2")], capabilities: ["p2": []],
      introductions: [("p2", smallFrame(to: here, from: there))], frames: [frame], offload: offload, copies: copies)
  }

  static var checksum: Scenario {
    scenario(
      "checksum", "1514 bytes of TCP, checksum finished in software", payload: 1460, segment: 0, copies: 1)
  }

  static var segment: Scenario {
    scenario(
      "segment", "64 KB of TCP cut into 44 segments in software, for each received", payload: 44 * 1460, segment: 1460,
      copies: 44)
  }
}
