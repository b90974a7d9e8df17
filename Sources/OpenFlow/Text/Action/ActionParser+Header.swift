// Actions that add, remove and count down headers: VLAN, MPLS, TTL.

import VSwitchCore

extension ActionParser {
  mutating func headerAction(_ key: String, _ pair: KeyValue) throws(FlowTextError) -> Action? {
    let value = pair.value
    switch key {
    case "strip_vlan", "pop_vlan":
      expect(.vlan, key, at: pair.key)
      state.set(.vlanTCI, 0, mask: 0)
      return .popVLAN
    case "push_vlan":
      narrow(
        .from13, at: pair.key, "push_vlan is there from OpenFlow 1.1 on", remedy: "use mod_vlan_vid, or a later version"
      )
      let type: UInt16 = try value.number("EtherType")
      guard type == 0x8100 || type == 0x88a8 else {
        throw value.error("\(value.quoted) is no EtherType of a VLAN tag", remedy: "give 0x8100 or 0x88a8")
      }
      state.set(.vlanTCI, 0x1000, mask: 0x1000)
      return .pushVLAN(etherType: type)
    case "push_mpls":
      let type: UInt16 = try value.number("EtherType")
      guard type == 0x8847 || type == 0x8848 else {
        throw value.error("\(value.quoted) is no EtherType of MPLS", remedy: "give 0x8847 or 0x8848")
      }
      become(etherType: type)
      return .pushMPLS(etherType: type)
    case "pop_mpls":
      expect(.mpls, key, at: pair.key)
      let type: UInt16 = try value.number("EtherType")
      become(etherType: type)
      return .popMPLS(etherType: type)
    case "set_mpls_ttl":
      expect(.mpls, key, at: pair.key)
      return .setMPLSTTL(try value.number("MPLS TTL"))
    case "dec_mpls_ttl":
      expect(.mpls, key, at: pair.key)
      return .decrementMPLSTTL
    case "copy_ttl_out": return .copyTTLOutwards
    case "copy_ttl_in": return .copyTTLInwards
    case "dec_ttl":
      expect(.ip, key, at: pair.key)
      var controllers: [UInt16] = []
      for part in value.list() { controllers.append(try part.number("id of a controller")) }
      return .decrementTTL(controllers: controllers.isEmpty ? [0] : controllers)
    default: return nil
    }
  }

  /// What lies behind the Ethernet header is another protocol now.
  private mutating func become(etherType: UInt16) {
    var next = Match()
    for field in Field.allCases {
      switch field.prerequisite {
      case .none, .vlan, .tunnel:
        if let known = state.value(field) { next.set(field, known.value, mask: known.mask) }
      default: break
      }
    }
    next.set(.etherType, UInt128(etherType))
    state = next
  }
}
