// What a port does with VLAN tags, compiled from its configuration: which VLAN an arriving frame belongs to, whether
// a frame of a VLAN may leave, and with which tag. Semantics: table Port, "VLAN Configuration" in
// ovs-vswitchd.conf.db(5); tags: IEEE 802.1Q §9. Pure; read by workers while they forward.

/// One port's VLAN rules. Plain data, never changed once published.
public struct VLANPolicy: Sendable {
  /// What an arriving frame is inside the bridge.
  public struct Arrival {
    /// VLAN ID, 0 for untagged frames of a trunk.
    public var vlan: UInt16
    /// Priority and drop-eligible bits in their place in the TCI (bits 15 to 12).
    public var priority: UInt16
    /// EtherType for the tag where the frame leaves tagged.
    public var tagType: UInt16
    /// The frame's first tag is the one of `vlan` (not a customer's): to be replaced or taken off on exit.
    public var ownsTag: Bool
    /// VID of the next tag inside, 0 if there is none.
    public var innerVLAN: UInt16

    @inlinable
    public init(vlan: UInt16, priority: UInt16, tagType: UInt16, ownsTag: Bool, innerVLAN: UInt16) {
      self.vlan = vlan
      self.priority = priority
      self.tagType = tagType
      self.ownsTag = ownsTag
      self.innerVLAN = innerVLAN
    }
  }

  @usableFromInline let mode: VLANConfig.Mode
  @usableFromInline let priorityTags: VLANConfig.PriorityTags
  @usableFromInline let tag: UInt16
  @usableFromInline let serviceEtherType: UInt16
  /// VLANs that may pass; for a tunnel the customers' VLANs.
  @usableFromInline let allowed: VLANSet

  /// Compiles a port's configuration.
  public init(_ config: VLANConfig) {
    mode = config.mode
    tag = config.tag & 0xfff
    priorityTags = config.priorityTags
    serviceEtherType = config.serviceEtherType
    switch config.mode {
    case .access: allowed = VLANSet([config.tag])
    case .trunk: allowed = config.trunks.isEmpty ? VLANSet(all: true) : VLANSet(config.trunks)
    case .nativeTagged, .nativeUntagged:
      // A frame of VLAN 0 would leave untagged, and so in the native VLAN.
      allowed = VLANSet((config.trunks.isEmpty ? Set(0...4095) : config.trunks).subtracting([0]).union([config.tag]))
    case .dot1qTunnel:
      allowed = config.customerVLANs.isEmpty ? VLANSet(all: true) : VLANSet(config.customerVLANs)
    }
  }

  /// Frees the set of VLANs; no copy of the policy may be used afterwards.
  public func deallocate() { allowed.deallocate() }

  /// Which VLAN a frame with these tags belongs to when it comes in here.
  /// - Parameters:
  ///   - outer: first tag, TPID << 16 | TCI, 0 if untagged.
  ///   - inner: second tag, likewise.
  /// - Returns: nil with `reason` set if the port does not accept it.
  @inlinable @inline(__always)
  public func arrival(outer: UInt32, inner: UInt32, reason: inout DropReason) -> Arrival? {
    let tagged = outer != 0
    let vid = UInt16(truncatingIfNeeded: outer & 0xfff)
    let priority = UInt16(truncatingIfNeeded: outer & 0xf000)
    let tagType = tagged ? UInt16(truncatingIfNeeded: outer &>> 16) : 0x8100
    let innerVID = UInt16(truncatingIfNeeded: inner & 0xfff)
    switch mode {
    case .access:
      guard vid == 0 else {
        reason = .taggedOnAccess
        return nil
      }
      return Arrival(vlan: tag, priority: priority, tagType: tagType, ownsTag: tagged, innerVLAN: innerVID)
    case .trunk:
      guard allowed.contains(vid) else {
        reason = .vlanNotAllowed
        return nil
      }
      return Arrival(vlan: vid, priority: priority, tagType: tagType, ownsTag: tagged, innerVLAN: innerVID)
    case .nativeTagged, .nativeUntagged:
      let vlan = vid == 0 ? tag : vid
      guard allowed.contains(vlan) else {
        reason = .vlanNotAllowed
        return nil
      }
      return Arrival(vlan: vlan, priority: priority, tagType: tagType, ownsTag: tagged, innerVLAN: innerVID)
    case .dot1qTunnel:
      guard allowed.contains(vid) else {
        reason = .customerVLANNotAllowed
        return nil
      }
      return Arrival(vlan: tag, priority: 0, tagType: serviceEtherType, ownsTag: false, innerVLAN: vid)
    }
  }

  /// Whether a frame may leave here.
  @inlinable @inline(__always)
  public func carries(_ frame: Arrival) -> Bool {
    switch mode {
    // A customer's tag must not come out of an access port as if it were a VLAN of this bridge.
    case .access: frame.vlan == tag && frame.innerVLAN == 0
    case .trunk, .nativeTagged, .nativeUntagged: allowed.contains(frame.vlan)
    case .dot1qTunnel: frame.vlan == tag && allowed.contains(frame.innerVLAN)
    }
  }

  /// The tag with which a frame leaves here.
  /// - Returns: TPID << 16 | TCI, 0 for none.
  @inlinable @inline(__always)
  public func departureTag(_ frame: Arrival) -> UInt32 {
    var vlan = frame.vlan
    var tagType = frame.tagType
    let isBare: Bool
    switch mode {
    case .dot1qTunnel: return 0
    case .access: isBare = true
    case .nativeUntagged: isBare = vlan == tag
    case .trunk, .nativeTagged: isBare = false
    }
    if isBare {
      vlan = 0
      tagType = 0x8100
    }
    if vlan == 0 {
      switch priorityTags {
      case .never: return 0
      case .ifNonzero: if frame.priority & 0xe000 == 0 { return 0 }
      // Without a priority, a tag of VLAN 0 is kept where the frame came with one, and not made anew.
      case .always: if frame.priority & 0xe000 == 0, isBare || !frame.ownsTag { return 0 }
      }
    }
    return UInt32(tagType) &<< 16 | UInt32(frame.priority | vlan)
  }
}
