// Reads lists of actions and instructions in ovs-ofctl's syntax (ovs-actions(7)).
// An action is judged where it stands: the match says which headers a packet has there, and actions before it change that.

import VSwitchCore

/// What one word of an `actions=` list is.
enum ParsedAction {
  case action(Action)
  case drop
  case meter(UInt32)
  case clearActions
  case writeActions([Action])
  case writeMetadata(Instructions.MaskedMetadata)
  case gotoTable(UInt8)

  /// The instruction that it is part of, by the order in which they run; nil for `drop`.
  var rank: Int? {
    switch self {
    case .drop: nil
    case .meter: 0
    case .action: 1
    case .clearActions: 2
    case .writeActions: 3
    case .writeMetadata: 4
    case .gotoTable: 5
    }
  }

  static let instructionNames = [
    "meter", "apply_actions", "clear_actions", "write_actions", "write_metadata", "goto_table",
  ]
}

struct ActionParser {
  /// Where the list stands.
  enum Place { case flow, nested, connection, bucketOrPacket }

  static let depthLimit = 32

  let names: NumberNames
  /// What is known of the packet where the next action runs.
  var state: Match
  /// The rule's table, which a goto_table must go past; nil: not said.
  var table: UInt8?
  var place = Place.flow
  var depth = 0
  /// In which versions all that has been read can be sent.
  var versions = VersionSet.all
  /// Why the last of `versions` went.
  var narrowest: FlowTextError?

  init(names: NumberNames, match: Match = Match(), table: UInt8? = nil) {
    self.names = names
    state = match
    self.table = table
  }

  /// Only these versions have what is read at the place.
  mutating func narrow(_ to: VersionSet, at slice: TextSlice, _ cause: String, remedy: String) {
    if !versions.isSubset(of: to) { narrowest = slice.error(cause, remedy: remedy) }
    versions.formIntersection(to)
  }

  // MARK: lists

  /// Each word of the list with what it means.
  mutating func words(_ text: TextSlice) throws(FlowTextError) -> [(word: TextSlice, meaning: ParsedAction)] {
    guard depth < ActionParser.depthLimit else {
      throw text.error("actions are nested too deep", remedy: "nest at most \(ActionParser.depthLimit) levels")
    }
    depth += 1
    defer { depth -= 1 }
    var result: [(word: TextSlice, meaning: ParsedAction)] = []
    var reader = KeyValueReader(text)
    while let pair = try reader.next() {
      let word = text.from(pair.key.lower, to: reader.position)
      result.append((word, try meaning(pair)))
    }
    if result.count > 1 {
      for (word, meaning) in result {
        if case .drop = meaning {
          throw word.error("\"drop\" stands with other actions", remedy: "leave it out, or the others")
        }
      }
    }
    try checkConjunctions(result)
    return result
  }

  /// A list that may have actions only.
  mutating func actions(_ text: TextSlice, place: Place) throws(FlowTextError) -> [Action] {
    let outer = self.place
    self.place = place
    defer { self.place = outer }
    var result: [Action] = []
    for (word, meaning) in try words(text) {
      switch meaning {
      case .action(let action): result.append(action)
      case .drop: break
      default:
        let name = meaning.rank.map { ParsedAction.instructionNames[$0] } ?? ""
        throw word.error("the instruction \(name) can't stand here", remedy: "move it to the end of the rule's actions")
      }
    }
    return result
  }

  /// A rule's `actions=`: actions, then instructions in the order in which they run.
  mutating func instructions(_ text: TextSlice) throws(FlowTextError) -> Instructions {
    var result = Instructions()
    var last = -1
    for (word, meaning) in try words(text) {
      guard let rank = meaning.rank else { continue }
      let name = ParsedAction.instructionNames[rank]
      if rank == last, rank != 1 { throw word.error("\(name) stands twice", remedy: "leave one out") }
      guard rank >= last else {
        throw word.error(
          "\(name) stands behind \(ParsedAction.instructionNames[last])",
          remedy: "write meter, then actions, clear_actions, write_actions, write_metadata, goto_table")
      }
      last = rank
      switch meaning {
      case .drop: break
      case .action(let action): result.apply.append(action)
      case .meter(let id): result.meter = id
      case .clearActions: result.clearsActions = true
      case .writeActions(let actions): result.write = actions
      case .writeMetadata(let metadata): result.metadata = metadata
      case .gotoTable(let table): result.gotoTable = table
      }
    }
    return result
  }

  private func checkConjunctions(_ words: [(word: TextSlice, meaning: ParsedAction)]) throws(FlowTextError) {
    var hasConjunction = false
    var other: TextSlice?
    for (word, meaning) in words {
      switch meaning {
      case .action(.conjunction): hasConjunction = true
      case .action(.note): break
      default: other = other ?? word
      }
    }
    if hasConjunction, let other {
      throw other.error(
        "conjunction can only stand with note", remedy: "put these actions into a rule that matches conj_id")
    }
  }

  // MARK: what the packet has here

  /// The packet must have what a field needs.
  func require(_ prerequisite: Prerequisite, _ name: String, at slice: TextSlice) throws(FlowTextError) {
    guard !state.satisfies(prerequisite) else { return }
    throw slice.error("\(name) needs \(prerequisite.phrase)", remedy: "add \(prerequisite.remedy) to the match")
  }

  /// The packet should have it: OpenFlow 1.0 takes the action even so, and does nothing.
  mutating func expect(_ isMet: Bool, _ prerequisite: Prerequisite, _ name: String, at slice: TextSlice) {
    if isMet { return }
    narrow(
      .v10, at: slice, "\(name) needs \(prerequisite.phrase)", remedy: "add \(prerequisite.remedy) to the match")
  }

  mutating func expect(_ prerequisite: Prerequisite, _ name: String, at slice: TextSlice) {
    expect(state.satisfies(prerequisite), prerequisite, name, at: slice)
  }

  /// A field that is read must be there.
  func requireReadable(_ part: Subfield, at slice: TextSlice) throws(FlowTextError) {
    try require(part.field.prerequisite, part.field.name, at: slice)
  }

  /// A field that is written must be there, and be writable.
  func requireWritable(_ part: Subfield, at slice: TextSlice) throws(FlowTextError) {
    let isConnectionField = part.field == .ctMark || part.field == .ctLabel
    if place == .connection {
      guard isConnectionField else {
        throw slice.error("ct(exec(…)) can't change \(part.field.name)", remedy: "change ct_mark or ct_label there")
      }
    } else if isConnectionField {
      throw slice.error("\(part.field.name) can't be changed here", remedy: "write it in ct(commit,exec(…))")
    }
    guard part.field.isWritable else {
      throw slice.error("\(part.field.name) is read-only", remedy: "leave it as it is")
    }
    try require(part.field == .vlanID ? .vlan : part.field.prerequisite, part.field.name, at: slice)
  }
}

extension Prerequisite {
  /// What it asks for, in words.
  var phrase: String {
    switch self {
    case .none, .tunnel: "nothing"
    case .vlan: "a VLAN tag"
    case .mpls: "an MPLS label"
    case .ipv4: "an IPv4 packet"
    case .ipv6: "an IPv6 packet"
    case .ip: "an IPv4 or IPv6 packet"
    case .arp: "an ARP packet"
    case .tcp: "TCP"
    case .udp: "UDP"
    case .sctp: "SCTP"
    case .icmp: "ICMP"
    case .icmpv6: "ICMPv6"
    case .neighbourSolicitation: "a neighbour solicitation"
    case .neighbourAdvertisement: "a neighbour advertisement"
    case .neighbourDiscovery: "neighbour discovery"
    }
  }

  /// What to add to a match for it.
  var remedy: String {
    switch self {
    case .none, .tunnel: "nothing"
    case .vlan: "vlan_vid=0x1000/0x1000 (or push_vlan before it)"
    case .mpls: "mpls"
    case .ipv4: "ip"
    case .ipv6: "ipv6"
    case .ip: "ip or ipv6"
    case .arp: "arp"
    case .tcp: "tcp or tcp6"
    case .udp: "udp or udp6"
    case .sctp: "sctp or sctp6"
    case .icmp: "icmp"
    case .icmpv6: "icmp6"
    case .neighbourSolicitation: "icmp6,icmp_type=135"
    case .neighbourAdvertisement: "icmp6,icmp_type=136"
    case .neighbourDiscovery: "icmp6,icmp_type=135"
    }
  }
}
