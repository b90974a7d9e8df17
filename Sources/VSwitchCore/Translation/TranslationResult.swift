// What translation answers, beside the program. Thread: plain data.

/// Tables by number, and what else a decision was made from: a cached flow is good while none of these has changed.
public struct TranslationDependencies: Equatable, Sendable {
  /// Bit n of word n / 64: table n.
  public private(set) var tables = InlineArray<4, UInt64>(repeating: 0)
  /// Groups, their buckets and their liveness.
  public internal(set) var usesGroups = false
  /// Ports: which there are, their configuration and liveness.
  public internal(set) var usesPorts = false

  public init() {}

  public static func == (a: Self, b: Self) -> Bool {
    a.usesGroups == b.usesGroups && a.usesPorts == b.usesPorts
      && (0..<4).allSatisfy { a.tables[$0] == b.tables[$0] }
  }

  @inlinable public func uses(table: UInt8) -> Bool { tables[Int(table) / 64] &>> UInt64(table % 64) & 1 == 1 }

  mutating func add(table: UInt8) { tables[Int(table) / 64] |= 1 &<< UInt64(table % 64) }
}

/// Where translation goes on with a packet that comes back from connection tracking or a controller, or is parsed again.
public struct Resumption: Equatable, Sendable {
  /// First, so that it is where the resumption is: the key of the flow whose program had the step, with the bits outside of its mask 0.
  public var key: FlowKey
  /// Which of that program's points: the number in its `recirculate` step, or `high` of its `conntrack`.
  public var point: UInt32
  /// The packet came from a controller, which said what is in the pipeline's fields, too: they are this key's.
  public var setsPipeline: Bool

  public init(key: FlowKey, point: UInt32, setsPipeline: Bool = false) {
    self.key = key
    self.point = point
    self.setsPipeline = setsPipeline
  }
}

extension Resumption {
  /// Words of the key that a controller may set in a packet which it sends: metadata and registers.
  @inlinable public static func isSetByControllers(_ index: Int) -> Bool { index == 15 || (18..<26).contains(index) }
}

/// The answer.
public struct TranslationResult: Sendable {
  /// Bits of the key that the decision read: every packet that has the same there gets the same program.
  public internal(set) var mask = FlowMask()
  public internal(set) var dependencies = TranslationDependencies()
  /// The packet goes nowhere, for this reason; nil if the program does anything with it.
  public internal(set) var drop: DropReason?
  /// Rules, groups and buckets that were hit, in the caller's buffer: their slots.
  public internal(set) var hitCount = 0
}
