// Matches and actions in plain field names, for traces whose caller has no better syntax. Thread: control code's.

public enum TraceText {
  /// `field=value`, with `/mask` where bits are open.
  public static func match(_ match: Match) -> String {
    var parts: [String] = []
    var shown = FlowMask()
    for field in Field.allCases {
      guard let (value, mask) = match.value(field), isOf(field, match) else { continue }
      // Views of the same bits: the first one that has them all is shown.
      if shown[field] == mask { continue }
      shown[field] |= mask
      let text = self.value(value, of: field)
      parts.append(mask == field.fullMask ? "\(field.name)=\(text)" : "\(field.name)=\(text)/\(hexadecimal(mask))")
    }
    return parts.joined(separator: ",")
  }

  /// Whether a field's bits are that field's in a packet like this: several share places.
  private static func isOf(_ field: Field, _ match: Match) -> Bool {
    field.prerequisite == .none || match.satisfies(field.prerequisite)
  }

  private static func value(_ value: UInt128, of field: Field) -> String {
    switch field {
    case .ethernetSource, .ethernetDestination, .arpSenderHardware, .arpTargetHardware, .ndSourceLinkLayer,
      .ndTargetLinkLayer:
      MACAddress(bits: UInt64(truncatingIfNeeded: value)).description
    case .ipv4Source, .ipv4Destination, .arpSenderAddress, .arpTargetAddress, .tunnelSource, .tunnelDestination,
      .ctIPv4Source, .ctIPv4Destination:
      (0..<4).map { String(value >> UInt128(24 - 8 * $0) & 0xff) }.joined(separator: ".")
    case .ipv6Source, .ipv6Destination, .ndTarget, .ctIPv6Source, .ctIPv6Destination:
      (0..<8).map { String(value >> UInt128(112 - 16 * $0) & 0xffff, radix: 16) }.joined(separator: ":")
    case .etherType, .vlanTCI, .tcpFlags, .metadata, .tunnelID, .ctState: hexadecimal(value)
    default: field.layout.wordIndex >= 18 ? hexadecimal(value) : String(value)
    }
  }

  private static func hexadecimal(_ value: UInt128) -> String { "0x\(String(value, radix: 16))" }

  /// Actions by the names that they have in the model.
  public static func actions(_ instructions: Instructions) -> String {
    var parts = instructions.apply.map { action($0) }
    if let meter = instructions.meter { parts.insert("meter:\(meter)", at: 0) }
    if instructions.clearsActions { parts.append("clear_actions") }
    if !instructions.write.isEmpty {
      parts.append("write_actions(\(instructions.write.map { action($0) }.joined(separator: ",")))")
    }
    if let metadata = instructions.metadata {
      parts.append("write_metadata:\(hexadecimal(UInt128(metadata.value)))/\(hexadecimal(UInt128(metadata.mask)))")
    }
    if let table = instructions.gotoTable { parts.append("goto_table:\(table)") }
    return parts.joined(separator: ",")
  }

  private static func action(_ action: Action) -> String {
    switch action {
    case .output(let number, _): "output:\(port(number))"
    case .group(let id): "group:\(id)"
    case .setField(let field, let value, let mask):
      mask == field.fullMask
        ? "set_field:\(self.value(value, of: field))->\(field.name)"
        : "set_field:\(hexadecimal(value))/\(hexadecimal(mask))->\(field.name)"
    case .resubmit(let number, let table, _):
      "resubmit(\(number.map { port($0) } ?? ""),\(table.map { String($0) } ?? ""))"
    case .pushVLAN(let type): "push_vlan:\(hexadecimal(UInt128(type)))"
    case .popVLAN: "pop_vlan"
    case .pushMPLS(let type): "push_mpls:\(hexadecimal(UInt128(type)))"
    case .popMPLS(let type): "pop_mpls:\(hexadecimal(UInt128(type)))"
    case .decrementTTL: "dec_ttl"
    default: "\(action)"
    }
  }

  /// A port's number, or the name of a reserved one.
  public static func port(_ number: PortNumber) -> String {
    switch number {
    case .inPort: "IN_PORT"
    case .table: "TABLE"
    case .normal: "NORMAL"
    case .flood: "FLOOD"
    case .all: "ALL"
    case .controller: "CONTROLLER"
    case .local: "LOCAL"
    case .any: "ANY"
    case .unset: "UNSET"
    default: String(number.rawValue)
    }
  }
}
