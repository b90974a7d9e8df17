// What a mistyped word was probably meant to be. Pure.

enum Suggestion {
  /// A remedy for an unknown word: the nearest known one, else the list of them.
  /// - Parameters:
  ///   - what: the plural of what is listed, "bridges".
  static func remedy(for word: String, among known: some Collection<String>, listedAs what: String) -> String {
    if let near = nearest(to: word, among: known) { return "did you mean \(near)?" }
    if known.isEmpty { return "there are no \(what) yet" }
    let sorted = known.sorted()
    let shown = sorted.prefix(12).joined(separator: ", ")
    return "\(what) are \(shown)\(sorted.count > 12 ? " and \(sorted.count - 12) more" : "")"
  }

  /// The known word with the fewest edits, if they are few for the word's length.
  static func nearest(to word: String, among known: some Collection<String>) -> String? {
    let limit = max(1, word.count / 3)
    // Of equally near ones that which begins alike, then by name.
    let ranked = known.map { name in
      let (a, b) = (word.lowercased(), name.lowercased())
      return (edits: distance(a, b), differing: -zip(a, b).prefix { $0 == $1 }.count, name: name)
    }
    let best = ranked.min { ($0.edits, $0.differing, $0.name) < ($1.edits, $1.differing, $1.name) }
    return best.flatMap { $0.edits <= limit ? $0.name : nil }
  }

  /// Optimal string alignment distance: inserts, deletes, replacements and swaps of neighbours.
  static func distance(_ a: String, _ b: String) -> Int {
    let a = Array(a.unicodeScalars)
    let b = Array(b.unicodeScalars)
    // Words of a command line are short; a longer one is no typing error of a known word.
    guard a.count <= 64, b.count <= 64 else { return max(a.count, b.count) }
    var beforeLast: [Int] = []
    var last = Array(0...b.count)
    for i in a.indices {
      var row = [i + 1]
      for j in b.indices {
        var cost = min(last[j + 1] + 1, row[j] + 1, last[j] + (a[i] == b[j] ? 0 : 1))
        if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { cost = min(cost, beforeLast[j - 1] + 1) }
        row.append(cost)
      }
      beforeLast = last
      last = row
    }
    return last[b.count]
  }
}
