// Changes of the packet and of the pipeline's fields. Every change of a field is a step of the program at once, and the field
// is known from then on; steps that nothing follows are taken out at the end. Thread and memory: as `Translation`.
// Standard: OpenFlow 1.5 §5.8 (actions), §7.2.3.7 (prerequisites), ovs-actions(7).

extension Translation {
  // MARK: Fields

  mutating func setField(_ step: CodeStep, value: UInt128, mask: UInt128) {
    guard let field = Field(rawValue: UInt8(truncatingIfNeeded: step.argument)) else { return }
    set(field, value, mask: mask)
  }

  mutating func move(from source: PackedSubfield, to destination: PackedSubfield) {
    guard satisfies(source.field.prerequisite) else {
      record(.remark(.packetLacks(source.field)))
      return
    }
    set(destination, read(source))
  }

  /// Sets a subfield to the low bits of a value.
  mutating func set(_ destination: PackedSubfield, _ value: UInt128) {
    set(destination.field, value &<< UInt128(destination.firstBit), mask: destination.mask)
  }

  /// Sets bits of a field, if the packet has it.
  mutating func set(_ field: Field, _ value: UInt128, mask: UInt128) {
    guard field.isWritable else { return }
    if field == .vlanTCI {
      setTCI(UInt16(truncatingIfNeeded: value), mask: UInt16(truncatingIfNeeded: mask))
      return
    }
    guard has(field) else {
      record(.remark(.packetLacks(field)))
      return
    }
    // The bit that says that there is a tag stays: only push and pop change it.
    let mask = field == .vlanID ? mask & 0xfff : mask
    state.write(field, value, mask: mask)
    switch field {
    case .metadata, .inPort, .reg0, .reg1, .reg2, .reg3, .reg4, .reg5, .reg6, .reg7, .reg8, .reg9, .reg10, .reg11,
      .reg12, .reg13, .reg14, .reg15, .xreg0, .xreg1, .xreg2, .xreg3, .xreg4, .xreg5, .xreg6, .xreg7, .xxreg0,
      .xxreg1, .xxreg2, .xxreg3:
      break
    default: append(ActionStep(.setField, field: field, value: value & mask, mask: mask))
    }
  }

  /// Whether the packet has a field to be written.
  private mutating func has(_ field: Field) -> Bool { field == .vlanID ? hasTag() : satisfies(field.prerequisite) }

  /// Whether the packet is what a field asks for: what has to be read for that counts for the mask.
  private mutating func satisfies(_ prerequisite: Prerequisite) -> Bool {
    switch prerequisite {
    case .none, .tunnel: true
    case .vlan: hasTag()
    case .mpls: state.isMPLS
    case .ipv4: state.isIPv4
    case .ipv6: state.isIPv6
    case .ip: state.isIP
    case .arp: state.isARP
    case .tcp: isProtocol(6) && isFirstFragment
    case .udp: isProtocol(17) && isFirstFragment
    case .sctp: isProtocol(132) && isFirstFragment
    case .icmp: state.isIPv4 && isProtocol(1) && isFirstFragment
    case .icmpv6: state.isIPv6 && isProtocol(58) && isFirstFragment
    case .neighbourSolicitation: isNeighbourDiscovery(135, 135)
    case .neighbourAdvertisement: isNeighbourDiscovery(136, 136)
    case .neighbourDiscovery: isNeighbourDiscovery(135, 136)
    }
  }

  mutating func isProtocol(_ number: UInt8) -> Bool { state.isIP && read(.ipProtocol) == UInt128(number) }

  /// The bit is in every mask of an IP packet.
  private var isFirstFragment: Bool { state.key.ipFragment & 2 == 0 }

  private mutating func isNeighbourDiscovery(_ first: UInt8, _ last: UInt8) -> Bool {
    guard state.isIPv6, isProtocol(58), isFirstFragment else { return false }
    let type = read(.icmpv6Type)
    return type >= UInt128(first) && type <= UInt128(last) && read(.icmpv6Code) == 0
  }

  mutating func hasTag() -> Bool { read(.vlanTCI, mask: 0x1000) != 0 }

  // MARK: VLAN tags (IEEE 802.1Q §9)

  /// The new tag has the VID and priority of the outer one (OpenFlow 1.5 §5.8, "Default values for fields on push").
  mutating func pushVLAN(etherType: UInt16) {
    let tci = hasTag() ? UInt16(truncatingIfNeeded: read(.vlanTCI)) : 0
    pushTag(etherType: etherType, tci: tci & 0xefff)
  }

  /// - Parameter tci: bit 12 clear.
  private mutating func pushTag(etherType: UInt16, tci: UInt16) {
    let type = state.key.vlanType
    if hasTag() {
      // The outer tag becomes the inner one: it is read, so that it is known there.
      read(word: 2, 0xffff)
      read(word: 3, 0xffff_ffff_ffff_0000)
      if state.key.innerVLANTCI & 0x1000 != 0 { state.hiddenTagCount = min(state.hiddenTagCount &+ 1, 254) }
      state.key.innerVLANTCI = state.key.vlanTCI
      state.key.innerVLANType = type
    } else {
      state.key.innerVLANTCI = 0
      state.key.innerVLANType = 0
    }
    state.key.vlanTCI = tci | 0x1000
    state.key.vlanType = etherType
    state.own.words[2] &= ~0xffff
    state.own.words[3] &= 0xffff
    append(ActionStep(.pushVLAN, number: UInt32(tci), half: etherType))
  }

  mutating func popVLAN() {
    guard hasTag() else {
      record(.remark(.noTag))
      return
    }
    read(word: 3, 0xffff_ffff_0000)
    state.key.vlanTCI = state.key.innerVLANTCI
    state.key.vlanType = state.key.innerVLANType
    // A third tag would be the inner one now, and was not parsed.
    let hidesTag =
      state.key.innerVLANTCI & 0x1000 != 0
      && (state.hiddenTagCount > 0 || state.etherType == 0x8100 || state.etherType == 0x88a8)
    state.key.innerVLANTCI = 0
    state.key.innerVLANType = 0
    state.own.words[2] &= ~0xffff
    state.own.words[3] &= 0xffff
    if hidesTag { state.needsParse = true }
    append(ActionStep(.popVLAN))
  }

  /// OpenFlow 1.0's set_vlan_vid and set_vlan_pcp: a packet without a tag gets one.
  mutating func setOrPushTag(_ bits: UInt16, mask: UInt16) {
    if hasTag() {
      let field = mask == 0xfff ? Field.vlanID : .vlanPriority
      set(field, UInt128(mask == 0xfff ? bits : bits >> 13), mask: mask == 0xfff ? 0xfff : 7)
    } else {
      pushTag(etherType: 0x8100, tci: bits)
    }
  }

  /// The whole TCI as a field: without bit 12 there is no tag.
  private mutating func setTCI(_ value: UInt16, mask: UInt16) {
    let hadTag = hasTag()
    let hasTagNow = mask & 0x1000 != 0 ? value & 0x1000 != 0 : hadTag
    switch (hadTag, hasTagNow) {
    case (false, false): break
    case (false, true): pushTag(etherType: 0x8100, tci: value & mask & 0xefff)
    case (true, false): popVLAN()
    case (true, true):
      if mask & 0xfff != 0 { set(.vlanID, UInt128(value & 0xfff), mask: UInt128(mask & 0xfff)) }
      if mask & 0xe000 != 0 { set(.vlanPriority, UInt128(value >> 13), mask: UInt128(mask >> 13)) }
    }
  }

  // MARK: MPLS labels (RFC 3032)

  /// Label and traffic class are those of the outer label or 0, the TTL that of the outer label or the IP header (OpenFlow 1.5
  /// §5.8), else 64 as in Open vSwitch.
  mutating func pushMPLS(etherType: UInt16) {
    var entry: UInt32
    if state.isMPLS {
      for field in [Field.mplsLabel, .mplsTrafficClass, .mplsTTL] { _ = read(field) }
      entry = state.key.mplsEntry & ~0x100
    } else {
      let ttl = state.isIP ? UInt32(truncatingIfNeeded: read(.ipTTL)) : 64
      entry = 0x100 | ttl
      state.clearNetworkHeaders()
    }
    state.key.etherType = etherType
    state.own.words[1] &= ~0xffff
    state.key.mplsEntry = entry
    state.own.words[6] &= ~0xffff_ffff
    state.isMPLSTTLDerived = false
    append(ActionStep(.pushMPLS, number: entry, half: etherType))
  }

  mutating func popMPLS(etherType: UInt16) {
    guard state.isMPLS else {
      record(.remark(.noLabel))
      return
    }
    state.clearNetworkHeaders()
    state.key.etherType = etherType
    state.own.words[1] &= ~0xffff
    state.isMPLSTTLDerived = false
    state.needsParse = true
    append(ActionStep(.popMPLS, half: etherType))
  }

  // MARK: TTL

  /// A packet whose TTL would become 0 goes to the controllers, and the list of actions ends.
  mutating func decrementTTL(_ step: CodeStep) {
    guard state.isIP else {
      record(.remark(.packetLacks(.ipTTL)))
      return
    }
    let ttl = state.key.ipTTL
    readWhetherOverOne(word: 5, shift: 8, value: ttl)
    guard ttl > 1 else {
      record(.remark(.invalidTTL))
      reason = .invalidTTL
      let table = unsafe top.pointee.table
      let cookie = unsafe top.pointee.cookie
      for index in 0..<step.argument {
        controller(
          reason: .invalidTTL, id: UInt16(truncatingIfNeeded: step[1 &+ Int(index)]), table: table,
          cookie: cookie, meter: nil, userData: nil)
      }
      endList()
      return
    }
    state.key.ipTTL = ttl &- 1
    if state.own.words[5] & 0xff00 == 0 {
      append(ActionStep(.setField, field: .ipTTL, value: UInt128(ttl &- 1), mask: 0xff))
    } else {
      state.isTTLDerived = true
      append(ActionStep(.decrementTTL))
    }
  }

  mutating func decrementMPLSTTL() {
    guard state.isMPLS else {
      record(.remark(.noLabel))
      return
    }
    let ttl = UInt8(truncatingIfNeeded: state.key.mplsEntry)
    readWhetherOverOne(word: 6, shift: 0, value: ttl)
    guard ttl > 1 else {
      record(.remark(.invalidTTL))
      reason = .invalidTTL
      let table = unsafe top.pointee.table
      let cookie = unsafe top.pointee.cookie
      controller(
        reason: .invalidTTL, id: 0, table: table, cookie: cookie, meter: nil, userData: nil)
      endList()
      return
    }
    state.key.mplsEntry = state.key.mplsEntry &- 1
    if state.own.words[6] & 0xff == 0 {
      append(ActionStep(.setField, field: .mplsTTL, value: UInt128(ttl &- 1), mask: 0xff))
    } else {
      state.isMPLSTTLDerived = true
      append(ActionStep(.decrementMPLSTTL))
    }
  }

  /// One bit that is set says that a TTL is over 1, so that packets of other distances share the flow; that it is not takes all
  /// bits but the lowest.
  private mutating func readWhetherOverOne(word: Int, shift: UInt64, value: UInt8) {
    let isDerived = word == 5 ? state.isTTLDerived : state.isMPLSTTLDerived
    let bits: UInt8 = isDerived ? 0xff : value > 1 ? 0x80 &>> UInt8(value.leadingZeroBitCount) : 0xfe
    read(word: word, UInt64(bits) &<< shift)
  }

  /// Between the outer label and what lies below it: late, because that was not parsed.
  mutating func copyTTL(_ operation: ActionStep.Operation) {
    guard state.isMPLS else {
      record(.remark(.noLabel))
      return
    }
    append(ActionStep(operation))
    guard operation == .copyTTLInwards else {
      // The TTL is not known from here on.
      state.needsParse = true
      return
    }
  }
}
