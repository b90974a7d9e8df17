// Where each field lies in the words of a flow key. Invariant: two fields overlap only if no packet has both, or one is
// a part or another view of the other (registers, VLAN TCI).

/// Place of a field in `FlowKey.words`.
public struct FieldLayout: Equatable, Sendable {
  /// The word; of a field over 64 bits the word with its high half, the low half is in the next.
  public let wordIndex: Int
  /// Position of the lowest bit in the word.
  public let shift: Int
  /// Bits that the field has there.
  public let bitCount: Int

  init(_ wordIndex: Int, _ shift: Int, _ bitCount: Int) {
    self.wordIndex = wordIndex
    self.shift = shift
    self.bitCount = bitCount
  }
}

extension Field {
  /// Number of bits of a value.
  public var bitCount: Int { layout.bitCount }

  /// All bits of a value.
  public var fullMask: UInt128 { bitCount == 128 ? .max : (1 << UInt128(bitCount)) - 1 }

  /// Where the field lies.
  public var layout: FieldLayout {
    switch self {
    case .inPort: FieldLayout(0, 32, 32)
    case .recirculationID: FieldLayout(0, 0, 32)
    case .ethernetDestination: FieldLayout(1, 16, 48)
    case .etherType: FieldLayout(1, 0, 16)
    case .ethernetSource: FieldLayout(2, 16, 48)
    case .vlanTCI: FieldLayout(2, 0, 16)
    // OpenFlow's 13 bits: the presence bit and the VID.
    case .vlanID: FieldLayout(2, 0, 13)
    case .vlanPriority: FieldLayout(2, 13, 3)
    case .innerVLANTCI: FieldLayout(3, 16, 16)
    case .innerVLANID: FieldLayout(3, 16, 13)
    case .innerVLANPriority: FieldLayout(3, 29, 3)
    case .tcpFlags: FieldLayout(3, 0, 12)
    case .ipv4Source, .arpSenderAddress: FieldLayout(4, 32, 32)
    case .ipv4Destination, .arpTargetAddress: FieldLayout(4, 0, 32)
    case .ipv6Label: FieldLayout(5, 32, 20)
    case .ipProtocol: FieldLayout(5, 24, 8)
    case .ipDSCP: FieldLayout(5, 18, 6)
    case .ipECN: FieldLayout(5, 16, 2)
    case .ipTTL: FieldLayout(5, 8, 8)
    case .ipFragment: FieldLayout(5, 0, 2)
    case .tcpSource, .udpSource, .sctpSource, .arpOperation: FieldLayout(6, 48, 16)
    case .tcpDestination, .udpDestination, .sctpDestination: FieldLayout(6, 32, 16)
    case .icmpType, .icmpv6Type: FieldLayout(6, 48, 8)
    case .icmpCode, .icmpv6Code: FieldLayout(6, 32, 8)
    case .mplsLabel: FieldLayout(6, 12, 20)
    case .mplsTrafficClass: FieldLayout(6, 9, 3)
    case .mplsBottomOfStack: FieldLayout(6, 8, 1)
    case .mplsTTL: FieldLayout(6, 0, 8)
    case .ipv6Source: FieldLayout(7, 0, 128)
    case .ipv6Destination: FieldLayout(9, 0, 128)
    case .arpSenderHardware, .ndSourceLinkLayer: FieldLayout(11, 0, 48)
    case .arpTargetHardware, .ndTargetLinkLayer: FieldLayout(12, 0, 48)
    case .ndTarget: FieldLayout(13, 0, 128)
    case .metadata: FieldLayout(15, 0, 64)
    case .tunnelID: FieldLayout(16, 0, 64)
    case .tunnelSource: FieldLayout(17, 32, 32)
    case .tunnelDestination: FieldLayout(17, 0, 32)
    case .reg0, .reg1, .reg2, .reg3, .reg4, .reg5, .reg6, .reg7, .reg8, .reg9, .reg10, .reg11, .reg12, .reg13, .reg14,
      .reg15:
      FieldLayout(18 + number(from: .reg0) / 2, number(from: .reg0) % 2 == 0 ? 32 : 0, 32)
    case .xreg0, .xreg1, .xreg2, .xreg3, .xreg4, .xreg5, .xreg6, .xreg7: FieldLayout(18 + number(from: .xreg0), 0, 64)
    case .xxreg0, .xxreg1, .xxreg2, .xxreg3: FieldLayout(18 + 2 * number(from: .xxreg0), 0, 128)
    case .packetMark: FieldLayout(26, 32, 32)
    case .ctMark: FieldLayout(26, 0, 32)
    case .ctLabel: FieldLayout(27, 0, 128)
    case .ctState: FieldLayout(29, 32, 32)
    case .ctZone: FieldLayout(29, 16, 16)
    case .ctProtocol: FieldLayout(29, 8, 8)
    case .ctIPv4Source: FieldLayout(30, 32, 32)
    case .ctIPv4Destination: FieldLayout(30, 0, 32)
    case .ctTransportSource: FieldLayout(31, 48, 16)
    case .ctTransportDestination: FieldLayout(31, 32, 16)
    case .packetType: FieldLayout(31, 0, 32)
    case .ctIPv6Source: FieldLayout(32, 0, 128)
    case .ctIPv6Destination: FieldLayout(34, 0, 128)
    case .conjunctionID: FieldLayout(36, 32, 32)
    case .actionSetOutput: FieldLayout(36, 0, 32)
    case .hash: FieldLayout(37, 0, 32)
    }
  }

  private func number(from first: Field) -> Int { Int(rawValue - first.rawValue) }
}

extension FlowKey {
  /// Value of a field in its low bits. Setting takes the field's bits only.
  public subscript(_ field: Field) -> UInt128 {
    get { words.value(at: field.layout) }
    set { words.setValue(newValue, at: field.layout) }
  }
}

extension FlowMask {
  /// The bits of a field that count.
  public subscript(_ field: Field) -> UInt128 {
    get { words.value(at: field.layout) }
    set { words.setValue(newValue, at: field.layout) }
  }
}

extension InlineArray where Element == UInt64 {
  /// The bits at a place that is within the array.
  func value(at place: FieldLayout) -> UInt128 {
    if place.bitCount == 128 {
      return UInt128(self[place.wordIndex]) << 64 | UInt128(self[place.wordIndex + 1])
    }
    let word = self[place.wordIndex] >> UInt64(place.shift)
    return UInt128(place.bitCount == 64 ? word : word & (1 << UInt64(place.bitCount) - 1))
  }

  /// Replaces the bits at a place that is within the array.
  mutating func setValue(_ value: UInt128, at place: FieldLayout) {
    if place.bitCount == 128 {
      self[place.wordIndex] = UInt64(truncatingIfNeeded: value >> 64)
      self[place.wordIndex + 1] = UInt64(truncatingIfNeeded: value)
      return
    }
    let ones: UInt64 = place.bitCount == 64 ? .max : (1 << UInt64(place.bitCount)) - 1
    let bits = UInt64(truncatingIfNeeded: value) & ones
    self[place.wordIndex] = self[place.wordIndex] & ~(ones << UInt64(place.shift)) | bits << UInt64(place.shift)
  }
}
