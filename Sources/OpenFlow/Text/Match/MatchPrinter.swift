// Prints a match as ovs-ofctl does: shorthands for protocols, the old names of fields, fields in a fixed order.

import VSwitchCore

package struct MatchPrinter {
  var names: NumberNames
  /// VLANs as OpenFlow 1.2 and later carry them (OXM: VID with presence bit, PCP); else as the 16 bits of the tag.
  var usesOXM = false
  /// Also what the protocols of the match do not have (for notes about it).
  var showsEverything = false

  package init(names: NumberNames = NumberNames(), usesOXM: Bool = false) {
    self.names = names
    self.usesOXM = usesOXM
  }

  /// - Parameter priority: printed unless it is the usual 32768; nil: never.
  package func text(_ match: Match, priority: UInt16? = nil) -> String {
    var out = MatchWriter(match: match, names: names)
    if let priority, priority != 32768 { out.parts.append("priority=\(priority)") }
    for field: Field in [.packetMark] { out.hexadecimal(field) }
    out.hexadecimal(.recirculationID)
    out.hexadecimal(.hash)
    if match.mask[.conjunctionID] != 0 { out.parts.append("conj_id=\(match.key[.conjunctionID])") }
    out.port(.actionSetOutput)
    out.connection()
    if match.mask[.packetType] != 0, match.key[.packetType] != 0 {
      out.parts.append("packet_type=" + FieldValuePrinter.packetType(match.key[.packetType]))
    }
    let shown = out.protocolName()
    for i in 0..<16 { if let register = Field.reg(i) { out.hexadecimal(register) } }
    out.hexadecimal(.tunnelID)
    out.formatted(.tunnelSource, "tun_src")
    out.formatted(.tunnelDestination, "tun_dst")
    out.hexadecimal(.metadata)
    out.port(.inPort)
    out.vlan(.vlanTCI, suffix: "", usesOXM: usesOXM)
    out.vlan(.innerVLANTCI, suffix: "1", usesOXM: false)
    out.formatted(.ethernetSource, "dl_src")
    out.formatted(.ethernetDestination, "dl_dst")
    if !shown.etherType, match.mask[.etherType] != 0 {
      out.parts.append("dl_type=" + FieldValuePrinter.hex(match.key.etherType, digits: 4))
    }
    out.network(showsProtocol: !shown.ipProtocol, showsEverything: showsEverything)
    out.transport(showsEverything: showsEverything)
    return out.parts.joined(separator: ",")
  }
}
