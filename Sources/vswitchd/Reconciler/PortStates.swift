// The states of all ports as the datapath told them last, and what is new in what it tells. A value.

import Datapath
import VSwitchCore

/// What has become of ports since they were told of before.
struct PortNews: Equatable, Sendable {
  /// Those that have come or are otherwise than before.
  var changed: [PortState] = []
  var gone: Set<QualifiedPort> = []

  var isEmpty: Bool { changed.isEmpty && gone.isEmpty }

  /// All that there is news of.
  var places: Set<QualifiedPort> { gone.union(changed.lazy.map { QualifiedPort($0) }) }

  /// The same, bridge by bridge.
  var byBridge: [String: PortNews] {
    var result: [String: PortNews] = [:]
    for state in changed { result[state.bridge, default: PortNews()].changed.append(state) }
    for place in gone { result[place.bridge, default: PortNews()].gone.insert(place) }
    return result
  }

  /// Adds what was told after this.
  mutating func append(_ later: PortNews) {
    let places = later.places
    changed.removeAll { places.contains(QualifiedPort($0)) }
    changed += later.changed
    gone.subtract(later.changed.lazy.map { QualifiedPort($0) })
    gone.formUnion(later.gone)
  }
}

/// The states of all ports.
struct PortStates: Sendable {
  private(set) var all: [QualifiedPort: PortState] = [:]
  /// Those that do not work.
  private(set) var failed: Set<QualifiedPort> = []

  /// Takes the states of all ports there are.
  mutating func takeAll(_ states: [PortState]) -> PortNews {
    var gone = Set(all.keys)
    for state in states { gone.remove(QualifiedPort(state)) }
    return take(states, gone: gone)
  }

  /// Takes the states of some ports.
  mutating func take(_ states: [PortState], gone: some Collection<QualifiedPort>) -> PortNews {
    var news = PortNews()
    for place in gone {
      guard all.removeValue(forKey: place) != nil else { continue }
      failed.remove(place)
      news.gone.insert(place)
    }
    for state in states {
      let place = QualifiedPort(state)
      if all[place] == state { continue }
      all[place] = state
      if state.error == nil { failed.remove(place) } else { failed.insert(place) }
      news.changed.append(state)
    }
    return news
  }
}
