// OpenFlow port numbers: who keeps, who gets a wish, who gets a fresh one. A port keeps its number while it exists,
// and over a restart (the row remembers it); `ofport_request` is honoured if that number is free; a fresh number is
// the next after the last fresh one, so that the number of a removed port is not given to another at once. A value;
// deterministic: ties go by name.

import OVSDB

/// The port numbers of all bridges.
struct PortNumbering: Equatable, Sendable {
  /// What one port asks for.
  struct Wish: Equatable, Sendable {
    var port: String
    /// The bridge's own port.
    var isLocal: Bool
    /// `ofport_request`.
    var request: UInt16?
    /// `ofport` as the row remembers it.
    var previous: UInt16?
  }

  /// OFPP_LOCAL of OpenFlow 1.0, which the database uses.
  static let local: UInt16 = 65534
  /// What a port other than the bridge's own may have.
  static let range: ClosedRange<UInt16> = 1...65279

  private struct Bridge: Equatable {
    var numbers: [String: UInt16] = [:]
    /// Of all ports but the bridge's own.
    var taken: Set<UInt16> = []
    /// Ports that have not what they ask for, or no number at all.
    var unmet: Set<String> = []
    var lastFresh: UInt16 = 0

    /// Numbers are told in a circle.
    mutating func takeFresh() -> UInt16? {
      guard taken.count < PortNumbering.range.count else { return nil }
      repeat {
        lastFresh = lastFresh >= PortNumbering.range.upperBound ? PortNumbering.range.lowerBound : lastFresh + 1
      } while taken.contains(lastFresh)
      taken.insert(lastFresh)
      return lastFresh
    }
  }
  private var bridges: [String: Bridge] = [:]
  private var guards = GuardNumbering()

  /// Forgets all other bridges.
  mutating func keep(bridges names: Set<String>) {
    bridges = bridges.filter { names.contains($0.key) }
  }

  /// The numbers of a bridge's ports now; a port is missing only if no number is left.
  mutating func assign(bridge name: String, _ wishes: [Wish]) -> [String: UInt16] {
    var bridge = bridges[name] ?? Bridge()
    var numbers: [String: UInt16] = [:]
    var taken: Set<UInt16> = []
    func take(_ number: UInt16, _ wish: Wish) {
      guard Self.range.contains(number), numbers[wish.port] == nil, taken.insert(number).inserted else { return }
      numbers[wish.port] = number
    }
    var others: [Wish] = []
    for wish in wishes.sorted(by: { $0.port < $1.port }) {
      if wish.isLocal { numbers[wish.port] = Self.local } else { others.append(wish) }
    }
    func held(_ wish: Wish) -> UInt16? { bridge.numbers[wish.port] ?? wish.previous }
    for wish in others { if let held = held(wish), wish.request ?? held == held { take(held, wish) } }
    // Who asks for a number that stays with another keeps its own, before that is given away too.
    for wish in others {
      if let held = held(wish), let request = wish.request, taken.contains(request) { take(held, wish) }
    }
    for wish in others { if let request = wish.request { take(request, wish) } }
    for wish in others { if let held = held(wish) { take(held, wish) } }
    bridge.taken = taken
    for wish in others where numbers[wish.port] == nil { numbers[wish.port] = bridge.takeFresh() }
    bridge.numbers = numbers
    bridge.unmet = Set(
      others.lazy.filter { numbers[$0.port] == nil || $0.request ?? numbers[$0.port] != numbers[$0.port] }.map(\.port))
    bridges[name] = bridge
    return numbers
  }

  /// The same where only some ports have come, gone, or ask for something else than before; what it costs does not depend on
  /// how many others there are.
  /// - Returns: the numbers of those ports; nil, and nothing has changed, where a number may pass from one port to another:
  ///   then ask `assign`.
  mutating func change(bridge name: String, gone: some Collection<String>, _ wishes: [Wish]) -> [String: UInt16]? {
    guard var bridge = bridges.removeValue(forKey: name) else { return nil }
    let isDone = Self.change(&bridge, gone: gone, wishes)
    bridges[name] = bridge
    guard isDone else { return nil }
    return Dictionary(
      wishes.compactMap { wish in bridge.numbers[wish.port].map { (wish.port, $0) } }, uniquingKeysWith: { $1 })
  }

  private static func change(_ bridge: inout Bridge, gone: some Collection<String>, _ wishes: [Wish]) -> Bool {
    // First all questions, then all answers.
    let changing = Set(wishes.map(\.port)).union(gone)
    guard bridge.unmet.isSubset(of: changing), changing.count == wishes.count + gone.count else { return false }
    var free: Set<UInt16> = []
    for port in changing { if let number = bridge.numbers[port], number != local { free.insert(number) } }
    var given: [String: UInt16] = [:]
    var taken: Set<UInt16> = []
    var others: [String] = []
    for wish in wishes.sorted(by: { $0.port < $1.port }) {
      if wish.isLocal {
        given[wish.port] = local
        continue
      }
      let held = (bridge.numbers[wish.port] ?? wish.previous).flatMap { range.contains($0) ? $0 : nil }
      guard let number = wish.request ?? held else {
        others.append(wish.port)
        continue
      }
      // A wish that changes what its port has is granted alone.
      let isPlain = number == held || (changing.count == 1 && range.contains(number))
      guard isPlain, free.contains(number) || !bridge.taken.contains(number), taken.insert(number).inserted else {
        return false
      }
      given[wish.port] = number
    }
    guard bridge.taken.count - free.count + wishes.count <= range.count else { return false }
    for port in changing { bridge.numbers[port] = nil }
    bridge.unmet = []
    bridge.taken.subtract(free)
    bridge.taken.formUnion(taken)
    for port in others { given[port] = bridge.takeFresh() }
    for (port, number) in given { bridge.numbers[port] = number }
    return true
  }
}

// MARK: guards

extension PortNumbering {
  /// Ports that can have a guard.
  static let guardLimit = 16_384

  /// The number that the guard of a port's row has; a fresh one, if none had. Nil: there is none left.
  mutating func guardIndex(of row: RowUUID) -> Int? { guards.index(of: row) }

  /// The port has a guard no longer.
  mutating func removeGuard(of row: RowUUID) { guards.remove(row) }

  /// Forgets the guards of all other rows.
  mutating func keepGuards(of rows: Set<RowUUID>) { guards.keep(rows) }

  /// Fresh numbers are told in a circle as those of ports: what connection tracking knows of a port that is gone is forgotten
  /// before its number is another's.
  private struct GuardNumbering: Equatable, Sendable {
    private var indexes: [RowUUID: Int] = [:]
    private var taken: Set<Int> = []
    private var lastFresh = -1

    mutating func index(of row: RowUUID) -> Int? {
      if let index = indexes[row] { return index }
      guard taken.count < PortNumbering.guardLimit else { return nil }
      repeat { lastFresh = (lastFresh + 1) % PortNumbering.guardLimit } while taken.contains(lastFresh)
      indexes[row] = lastFresh
      taken.insert(lastFresh)
      return lastFresh
    }

    mutating func remove(_ row: RowUUID) {
      if let index = indexes.removeValue(forKey: row) { taken.remove(index) }
    }

    mutating func keep(_ rows: Set<RowUUID>) {
      for row in indexes.keys where !rows.contains(row) { remove(row) }
    }
  }
}
