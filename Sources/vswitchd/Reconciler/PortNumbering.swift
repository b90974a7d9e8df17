// OpenFlow port numbers: who keeps, who gets a wish, who gets a fresh one. A port keeps its number while it exists,
// and over a restart (the row remembers it); `ofport_request` is honoured if that number is free; a fresh number is
// the next after the last fresh one, so that the number of a removed port is not given to another at once. A value;
// deterministic: ties go by name.

/// The port numbers of all bridges.
struct PortNumbering: Sendable {
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

  private struct Bridge {
    var numbers: [String: UInt16] = [:]
    var lastFresh: UInt16 = 0
  }
  private var bridges: [String: Bridge] = [:]

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
    for wish in others where numbers[wish.port] == nil {
      guard taken.count < Self.range.count else { break }
      var candidate = bridge.lastFresh
      repeat {
        candidate = candidate >= Self.range.upperBound ? Self.range.lowerBound : candidate + 1
      } while taken.contains(candidate)
      bridge.lastFresh = candidate
      take(candidate, wish)
    }
    bridge.numbers = numbers
    bridges[name] = bridge
    return numbers
  }
}
