// Stations that are new with every packet, as an attacker who wants the MAC table full would send them.

import VSwitchCore

extension Scenario {
  static var learning: [Scenario] { [learn] }

  private static let there = station(2, 1)

  /// The table is full after 1024 packets; when a source comes again, it has long been evicted.
  private static var newStations: [[UInt8]] { (0..<4096).map { smallFrame(to: there, from: station(1, $0)) } }

  static var learn: Scenario {
    Scenario(
      name: "learn", summary: "a new source with every packet, MAC table full", ports: [port("p1"), port("p2")],
      macTableLimit: 1024, introductions: [("p2", smallFrame(to: station(1, 0), from: there))], frames: newStations)
  }
}
