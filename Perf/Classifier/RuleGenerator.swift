// Rule sets in the shapes that ClassBench (Taylor, Turner 2007) found in real ones, and a few that are hard: made from a
// seed, so that a figure can be had again. Also packets for them: most hit some rule, some hit none.

import VSwitchCore

/// Kinds of rule sets.
enum RuleShape: String, CaseIterable {
  /// Access lists: both addresses narrow, destination ports often one.
  case acl
  /// Firewalls: many open fields, source ports too.
  case firewall
  /// Chains of a host: pairs of hosts and networks, few ports.
  case chain = "ip-chain"
  /// Each rule one connection: one mask.
  case fiveTuple = "5-tuple"
  /// A routing table: destination prefixes, the longest first.
  case routes
  /// Any prefix length of both addresses and ports: nearly as many masks as rules.
  case explosion
}

/// Randomness that a seed repeats (SplitMix64).
struct Generator {
  private var state: UInt64
  init(seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z &>> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z &>> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z &>> 31)
  }
  mutating func number(below limit: Int) -> Int { Int(next() % UInt64(limit)) }
  mutating func chance(_ percent: Int) -> Bool { number(below: 100) < percent }
}

struct RuleGenerator {
  let shape: RuleShape
  private var generator: Generator
  /// Networks that the addresses come from, so that prefixes nest.
  private var networks: [UInt32]

  init(_ shape: RuleShape, count: Int, seed: UInt64) {
    self.shape = shape
    generator = Generator(seed: seed)
    networks = []
    for _ in 0..<max(count / 64, 16) { networks.append(UInt32(truncatingIfNeeded: generator.next())) }
  }

  /// Rules to add, of different matches. Narrow ones go first, as they do where somebody wrote them, but not strictly.
  mutating func rules(_ count: Int) -> [FlowMod] {
    var seen: Set<[UInt64]> = []
    var found: [(match: Match, rank: Int)] = []
    while found.count < count {
      let match = match()
      let words = [4, 5, 6].flatMap { [match.key.words[$0], match.mask.words[$0]] }
      guard seen.insert(words).inserted else { continue }
      found.append((match, match.mask.bitCount + (shape == .routes ? 0 : generator.number(below: 24))))
    }
    found.sort { $0.rank > $1.rank }
    var rules = found.enumerated().map { index, rule in
      var mod = FlowMod()
      mod.match = rule.match
      mod.priority = shape == .routes ? UInt16(rule.rank) : UInt16(65535 - index * 65535 / count)
      mod.cookie = UInt64(index)
      mod.instructions = Instructions(apply: [.output(PortNumber(UInt32(index % 8 + 1)), maximumByteCount: 0)])
      return mod
    }
    // They come in any order.
    for index in rules.indices { rules.swapAt(index, generator.number(below: count)) }
    return rules
  }

  /// Packets, nine of ten within a random rule.
  mutating func packets(_ count: Int, for rules: [FlowMod]) -> [FlowKey] {
    (0..<count).map { _ in
      var key = FlowKey()
      key.etherType = 0x0800
      key.ipProtocol = generator.chance(70) ? 6 : 17
      key.ipv4Source = address()
      key.ipv4Destination = address()
      key.transportSource = UInt16(truncatingIfNeeded: generator.next())
      key.transportDestination = UInt16(truncatingIfNeeded: generator.next())
      if !rules.isEmpty, generator.chance(90) {
        let match = rules[generator.number(below: rules.count)].match
        for i in 0..<FlowKey.wordCount {
          key.words[i] = key.words[i] & ~match.mask.words[i] | match.key.words[i]
        }
      }
      return key
    }
  }

  private mutating func address() -> UInt32 {
    let network = networks[generator.number(below: networks.count)]
    return network & 0xffff_0000 | UInt32(truncatingIfNeeded: generator.next()) & 0xffff
  }

  private mutating func match() -> Match {
    var match = Match()
    match.set(.etherType, 0x0800)
    switch shape {
    case .acl:
      set(.ipv4Source, length: pick([(30, 32), (25, 24), (15, 28), (10, 16), (10, 27), (5, 23), (5, 0)]), &match)
      set(.ipv4Destination, length: pick([(50, 32), (20, 24), (10, 29), (10, 16), (5, 26), (5, 0)]), &match)
      transport(&match, tcp: 75, source: 3, destination: 60, range: 20)
    case .firewall:
      set(.ipv4Source, length: pick([(40, 0), (25, 32), (15, 24), (10, 16), (10, 28)]), &match)
      set(.ipv4Destination, length: pick([(20, 0), (45, 32), (15, 24), (10, 28), (10, 16)]), &match)
      transport(&match, tcp: 60, source: 25, destination: 50, range: 30)
    case .chain:
      set(.ipv4Source, length: pick([(45, 32), (15, 24), (15, 0), (10, 16), (10, 21), (5, 8)]), &match)
      set(.ipv4Destination, length: pick([(45, 32), (20, 24), (15, 0), (10, 20), (10, 16)]), &match)
      transport(&match, tcp: 50, source: 10, destination: 35, range: 10)
    case .fiveTuple:
      set(.ipv4Source, length: 32, &match)
      set(.ipv4Destination, length: 32, &match)
      match.set(.ipProtocol, 6)
      match.set(.tcpSource, UInt128(generator.next() & 0xffff))
      match.set(.tcpDestination, UInt128(generator.next() & 0x3ff))
    case .routes:
      let length = pick([
        (55, 24), (12, 22), (8, 23), (6, 21), (6, 20), (4, 19), (4, 16), (2, 18), (1, 17), (1, 12), (1, 32),
      ])
      match.set(.ipv4Destination, UInt128(generator.next() & 0xffff_ffff), mask: prefix(length, of: 32))
    case .explosion:
      let random = generator.next()
      match.set(.ipv4Source, UInt128(random & 0xffff_ffff), mask: prefix(generator.number(below: 33), of: 32))
      match.set(.ipv4Destination, UInt128(random >> 32), mask: prefix(generator.number(below: 33), of: 32))
      match.set(.ipProtocol, 6)
      match.set(
        .tcpSource, UInt128(generator.next() & 0xffff), mask: prefix(generator.number(below: 17), of: 16))
      match.set(
        .tcpDestination, UInt128(generator.next() & 0xffff), mask: prefix(generator.number(below: 17), of: 16))
    }
    return match
  }

  private mutating func set(_ field: Field, length: Int, _ match: inout Match) {
    if length > 0 { match.set(field, UInt128(address()), mask: prefix(length, of: 32)) }
  }

  private mutating func transport(_ match: inout Match, tcp: Int, source: Int, destination: Int, range: Int) {
    if generator.chance(10) { return }
    match.set(.ipProtocol, generator.chance(tcp) ? 6 : 17)
    if generator.chance(source) { match.set(.tcpSource, UInt128(generator.next() & 0xffff)) }
    if generator.chance(destination) {
      // Few ports are frequent.
      let port =
        generator.chance(60)
        ? [22, 25, 53, 80, 110, 123, 443, 8080][generator.number(below: 8)] : generator.number(below: 65536)
      match.set(.tcpDestination, UInt128(port))
    } else if generator.chance(range) {
      match.set(
        .tcpDestination, UInt128(generator.next() & 0xffff), mask: prefix(pick([(50, 6), (30, 10), (20, 13)]), of: 16))
    }
  }

  private mutating func pick(_ choices: [(percent: Int, value: Int)]) -> Int {
    var number = generator.number(below: choices.reduce(0) { $0 + $1.percent })
    for choice in choices {
      number -= choice.percent
      if number < 0 { return choice.value }
    }
    return choices[0].value
  }

  private func prefix(_ length: Int, of bitCount: Int) -> UInt128 {
    let all = UInt128(1) << UInt128(bitCount) - 1
    return all & ~(all >> UInt128(length))
  }
}
