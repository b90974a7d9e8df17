// What the tables are set beside: the list of rules, and plain tuple-space search (Srinivasan, Suri, Varghese 1999) with
// one hash table for each mask, by falling priority, as it is told of Open vSwitch.

import VSwitchCore

/// Words that the generator's rules use; others are 0.
private let usedWords = [1, 4, 5, 6]

struct FlatRule {
  var key = InlineArray<4, UInt64>(repeating: 0)
  var mask = InlineArray<4, UInt64>(repeating: 0)
  var priority: UInt16
  var cookie: UInt64

  init(_ mod: FlowMod) {
    for (i, word) in usedWords.enumerated() {
      key[i] = mod.match.key.words[word]
      mask[i] = mod.match.mask.words[word]
    }
    priority = mod.priority
    cookie = mod.cookie ?? 0
  }

  func matches(_ packet: InlineArray<4, UInt64>) -> Bool {
    var difference: UInt64 = 0
    for i in 0..<4 { difference |= (packet[i] ^ key[i]) & mask[i] }
    return difference == 0
  }
}

func flat(_ key: FlowKey) -> InlineArray<4, UInt64> {
  [key.words[1], key.words[4], key.words[5], key.words[6]]
}

/// Rules by falling priority, looked at one by one.
struct LinearTable {
  private let rules: [FlatRule]

  init(_ mods: [FlowMod]) { rules = mods.map { FlatRule($0) }.sorted { $0.priority > $1.priority } }

  func lookup(_ packet: InlineArray<4, UInt64>) -> UInt64? {
    for i in 0..<rules.count where rules[i].matches(packet) { return rules[i].cookie }
    return nil
  }
}

/// A hash table for each mask.
final class TupleSpace {
  private final class Tuple {
    let mask: InlineArray<4, UInt64>
    var maximumPriority: UInt16 = 0
    var rules: [FlatRule?] = Array(repeating: nil, count: 16)
    var count = 0

    init(mask: InlineArray<4, UInt64>) { self.mask = mask }

    func hash(_ packet: InlineArray<4, UInt64>) -> Int {
      var hash: UInt64 = 0
      for i in 0..<4 {
        hash = (hash ^ packet[i] & mask[i]) &* 0x9e37_79b9_7f4a_7c15
        hash ^= hash &>> 29
      }
      return Int(truncatingIfNeeded: hash &>> 20)
    }

    func insert(_ rule: FlatRule) {
      if count * 2 >= rules.count {
        let old = rules
        rules = Array(repeating: nil, count: old.count * 2)
        count = 0
        for case .some(let rule) in old { insert(rule) }
      }
      maximumPriority = max(maximumPriority, rule.priority)
      var index = hash(rule.key) & (rules.count - 1)
      while rules[index] != nil { index = (index + 1) & (rules.count - 1) }
      rules[index] = rule
      count += 1
    }

    func find(_ packet: InlineArray<4, UInt64>) -> (UInt16, UInt64)? {
      var best: (UInt16, UInt64)?
      var index = hash(packet) & (rules.count - 1)
      while let rule = rules[index] {
        if rule.matches(packet), best == nil || rule.priority > best?.0 ?? 0 { best = (rule.priority, rule.cookie) }
        index = (index + 1) & (rules.count - 1)
      }
      return best
    }
  }

  private var tuples: [Tuple] = []
  var tupleCount: Int { tuples.count }

  init(_ mods: [FlowMod]) {
    var byMask: [[UInt64]: Tuple] = [:]
    for mod in mods {
      let rule = FlatRule(mod)
      let mask = (0..<4).map { rule.mask[$0] }
      let tuple = byMask[mask] ?? Tuple(mask: rule.mask)
      byMask[mask] = tuple
      tuple.insert(rule)
    }
    tuples = byMask.values.sorted { $0.maximumPriority > $1.maximumPriority }
  }

  func lookup(_ packet: InlineArray<4, UInt64>) -> UInt64? {
    var best: (UInt16, UInt64)?
    for tuple in tuples {
      if let best, best.0 >= tuple.maximumPriority { break }
      if let found = tuple.find(packet), found.0 > best?.0 ?? 0 || best == nil { best = found }
    }
    return best?.1
  }
}
