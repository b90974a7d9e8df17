// The ct action and its address translation (ovs-actions(7), "The ct action").

import VSwitchCore

extension ActionParser {
  mutating func conntrack(_ pair: KeyValue) throws(FlowTextError) -> ConntrackAction {
    try require(.ip, "ct", at: pair.key)
    var action = ConntrackAction()
    var reader = KeyValueReader(pair.value)
    while let part = try reader.next() {
      let value = part.value
      switch part.key.string {
      case "commit": action.commits = true
      case "force": action.forces = true
      case "table":
        let table = try names.table(value)
        guard table != 255 else { throw value.error("255 is no table for ct", remedy: "give 0 to 253") }
        action.recirculationTable = table
      case "zone":
        if let number = value.integer(), number <= 0xffff {
          action.zone = .immediate(UInt16(number))
        } else {
          let field = try SubfieldText.parse(value)
          guard field.bitCount == 16 else {
            throw value.error("the zone is not 16 bits wide", remedy: "give 16 bits, as NXM_NX_REG0[0..15]")
          }
          try requireReadable(field, at: value)
          action.zone = .field(field)
        }
      case "alg":
        let needs: Prerequisite
        switch value.string {
        case "ftp": (action.helperPort, needs) = (21, .tcp)
        case "tftp": (action.helperPort, needs) = (69, .udp)
        default: throw value.error("there is no helper \(value.quoted)", remedy: "give ftp or tftp")
        }
        try require(needs, "alg=\(value.string)", at: value)
      case "nat": action.translation = try translation(part)
      case "exec": action.actions = try actions(value, place: .connection)
      default:
        throw part.key.error(
          "ct has no \(part.key.quoted)", remedy: "give commit, force, table, zone, nat, exec or alg")
      }
    }
    guard !action.commits || state.key[.ctState] & 0x10 == 0 else {
      throw pair.key.error("an invalid connection can't be committed", remedy: "leave commit out, or +inv in the match")
    }
    guard action.commits || !action.forces else {
      throw pair.key.error("force needs commit", remedy: "add commit")
    }
    let commitOnly = !action.actions.isEmpty || action.translation?.kind != nil
    guard action.commits || !commitOnly else {
      throw pair.key.error("exec, and nat with src or dst, need commit", remedy: "add commit")
    }
    for nested in action.actions {
      switch nested {
      case .setField, .move: break
      default:
        throw pair.key.error(
          "ct(exec(…)) can only write ct_mark and ct_label", remedy: "use set_field, load or move there")
      }
    }
    return action
  }

  private func translation(_ pair: KeyValue) throws(FlowTextError) -> NetworkTranslation {
    var nat = NetworkTranslation()
    var reader = KeyValueReader(pair.value)
    while let part = try reader.next() {
      switch part.key.string {
      case "src", "dst":
        let kind: NetworkTranslation.Kind = part.key.equals("src") ? .source : .destination
        guard nat.kind == nil || nat.kind == kind else {
          throw part.key.error("nat has both src and dst", remedy: "leave one out")
        }
        nat.kind = kind
        if !part.value.isEmpty { try range(part.value, into: &nat) }
      case "persistent": nat.persistent = true
      case "hash": nat.hashes = true
      case "random": nat.randomizes = true
      default:
        throw part.key.error("nat has no \(part.key.quoted)", remedy: "give src, dst, persistent, hash or random")
      }
    }
    guard nat.kind != nil || !(nat.persistent || nat.hashes || nat.randomizes) else {
      throw pair.key.error("persistent, hash and random need src or dst", remedy: "add src=ADDRESS or dst=ADDRESS")
    }
    guard !(nat.hashes && nat.randomizes) else {
      throw pair.key.error("nat has both hash and random", remedy: "leave one out")
    }
    return nat
  }

  /// `ADDRESS[-ADDRESS][:PORT[-PORT]]`, IPv6 addresses in brackets if ports follow.
  private func range(_ text: TextSlice, into nat: inout NetworkTranslation) throws(FlowTextError) {
    var addresses = text
    var ports: TextSlice?
    let isIPv6: Bool
    if text.first == UInt8(ascii: "[") {
      isIPv6 = true
      if let close = text.lastIndex(of: UInt8(ascii: "]")) {
        addresses = text.from(text.lower, to: close + 1)
        if close + 1 < text.upper {
          guard text.bytes[close + 1] == UInt8(ascii: ":") else {
            throw text.from(close + 1, to: text.upper).error(
              "a port is expected here", remedy: "write :PORT or :PORT-PORT")
          }
          ports = text.from(close + 2, to: text.upper)
        }
      }
    } else if let colon = text.firstIndex(of: UInt8(ascii: ":")),
      text.from(colon + 1, to: text.upper)
        .firstIndex(of: UInt8(ascii: ":")) == nil
    {
      isIPv6 = false
      addresses = text.from(text.lower, to: colon)
      ports = text.from(colon + 1, to: text.upper)
    } else {
      isIPv6 = text.firstIndex(of: UInt8(ascii: ":")) != nil
    }
    func address(_ slice: TextSlice) throws(FlowTextError) -> UInt128 {
      var inner = slice
      if isIPv6, slice.first == UInt8(ascii: "["), slice.bytes[slice.upper - 1] == UInt8(ascii: "]") {
        inner = slice.dropFirst(1).dropLast(1)
      }
      if isIPv6, let value = AddressText.ipv6(inner) { return value }
      if !isIPv6, let value = AddressText.ipv4(inner) { return UInt128(value) }
      throw slice.error("\(slice.quoted) is no address for nat", remedy: "write ADDRESS[-ADDRESS][:PORT[-PORT]]")
    }
    let (first, last) = addresses.split(at: UInt8(ascii: "-")) ?? (addresses, addresses)
    let low = try address(first)
    let high = try address(last)
    guard low <= high else {
      throw addresses.error("the range of nat ends before it begins", remedy: "give the lower address first")
    }
    // The unspecified address says nothing.
    if low != 0 {
      nat.addresses = low...high
      nat.isIPv6 = isIPv6
      try require(isIPv6 ? .ipv6 : .ipv4, "nat with this address", at: text)
    }
    guard let ports else { return }
    let (a, b) = ports.split(at: UInt8(ascii: "-")) ?? (ports, ports)
    let lowPort: UInt16 = try a.number("port", in: 1...UInt16.max)
    let highPort: UInt16 = try b.number("port", in: 1...UInt16.max)
    guard lowPort <= highPort else {
      throw ports.error("the range of nat ends before it begins", remedy: "give the lower port first")
    }
    nat.ports = lowPort...highPort
  }
}
