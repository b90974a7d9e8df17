// How often groups, meters and what is learned are referred to. Thread: control.

/// Rules that `learn` makes, by which they are told from others.
struct LearnedRules: Hashable {
  var table: UInt8
  var cookie: UInt64
}

struct ReferenceCounts {
  /// By rules that take what they have learned along.
  private var learned: [LearnedRules: Int] = [:]
  /// Those that nothing refers to any more.
  private var orphans: Set<LearnedRules> = []
  private(set) var groups: [UInt32: Int] = [:]
  private(set) var meters: [UInt32: Int] = [:]

  /// Whether there are rules that take what they have learned along.
  var hasLearned: Bool { !learned.isEmpty }

  mutating func add(_ group: UInt32, _ difference: Int) { ReferenceCounts.add(group, difference, &groups) }

  mutating func add(_ references: References, _ difference: Int) {
    // A rule counts once, however often it names the same.
    for group in Set(references.groups) { ReferenceCounts.add(group, difference, &groups) }
    for meter in Set(references.meters) { ReferenceCounts.add(meter, difference, &meters) }
    for key in Set(references.learned) {
      let count = learned[key, default: 0] + difference
      learned[key] = count == 0 ? nil : count
      if count == 0 { orphans.insert(key) }
    }
  }

  /// What lost its last reference since the last call, and has got none since.
  mutating func takeOrphans() -> [LearnedRules] {
    guard !orphans.isEmpty else { return [] }
    defer { orphans = [] }
    return orphans.filter { learned[$0] == nil }
  }

  private static func add(_ id: UInt32, _ difference: Int, _ counts: inout [UInt32: Int]) {
    let count = counts[id, default: 0] + difference
    counts[id] = count == 0 ? nil : count
  }
}
