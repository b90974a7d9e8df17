// Where a frame belongs when it enters and what it wears when it leaves: the VLAN rules of ovs-vswitchd.conf.db(5), table
// Port, section "VLAN Configuration", written down one by one. Thread: a value; any. No caches, no tricks, no shared code
// with the datapath.

import VSwitchCore

/// One VLAN tag as it stands in a frame (IEEE 802.1Q §9).
struct ReferenceTag: Equatable {
  /// 0x8100 or 0x88a8.
  var etherType: UInt16
  var priority: UInt8
  /// Drop eligible indicator.
  var isDropEligible: Bool
  var vlan: UInt16

  /// The tag at the start of `bytes`, which begin with an EtherType; nil if there is none or it is cut off.
  /// A tag counts as whole when the EtherType behind it is there, too.
  init?(_ bytes: ArraySlice<UInt8>) {
    let b = Array(bytes.prefix(6))
    guard b.count == 6, Self.isTagged(bytes) else { return nil }
    etherType = UInt16(b[0]) << 8 | UInt16(b[1])
    priority = b[2] >> 5
    isDropEligible = b[2] & 0x10 != 0
    vlan = UInt16(b[2] & 0x0f) << 8 | UInt16(b[3])
  }

  init(etherType: UInt16, priority: UInt8, isDropEligible: Bool = false, vlan: UInt16) {
    self.etherType = etherType
    self.priority = priority
    self.isDropEligible = isDropEligible
    self.vlan = vlan
  }

  /// Whether `bytes` begin with one of the two EtherTypes of a VLAN tag.
  static func isTagged(_ bytes: ArraySlice<UInt8>) -> Bool {
    let type = Array(bytes.prefix(2))
    return type == [0x81, 0x00] || type == [0x88, 0xa8]
  }

  /// The four bytes of the tag.
  var bytes: [UInt8] {
    [
      UInt8(etherType >> 8), UInt8(etherType & 0xff),
      priority << 5 | (isDropEligible ? 0x10 : 0) | UInt8(vlan >> 8), UInt8(vlan & 0xff),
    ]
  }
}

/// A frame inside the bridge: its VLAN is known and no longer stands in the bytes.
struct ReferencePacket {
  /// Destination and source, 12 bytes.
  var addresses: [UInt8]
  /// The VLAN that the frame belongs to; a frame without any tag on a trunk belongs to VLAN 0.
  var vlan: UInt16
  /// The tag that told the frame's VLAN, or VLAN 0, when it came; nil if it came without, or into a tunnel.
  var arrived: ReferenceTag?
  /// EtherType for the tag that tells the frame's VLAN: the one of `arrived` or of the service tag.
  var etherType: UInt16
  /// VLAN of the tag inside, 0 if there is none.
  var customerVLAN: UInt16
  /// Everything behind the addresses and behind the tag of `vlan`, EtherType first.
  var rest: [UInt8]
}

extension VLANConfig {
  /// The native VLAN always belongs to a native port, whatever `trunks` says, and VLAN 0 never does unless it is the
  /// native one: its frames would leave untagged, and so would become the native VLAN's.
  func trunksVLAN(_ vlan: UInt16) -> Bool {
    if mode == .nativeTagged || mode == .nativeUntagged {
      if vlan == tag { return true }
      if vlan == 0 { return false }
    }
    return trunks.isEmpty || trunks.contains(vlan)
  }

  /// Decides which VLAN a frame belongs to, or why it may not enter.
  ///
  /// - access: in VLAN `tag`; a tag with a VLAN ID other than 0 is refused, even `tag` itself. A priority-tagged frame
  ///   (VLAN ID 0) is as good as an untagged one and keeps its priority.
  /// - trunk: in the VLAN of its outermost tag, or VLAN 0 if untagged or priority-tagged; refused if not in `trunks`.
  /// - native-…: as a trunk, but untagged and priority-tagged frames are in VLAN `tag`.
  /// - dot1q-tunnel: in VLAN `tag`, the frame's own tag staying inside as customer tag; refused if the customer's VLAN
  ///   (0 if untagged) is not in `cvlans`. The service tag has priority 0.
  ///
  /// A frame that ends inside one of its two outermost tags is refused: nobody can tell its VLANs.
  func enter(_ frame: [UInt8]) -> Result<ReferencePacket, ReferenceDrop> {
    guard frame.count >= 14 else { return .failure(.init(.truncated)) }
    let arrived = ReferenceTag(frame[12...])
    if arrived == nil, ReferenceTag.isTagged(frame[12...]) { return .failure(.init(.truncated)) }
    let outer = arrived?.vlan ?? 0
    let rest = frame[(arrived == nil ? 12 : 16)...]
    let inner = arrived == nil ? nil : ReferenceTag(rest)
    if arrived != nil, inner == nil, ReferenceTag.isTagged(rest) { return .failure(.init(.truncated)) }
    var packet = ReferencePacket(
      addresses: Array(frame[..<12]), vlan: outer, arrived: arrived, etherType: arrived?.etherType ?? 0x8100,
      customerVLAN: inner?.vlan ?? 0, rest: Array(rest))
    switch mode {
    case .access:
      if outer != 0 { return .failure(.init(.taggedOnAccess)) }
      packet.vlan = tag
    case .trunk:
      if !trunksVLAN(outer) { return .failure(.init(.vlanNotAllowed)) }
    case .nativeTagged, .nativeUntagged:
      if outer == 0 { packet.vlan = tag }
      if !trunksVLAN(packet.vlan) { return .failure(.init(.vlanNotAllowed)) }
    case .dot1qTunnel:
      if !customerVLANs.isEmpty, !customerVLANs.contains(outer) { return .failure(.init(.customerVLANNotAllowed)) }
      packet.vlan = tag
      packet.customerVLAN = outer
      packet.arrived = nil
      packet.etherType = serviceEtherType
      packet.rest = Array(frame[12...])
    }
    return .success(packet)
  }

  /// Whether a frame may leave through this port at all. An access port does not show a customer's VLAN as if it were
  /// one of this bridge.
  func carries(_ packet: ReferencePacket) -> Bool {
    switch mode {
    case .access: packet.vlan == tag && packet.customerVLAN == 0
    case .trunk, .nativeTagged, .nativeUntagged: trunksVLAN(packet.vlan)
    case .dot1qTunnel: packet.vlan == tag && (customerVLANs.isEmpty || customerVLANs.contains(packet.customerVLAN))
    }
  }

  /// The frame as it leaves through this port.
  ///
  /// A VLAN other than 0 is told in a tag on trunks and native-tagged ports, and on native-untagged ports unless it is
  /// the native one. Otherwise `priority-tags` decides: never a tag; a tag with VLAN ID 0 if there is a priority to tell;
  /// or also if the frame is in VLAN 0 and came with such a tag. Priority and drop eligible bit stay as they came. A
  /// dot1q-tunnel takes the service tag off, which shows the customer's. On an access port a customer's tag may be
  /// left that names no VLAN (one that does is not carried).
  func leave(_ packet: ReferencePacket) -> [UInt8] {
    if mode == .dot1qTunnel { return packet.addresses + packet.rest }
    let isBare = mode == .access || mode == .nativeUntagged && packet.vlan == tag
    let vlan = isBare ? 0 : packet.vlan
    let priority = packet.arrived?.priority ?? 0
    if vlan == 0 {
      let wearsTag =
        switch priorityTags {
        case .never: false
        case .ifNonzero: priority != 0
        case .always: priority != 0 || packet.arrived != nil && !isBare
        }
      if !wearsTag { return packet.addresses + packet.rest }
    }
    let tag = ReferenceTag(
      etherType: isBare ? 0x8100 : packet.etherType, priority: priority,
      isDropEligible: packet.arrived?.isDropEligible ?? false, vlan: vlan)
    return packet.addresses + tag.bytes + packet.rest
  }
}

/// A drop as an error, so that `Result` can carry it.
struct ReferenceDrop: Error {
  var reason: DropReason
  init(_ reason: DropReason) { self.reason = reason }
}
