import TestSupport
import Testing

@testable import Datapath

/// Which worker runs which bridge.
@Suite struct BridgePlacementTests {
  private func place(
    _ bridges: [PlacedBridge], _ joined: [(String, String)] = [], on workerCount: Int, spreadsAnew: Bool = false
  ) -> [String: Int] {
    BridgePlacement.place(bridges, joined: joined, workerCount: workerCount, spreadsAnew: spreadsAnew)
  }

  @Test func newBridgesGoWhereTheLeastIs() {
    let bridges = [
      PlacedBridge(name: "a", portCount: 1), PlacedBridge(name: "b", portCount: 9),
      PlacedBridge(name: "c", portCount: 3),
      PlacedBridge(name: "d", portCount: 3),
    ]
    #expect(place(bridges, on: 2) == ["b": 0, "c": 1, "d": 1, "a": 1])
    #expect(Set(place(bridges, on: 1).values) == [0])
    #expect(Set(place(bridges, on: 8).values).count == 4)
  }

  @Test func theSmallerPartOfWhatIsJoinedMoves() {
    let bridges = [
      PlacedBridge(name: "a", portCount: 2, worker: 0), PlacedBridge(name: "b", portCount: 5, worker: 1),
      PlacedBridge(name: "c", portCount: 2, worker: 0),
    ]
    #expect(place(bridges, [("a", "b")], on: 2) == ["a": 1, "b": 1, "c": 0])
    #expect(place(bridges, [("a", "b"), ("c", "a")], on: 2) == ["a": 0, "b": 0, "c": 0])
    // Of one that is not there, and of one with itself.
    #expect(place(bridges, [("a", "z"), ("a", "a")], on: 2) == ["a": 0, "b": 1, "c": 0])
  }

  /// What is joined is on one worker; what need not move stays; nothing is on a worker that there is not; anew, no worker has more
  /// than the others by more than the largest group.
  @Test(arguments: testSeeds(200)) func anythingIsPlaced(_ seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let workerCount = Int.random(in: 1...5, using: &random)
    let names = (0..<Int.random(in: 1...12, using: &random)).map { "b\($0)" }
    let bridges = names.map { name in
      PlacedBridge(
        name: name, portCount: Int.random(in: 0...9, using: &random),
        worker: Bool.random(using: &random) ? Int.random(in: 0...6, using: &random) : nil)
    }
    var joined: [(String, String)] = []
    for _ in 0..<Int.random(in: 0...6, using: &random) {
      if let one = names.randomElement(using: &random), let other = names.randomElement(using: &random) {
        joined.append((one, other))
      }
    }
    let places = place(bridges, joined, on: workerCount)
    #expect(Set(places.keys) == Set(names))
    #expect(places.values.allSatisfy { 0..<workerCount ~= $0 })
    for (one, other) in joined { #expect(places[one] == places[other]) }
    let loose = bridges.filter { bridge in !joined.contains { ($0 == bridge.name) != ($1 == bridge.name) } }
    for bridge in loose {
      if let worker = bridge.worker, worker < workerCount { #expect(places[bridge.name] == worker) }
    }
    // Once placed, it stays so.
    let again = bridges.map { PlacedBridge(name: $0.name, portCount: $0.portCount, worker: places[$0.name]) }
    #expect(place(again, joined, on: workerCount) == places)

    let anew = place(again, joined, on: workerCount, spreadsAnew: true)
    for (one, other) in joined { #expect(anew[one] == anew[other]) }
    var loads = [Int](repeating: 0, count: workerCount)
    for bridge in bridges { loads[anew[bridge.name] ?? 0] += bridge.portCount + 1 }
    var groupOf = Dictionary(uniqueKeysWithValues: names.map { ($0, $0) })
    for _ in names {
      for (one, other) in joined {
        let least = min(groupOf[one] ?? one, groupOf[other] ?? other)
        groupOf[one] = least
        groupOf[other] = least
      }
    }
    var groups: [String: Int] = [:]
    for bridge in bridges { groups[groupOf[bridge.name] ?? "", default: 0] += bridge.portCount + 1 }
    #expect((loads.max() ?? 0) - (loads.min() ?? 0) <= groups.values.max() ?? 0)
  }
}
