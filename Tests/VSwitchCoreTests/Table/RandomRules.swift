// Rules and packets for random tests of the tables: of few values, so that they meet.

import ReferenceSwitch
import TestSupport
import VSwitchCore

/// Kinds of rule sets that exercise different structures.
enum RuleShape: CaseIterable {
  /// A few masks, each of many rules.
  case fewMasks
  /// Prefixes of one or two addresses, longest first.
  case prefixes
  /// Any masks of any fields.
  case anyMasks
  /// Hardly two rules with the same mask, of long fields.
  case explosion
}

struct RandomRules {
  var generator: SeededGenerator
  let shape: RuleShape
  static let fields: [Field] = [.inPort, .etherType, .ipv4Source, .ipv4Destination, .tcpSource, .reg3, .metadata]
  /// Where the fields are.
  static let words = Array(Set(fields.map { $0.layout.wordIndex })).sorted()

  init(seed: UInt64, shape: RuleShape) {
    generator = SeededGenerator(seed: seed)
    self.shape = shape
  }

  mutating func number(below limit: Int) -> Int { Int(generator.next() % UInt64(limit)) }

  /// A value of a field: few, and their differences in high bits as well as low ones.
  mutating func value(_ field: Field) -> UInt128 {
    let high = UInt128(generator.next() % 4) << UInt128(field.bitCount - 2)
    return high | UInt128(generator.next() % 8)
  }

  mutating func prefixMask(_ field: Field) -> UInt128 {
    let length = number(below: field.bitCount + 1)
    return field.fullMask & ~(length == field.bitCount ? 0 : field.fullMask >> UInt128(length))
  }

  mutating func match() -> Match {
    var match = Match()
    switch shape {
    case .fewMasks:
      let fields = [
        [Field.inPort, .ipv4Source, .ipv4Destination], [.ipv4Destination], [.inPort], [.reg3, .metadata], [],
      ]
      for field in fields[number(below: fields.count)] { match.set(field, value(field)) }
    case .prefixes:
      match.set(.ipv4Destination, value(.ipv4Destination), mask: prefixMask(.ipv4Destination))
      if number(below: 3) == 0 { match.set(.ipv4Source, value(.ipv4Source), mask: prefixMask(.ipv4Source)) }
    case .anyMasks:
      for field in RandomRules.fields where number(below: 2) == 0 {
        match.set(field, value(field), mask: UInt128(generator.next()) & UInt128(generator.next()))
      }
    case .explosion:
      for field in [Field.ipv4Source, .ipv4Destination, .tcpSource, .reg3] {
        match.set(field, value(field), mask: prefixMask(field))
      }
    }
    return match
  }

  mutating func packet() -> FlowKey {
    var key = FlowKey()
    for field in RandomRules.fields { key[field] = value(field) }
    return key
  }

  /// A change; most add.
  mutating func flowMod(cookie: UInt64, among known: [ReferenceRule]) -> FlowMod {
    var mod = FlowMod()
    mod.table = UInt8(number(below: 2))
    mod.priority = UInt16(number(below: 6))
    mod.match = match()
    mod.cookie = cookie
    mod.instructions = Instructions(apply: [.output(PortNumber(UInt32(number(below: 5) + 1)), maximumByteCount: 0)])
    if shape == .prefixes { mod.priority = UInt16(mod.match.mask.bitCount) }
    let kind = number(below: 20)
    if kind < 12 {
      if kind == 0 { mod.flags = .checkOverlap }
      return mod
    }
    // Half of the others are about a rule that there is.
    if kind % 2 == 0, let rule = known.isEmpty ? nil : known[number(below: known.count)] {
      mod.match = rule.match
      mod.priority = rule.priority
      mod.table = rule.table
    }
    if number(below: 4) == 0 { mod.outPort = PortNumber(UInt32(number(below: 5) + 1)) }
    if number(below: 4) == 0 { mod.cookieFilter = FlowMod.CookieFilter(value: UInt64(number(below: 4)), mask: 3) }
    switch kind {
    case 12, 13:
      mod.command = .modifyStrict
    case 14:
      mod.command = .modify
      mod.cookie = nil
    case 15, 16, 17: mod.command = .deleteStrict
    default: mod.command = .delete
    }
    if mod.command == .modify || mod.command == .modifyStrict { mod.outPort = .any }
    return mod
  }
}
