// How a select group chooses: a property of Open vSwitch's (vendor 0x0000154d, type 1): a name of 16 bytes, a parameter, and
// fields whose values are the masks of the bits that are hashed.

import VSwitchCore

extension GroupCodec {
  private static let selectionVendor: UInt32 = 0x0000_154d
  private static let experimenterProperty: UInt16 = 0xffff

  static func decodeProperties(
    _ reader: inout WireReader, _ version: OpenFlowVersion, _ group: inout GroupDescription
  ) throws(ErrorCode) {
    while !reader.isAtEnd {
      var type: UInt16 = 0
      var value = try reader.property(&type)
      guard type == experimenterProperty else { throw .badPropertyBadType }
      guard try value.u32(.badPropertyBadLength) == selectionVendor else { throw .badPropertyBadExperimenter }
      guard try value.u32(.badPropertyBadLength) == 1 else { throw .badPropertyBadExperimenterType }
      guard value.remaining >= 28 else { throw .badPropertyBadLength }
      guard group.kind == .select else { throw .badPropertyBadValue }
      try value.skip(4)
      let name = try value.text(16)
      group.selectionParameter = try value.u64()
      var fields = FlowMask()
      while !value.isAtEnd {
        let header = try FieldHeader(&value)
        guard let code = header.code(version), !header.hasMask else { throw .badMatchBadField }
        let mask = try value.unsigned(byteCount: code.byteCount, .badMatchBadLength)
        fields[code.field] |= try code.modelMask(mask)
      }
      switch name {
      case "": group.selectionMethod = .standard
      case "hash": group.selectionMethod = .hash(fields: fields)
      case "dp_hash": group.selectionMethod = .dpHash
      default: throw .badPropertyBadValue
      }
    }
  }

  static func encodeProperties(_ group: GroupDescription, _ version: OpenFlowVersion, to writer: inout WireWriter)
    throws(EncodeError)
  {
    let name: String
    var fields = FlowMask()
    switch group.selectionMethod {
    case .standard:
      guard group.selectionParameter != 0 else { return }
      name = ""
    case .hash(let mask):
      name = "hash"
      fields = mask
    case .dpHash: name = "dp_hash"
    }
    let start = writer.count
    writer.u16(experimenterProperty)
    writer.u16(0)
    writer.u32(selectionVendor)
    writer.u32(1)
    writer.zeros(4)
    writer.text(name, 16)
    writer.u64(group.selectionParameter)
    // Fields at one place (TCP's and UDP's ports, say) are written by the first's name.
    var rest = fields
    for field in selectionOrder where rest[field] != 0 {
      guard let code = FieldCode.code(field, version) else { throw EncodeError.field(field) }
      writer.fieldHeader(code)
      writer.unsigned(code.wire(rest[field], isMask: true), byteCount: code.byteCount)
      rest[field] = 0
    }
    writer.patch16(UInt16(truncatingIfNeeded: writer.count - start), at: start + 2)
    writer.pad8(from: start)
  }

  /// ARP's fields have the places of IPv4's; those are meant.
  private static let selectionOrder: [Field] = MatchEncoder.order.compactMap { field in
    switch field {
    case .arpSenderAddress, .arpTargetAddress, .arpOperation: nil
    case .vlanTCI: .vlanID
    default: field
    }
  }
}
