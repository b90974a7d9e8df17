// How often groups and meters are referred to. Thread: control.

struct ReferenceCounts {
  private(set) var groups: [UInt32: Int] = [:]
  private(set) var meters: [UInt32: Int] = [:]

  mutating func add(_ group: UInt32, _ difference: Int) { ReferenceCounts.add(group, difference, &groups) }

  mutating func add(_ references: References, _ difference: Int) {
    // A rule counts once, however often it names the same.
    for group in Set(references.groups) { ReferenceCounts.add(group, difference, &groups) }
    for meter in Set(references.meters) { ReferenceCounts.add(meter, difference, &meters) }
  }

  private static func add(_ id: UInt32, _ difference: Int, _ counts: inout [UInt32: Int]) {
    let count = counts[id, default: 0] + difference
    counts[id] = count == 0 ? nil : count
  }
}
