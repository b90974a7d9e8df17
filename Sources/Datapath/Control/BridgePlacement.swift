// Which worker runs which bridge.
//
// Bridges that patch ports or guards join are one group, and a group is one worker's: a packet's whole way, both directions of a
// connection, and all that its bridges learn, count and cache are on one thread, so that packets take no lock and are handed
// to nobody. So connections are sharded by group. A bridge stays where it is unless it has to be where another one of its group
// is, or there are more or fewer workers than before. Pure.

/// A bridge that is to be placed.
struct PlacedBridge: Equatable, Sendable {
  var name: String
  var portCount: Int
  /// Where it is; nil: nowhere yet.
  var worker: Int?
}

enum BridgePlacement {
  /// The worker of each bridge, 0 to `workerCount` - 1.
  /// - Parameters:
  ///   - joined: pairs of bridges between which packets pass within the switch.
  ///   - spreadsAnew: whether bridges are to be spread over the workers whatever they are on now.
  static func place(
    _ bridges: [PlacedBridge], joined: [(String, String)], workerCount: Int, spreadsAnew: Bool
  ) -> [String: Int] {
    var loads = [Int](repeating: 0, count: max(workerCount, 1))
    var result: [String: Int] = [:]
    func put(_ group: Group, on worker: Int) {
      loads[worker] += group.weight
      for bridge in group.bridges { result[bridge.name] = worker }
    }
    var open: [Group] = []
    for group in groups(bridges, joined) {
      if !spreadsAnew, let worker = group.worker(below: loads.count) {
        put(group, on: worker)
      } else {
        open.append(group)
      }
    }
    // The largest first: small ones fill what is left.
    for group in open.sorted(by: { ($1.weight, $0.name) < ($0.weight, $1.name) }) {
      let least = loads.min() ?? 0
      let known = group.worker(below: loads.count).flatMap { loads[$0] == least ? $0 : nil }
      put(group, on: known ?? loads.firstIndex(of: least) ?? 0)
    }
    return result
  }

  private struct Group {
    var bridges: [PlacedBridge] = []
    var name: String { bridges.map(\.name).min() ?? "" }
    /// A bridge costs something even without ports.
    var weight: Int { bridges.reduce(0) { $0 + $1.portCount + 1 } }

    /// Where most of it is.
    func worker(below limit: Int) -> Int? {
      var weights: [Int: Int] = [:]
      for bridge in bridges {
        if let worker = bridge.worker, worker < limit { weights[worker, default: 0] += bridge.portCount + 1 }
      }
      return weights.max { ($0.value, $1.key) < ($1.value, $0.key) }?.key
    }
  }

  private static func groups(_ bridges: [PlacedBridge], _ joined: [(String, String)]) -> [Group] {
    var neighbours: [String: [String]] = [:]
    for (one, other) in joined {
      neighbours[one, default: []].append(other)
      neighbours[other, default: []].append(one)
    }
    let byName = Dictionary(bridges.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    var seen: Set<String> = []
    var groups: [Group] = []
    for bridge in bridges where seen.insert(bridge.name).inserted {
      var group = Group()
      var waiting = [bridge]
      while let next = waiting.popLast() {
        group.bridges.append(next)
        for name in neighbours[next.name] ?? [] {
          if let neighbour = byName[name], seen.insert(name).inserted { waiting.append(neighbour) }
        }
      }
      groups.append(group)
    }
    return groups
  }
}
