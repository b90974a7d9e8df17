// Reads the parts of a match one by one: protocol shorthands, fields with masks, parts of fields. What they say is only
// judged together at the end: in ovs-ofctl's syntax the order is free.

import VSwitchCore

struct MatchParser {
  private let values: FieldValueParser
  private(set) var match = Match()
  /// Where each field was named, for errors about the whole.
  private var positions: [Field: TextSlice] = [:]

  init(names: NumberNames) { values = FieldValueParser(names: names) }

  /// Takes one key with its value.
  /// - Returns: false if the key is nothing of a match.
  mutating func take(_ pair: KeyValue) throws(FlowTextError) -> Bool {
    let key = pair.key.string
    if let shorthand = ProtocolName.byName[key] {
      match.set(.etherType, UInt128(shorthand.etherType))
      if let number = shorthand.ipProtocol { match.set(.ipProtocol, UInt128(number)) }
      return true
    }
    // The only packets there are.
    if key == "eth" { return true }
    if let named = NamedField(key) {
      // Open vSwitch reads a field without a value as one that is left open.
      if pair.value.isEmpty {
        guard !pair.hasValue || pair.delimiter == UInt8(ascii: "=") else {
          throw pair.key.error("\(key) has no value", remedy: "write \(key)=VALUE")
        }
      }
      try set(named, pair)
      return true
    }
    if pair.key.firstIndex(of: UInt8(ascii: "[")) != nil {
      try setPart(pair)
      return true
    }
    return false
  }

  private mutating func set(_ named: NamedField, _ pair: KeyValue) throws(FlowTextError) {
    let slice = pair.value
    if slice.isEmpty || slice.equals("*") {
      if named == .unsupported { _ = try SubfieldText.field(pair.key) }
      return
    }
    switch named {
    case .unsupported: _ = try SubfieldText.field(pair.key)
    case .tos:
      let value = try masked(slice, "nw_tos", limit: 255)
      match.set(.ipDSCP, value >> 2)
      positions[.ipDSCP] = pair.key
    case .vlan:
      let value = try masked(slice, "dl_vlan", limit: 0xffff)
      if value == 0xffff {
        match.set(.vlanTCI, 0)
      } else {
        guard value < 4096 else {
          throw slice.error("\(slice.quoted) is no VLAN", remedy: "give 0 to 4095, or 0xffff for packets without a tag")
        }
        match.set(.vlanID, 0x1000 | value)
      }
    case .vlanPriority:
      let value = try masked(slice, "dl_vlan_pcp", limit: 7)
      setVLANPriority(.vlanTCI, value)
    case .field(.vlanPriority): setVLANPriority(.vlanTCI, try masked(slice, "vlan_pcp", limit: 7))
    case .field(.innerVLANID):
      let value = try masked(slice, "dl_vlan1", limit: 4095)
      match.set(.innerVLANID, 0x1000 | value)
    case .field(.innerVLANPriority): setVLANPriority(.innerVLANTCI, try masked(slice, "dl_vlan_pcp1", limit: 7))
    case .field(let field):
      let parsed = try values.parse(field, slice)
      // OpenFlow's ports of a match are whole.
      match.set(field, parsed.value, mask: parsed.mask)
      positions[field] = pair.key
    }
  }

  private mutating func setVLANPriority(_ tci: Field, _ value: UInt128) {
    let before = match.value(tci) ?? (value: 0, mask: 0)
    match.set(tci, before.value & 0x0fff | 0x1000 | value << 13, mask: before.mask | 0xf000)
  }

  /// A number that can't be masked.
  private func masked(_ slice: TextSlice, _ name: String, limit: UInt16) throws(FlowTextError) -> UInt128 {
    guard let (first, second) = slice.split(at: UInt8(ascii: "/")) else {
      return UInt128(try slice.number(name, in: 0...limit))
    }
    let whole = second.integer() == UInt128(limit) || second.integer() == 0xffff
    guard whole else { throw second.error("\(name) is matched whole or not at all", remedy: "leave the mask out") }
    return UInt128(try first.number(name, in: 0...limit))
  }

  /// `reg0[0..3]=5`
  private mutating func setPart(_ pair: KeyValue) throws(FlowTextError) {
    let part = try SubfieldText.parse(pair.key)
    guard let value = pair.value.integer() else {
      throw pair.value.error(
        pair.value.isEmpty ? "\(pair.key.string) has no value" : "\(pair.value.quoted) is no number",
        remedy: "write decimal digits, or hexadecimal ones behind 0x")
    }
    guard part.bitCount == 128 || value >> UInt128(part.bitCount) == 0 else {
      throw pair.value.error(
        "\(pair.value.quoted) does not fit into \(part.bitCount) bits", remedy: "give a smaller number")
    }
    guard part.field.isMaskable || part.isWhole else {
      throw pair.key.error("\(part.field.name) is matched whole or not at all", remedy: "leave the bit range out")
    }
    let before = match.value(part.field) ?? (value: 0, mask: 0)
    match.set(
      part.field, before.value & ~part.mask | value << UInt128(part.firstBit), mask: before.mask | part.mask)
    positions[part.field] = pair.key
  }

  /// The match when all is read, in normal form.
  /// - Parameter notes: what was left out of it, as Open vSwitch notes it.
  func finish(notes: inout [String]) throws(FlowTextError) -> Match {
    let given = match
    let (normal, changed) = given.normalized()
    if changed {
      var printer = MatchPrinter(names: values.names)
      printer.showsEverything = true
      notes.append(
        "normalization changed ofp_match, details: pre: \(printer.text(given)) post: \(printer.text(normal))")
    }
    try checkFragments(normal)
    try checkConnection(normal)
    return normal
  }

  /// Later fragments have no transport header: Open vSwitch refuses such a match.
  private func checkFragments(_ match: Match) throws(FlowTextError) {
    guard match.mask[.ipFragment] & 2 != 0, match.key.ipFragment & 2 != 0 else { return }
    for field: Field in [.tcpSource, .tcpDestination, .tcpFlags] where match.mask[field] != 0 {
      let place = positions.first { $0.key.layout.wordIndex == field.layout.wordIndex }?.value
      throw FlowTextError(
        at: place?.lower ?? 0, "later fragments have no transport header",
        remedy: "use ip_frag=not_later, or leave it out")
    }
  }

  /// The original direction of a connection is known for tracked, valid packets only (ovs-fields(7), "ct_nw_src").
  private func checkConnection(_ match: Match) throws(FlowTextError) {
    let tuple: [(Field, UInt16)] = [
      (.ctIPv4Source, 0x0800), (.ctIPv4Destination, 0x0800), (.ctIPv6Source, 0x86dd), (.ctIPv6Destination, 0x86dd),
      (.ctProtocol, 0), (.ctTransportSource, 0), (.ctTransportDestination, 0),
    ]
    for (field, etherType) in tuple where match.mask[field] != 0 {
      let place = positions[field]?.lower ?? 0
      guard match.hasValidConnection else {
        throw FlowTextError(
          at: place, "\(field.name) needs a valid tracked connection", remedy: "add ct_state=+trk+est, or +trk-inv")
      }
      let type = match.key.etherType
      guard match.isExact(.etherType), etherType == 0 ? type == 0x0800 || type == 0x86dd : type == etherType else {
        throw FlowTextError(
          at: place, "\(field.name) needs \(etherType == 0x86dd ? "ipv6" : "ip")",
          remedy: "add \(etherType == 0x86dd ? "ipv6" : "ip") to the match")
      }
    }
  }
}
