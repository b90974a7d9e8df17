// The flow rules of a bridge that the switch itself programs (a router's, a guard's) as they are wanted, and the way from those
// that there are to these: only what differs is changed, so that cached flows and counters of the others stay. Pure.

/// What identifies a rule.
public struct RuleKey: Hashable, Sendable {
  public var table: UInt8
  public var priority: UInt16
  private var words: [UInt64]

  public init(_ rule: FlowMod) {
    table = rule.table
    priority = rule.priority
    words = rule.match.words.flatMap { [UInt64($0.index), $0.value, $0.mask] }
  }
}

/// Rules and groups of a bridge.
public struct BridgeRules: Equatable, Sendable {
  /// Of the rules that follow from the configuration; rules of neighbours have others.
  public static var cookie: UInt64 { 1 }

  public private(set) var flows: [RuleKey: FlowMod] = [:]
  public private(set) var groups: [UInt32: GroupDescription] = [:]

  public init() {}

  /// Adds a rule; of two for the same packets the first stays.
  mutating func add(
    _ table: RouterTable, _ priority: Int, _ match: Match, _ actions: [Action] = [], next: RouterTable? = nil
  ) {
    add(table: table.rawValue, priority, match, actions, next: next?.rawValue)
  }

  /// The same for tables by number.
  mutating func add(
    table: UInt8, _ priority: Int, _ match: Match, _ actions: [Action] = [], next: UInt8? = nil
  ) {
    var rule = FlowMod()
    rule.table = table
    rule.priority = UInt16(clamping: priority)
    rule.match = match
    rule.cookie = BridgeRules.cookie
    rule.instructions = Instructions(apply: actions)
    rule.instructions.gotoTable = next
    let key = RuleKey(rule)
    if flows[key] == nil { flows[key] = rule }
  }

  /// Adds a group.
  /// - Returns: its number.
  mutating func addGroup(_ buckets: [[Action]]) -> UInt32 {
    let id = UInt32(groups.count + 1)
    var group = GroupDescription(id: id, kind: .select)
    group.buckets = buckets.enumerated().map { index, actions in
      var bucket = GroupDescription.Bucket()
      bucket.id = UInt32(index + 1)
      bucket.actions = actions
      return bucket
    }
    groups[id] = group
    return id
  }

  /// Whether all rules of others are among these, as they are there.
  public func contains(flowsOf other: BridgeRules) -> Bool { other.flows.allSatisfy { flows[$0.key] == $0.value } }

  /// Takes over the rules of others, which have no groups.
  public mutating func add(flowsOf other: BridgeRules) { flows.merge(other.flows) { first, _ in first } }

  /// What is to be changed where `old` is there, in an order in which each change makes sense.
  public func changes(from old: BridgeRules) -> [TableChange] {
    var changes: [TableChange] = []
    for (id, group) in groups.sorted(by: { $0.key < $1.key }) where old.groups[id] != group {
      changes.append(.group(GroupMod(.addOrModify, group)))
    }
    for (key, rule) in flows where old.flows[key] != rule { changes.append(.flow(rule)) }
    for (key, rule) in old.flows where flows[key] == nil {
      var gone = rule
      gone.command = .deleteStrict
      gone.instructions = Instructions()
      changes.append(.flow(gone))
    }
    for (id, group) in old.groups where groups[id] == nil { changes.append(.group(GroupMod(.delete, group))) }
    return changes
  }
}

extension Match {
  /// A match on fields, each whole.
  init(_ fields: [(Field, UInt128)]) {
    self.init()
    for (field, value) in fields { set(field, value) }
  }

  static var arp: Match { Match([(.etherType, 0x0806)]) }
  static var ipv4: Match { Match([(.etherType, 0x0800)]) }
  static var ipv6: Match { Match([(.etherType, 0x86dd)]) }

  /// Packets of an IP version.
  static func ip(isIPv6: Bool) -> Match { isIPv6 ? .ipv6 : .ipv4 }

  func with(_ field: Field, _ value: some BinaryInteger, mask: UInt128? = nil) -> Match {
    var match = self
    match.set(field, UInt128(truncatingIfNeeded: value), mask: mask)
    return match
  }

  func from(_ port: PortNumber) -> Match { with(.inPort, port.rawValue) }
  func destination(_ prefix: IPPrefix) -> Match {
    with(prefix.isIPv6 ? .ipv6Destination : .ipv4Destination, prefix.address.bits, mask: prefix.mask)
  }
  func destination(_ address: IPAddress) -> Match {
    with(address.isIPv6 ? .ipv6Destination : .ipv4Destination, address.bits)
  }
  func source(_ prefix: IPPrefix) -> Match {
    with(prefix.isIPv6 ? .ipv6Source : .ipv4Source, prefix.address.bits, mask: prefix.mask)
  }
  /// - Parameter isSet: which of the bits have to be 1.
  func connection(_ isSet: UInt128, of bits: UInt128) -> Match { with(.ctState, isSet, mask: bits) }
}

/// Bits of ct_state (ovs-fields(7)).
enum ConnectionState {
  static var new: UInt128 { 0x01 }
  static var established: UInt128 { 0x02 }
  static var related: UInt128 { 0x04 }
  static var reply: UInt128 { 0x08 }
  static var invalid: UInt128 { 0x10 }
  static var tracked: UInt128 { 0x20 }
  static var destinationTranslated: UInt128 { 0x80 }
}

extension Action {
  static func set(_ field: Field, _ value: some BinaryInteger, mask: UInt128? = nil) -> Action {
    .setField(field, value: UInt128(truncatingIfNeeded: value), mask: mask ?? field.fullMask)
  }

  static func copy(_ source: Field, to destination: Field) -> Action {
    // Registers may be wider than what they keep.
    let count = min(source.bitCount, destination.bitCount)
    let from = Subfield(source, firstBit: 0, bitCount: count) ?? Subfield(source)
    let to = Subfield(destination, firstBit: 0, bitCount: count) ?? Subfield(destination)
    return .move(from: from, to: to)
  }

  /// Hands the packet to the switch's own services.
  /// - Parameter byteCount: how much of it.
  static func punt(_ reason: PuntReason, byteCount: UInt16 = 0xffff) -> Action {
    var action = ControllerAction()
    action.userData = [reason.rawValue]
    action.maximumByteCount = byteCount
    return .controller(action)
  }

  static func output(_ port: PortNumber) -> Action { .output(port, maximumByteCount: 0) }
}
