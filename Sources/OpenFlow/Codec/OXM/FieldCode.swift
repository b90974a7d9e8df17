// What number each field has on the wire: OXM (OpenFlow 1.5 §7.2.3), the Open Networking Foundation's experimenter fields
// for 1.3 and 1.4, and Open vSwitch's NXM (classes 0x0000 and 0x0001) with its packet registers (class 0x8001).

import VSwitchCore

/// One way of writing a field: class, number and length of the value.
struct FieldCode: Equatable, Sendable {
  static let openFlowBasic: UInt16 = 0x8000
  static let packetRegisters: UInt16 = 0x8001
  static let experimenterClass: UInt16 = 0xffff
  /// Open Networking Foundation.
  static let onf: UInt32 = 0x4f4e_4600

  let field: Field
  let fieldClass: UInt16
  /// 7 bits.
  let number: UInt8
  /// Of the value.
  let byteCount: Int
  /// Whether any value that there is room for is the field's value.
  let isPlain: Bool

  init(_ field: Field, _ fieldClass: UInt16, _ number: UInt8, _ byteCount: Int) {
    self.field = field
    self.fieldClass = fieldClass
    self.number = number
    self.byteCount = byteCount
    isPlain =
      field.bitCount == 8 * byteCount && !(fieldClass == 0 && (number == 0 || number == 5)) && field != .inPort
      && field != .ctState && field != .arpOperation
  }

  /// Bytes of the header.
  var headerByteCount: Int { fieldClass == FieldCode.experimenterClass ? 8 : 4 }

  /// How Open vSwitch's actions name bits of a field: by its own number, if it has given it one. Its ports have 16 bits, and
  /// its DSCP lies two bits higher: those are named as the standard does where that matters.
  static func niciraCode(_ bits: Subfield, _ version: OpenFlowVersion) -> FieldCode? {
    let (standard, nicira) = FieldCodeTable.codes[Int(bits.field.rawValue)]
    if bits.field == .ipDSCP || bits.field == .inPort && bits.firstBit + bits.bitCount > 16 { return standard }
    return nicira ?? code(bits.field, version)
  }

  /// How a field is written in a version, by the standard if it has a number for it; nil if no version has any.
  static func code(_ field: Field, _ version: OpenFlowVersion) -> FieldCode? {
    let (standard, nicira) = FieldCodeTable.codes[Int(field.rawValue)]
    if version == .v10, let nicira { return nicira }
    if version < .v15, let standard, FieldCodeTable.isExperimenterBefore15(field) {
      return FieldCode(field, experimenterClass, standard.number, standard.byteCount)
    }
    return standard ?? nicira
  }
}

/// All codes, both ways.
enum FieldCodeTable {
  /// For each field by raw value: the standard's and Open vSwitch's code.
  static let codes: [(standard: FieldCode?, nicira: FieldCode?)] = Field.allCases.map { (standard($0), nicira($0)) }

  /// By field number of class 0x8000; the same for 0x0000, 0x0001 and 0x8001.
  static let openFlowBasic = table(FieldCode.openFlowBasic)
  static let nxm0 = table(0)
  static let nxm1 = table(1)
  static let packetRegisters = table(FieldCode.packetRegisters)

  static func isExperimenterBefore15(_ field: Field) -> Bool { field == .tcpFlags || field == .actionSetOutput }

  /// The code of a header.
  /// - Parameter number: 7 bits.
  static func code(fieldClass: UInt16, number: UInt8, version: OpenFlowVersion) -> FieldCode? {
    let index = Int(number & 0x7f)
    switch fieldClass {
    case FieldCode.openFlowBasic:
      let code = openFlowBasic[index]
      // 1.3 and 1.4 know these by the experimenter's header only.
      if let code, version < .v15, isExperimenterBefore15(code.field) { return nil }
      return code
    case 0: return nxm0[index]
    case 1: return nxm1[index]
    case FieldCode.packetRegisters: return packetRegisters[index]
    default: return nil
    }
  }

  /// The code of an experimenter's header.
  static func code(experimenter: UInt32, number: UInt8) -> FieldCode? {
    guard experimenter == FieldCode.onf, let code = openFlowBasic[Int(number & 0x7f)],
      isExperimenterBefore15(code.field)
    else { return nil }
    return FieldCode(code.field, FieldCode.experimenterClass, number, code.byteCount)
  }

  private static func table(_ fieldClass: UInt16) -> [FieldCode?] {
    var table = [FieldCode?](repeating: nil, count: 128)
    for (standard, nicira) in codes {
      for code in [standard, nicira] {
        if let code, code.fieldClass == fieldClass { table[Int(code.number)] = code }
      }
    }
    return table
  }

  private static func standard(_ field: Field) -> FieldCode? {
    func basic(_ number: UInt8, _ byteCount: Int) -> FieldCode {
      FieldCode(field, FieldCode.openFlowBasic, number, byteCount)
    }
    switch field {
    case .inPort: return basic(0, 4)
    case .metadata: return basic(2, 8)
    case .ethernetDestination: return basic(3, 6)
    case .ethernetSource: return basic(4, 6)
    case .etherType: return basic(5, 2)
    case .vlanID: return basic(6, 2)
    case .vlanPriority: return basic(7, 1)
    case .ipDSCP: return basic(8, 1)
    case .ipECN: return basic(9, 1)
    case .ipProtocol: return basic(10, 1)
    case .ipv4Source: return basic(11, 4)
    case .ipv4Destination: return basic(12, 4)
    case .tcpSource: return basic(13, 2)
    case .tcpDestination: return basic(14, 2)
    case .udpSource: return basic(15, 2)
    case .udpDestination: return basic(16, 2)
    case .sctpSource: return basic(17, 2)
    case .sctpDestination: return basic(18, 2)
    case .icmpType: return basic(19, 1)
    case .icmpCode: return basic(20, 1)
    case .arpOperation: return basic(21, 2)
    case .arpSenderAddress: return basic(22, 4)
    case .arpTargetAddress: return basic(23, 4)
    case .arpSenderHardware: return basic(24, 6)
    case .arpTargetHardware: return basic(25, 6)
    case .ipv6Source: return basic(26, 16)
    case .ipv6Destination: return basic(27, 16)
    case .ipv6Label: return basic(28, 4)
    case .icmpv6Type: return basic(29, 1)
    case .icmpv6Code: return basic(30, 1)
    case .ndTarget: return basic(31, 16)
    case .ndSourceLinkLayer: return basic(32, 6)
    case .ndTargetLinkLayer: return basic(33, 6)
    case .mplsLabel: return basic(34, 4)
    case .mplsTrafficClass: return basic(35, 1)
    case .mplsBottomOfStack: return basic(36, 1)
    case .tunnelID: return basic(38, 8)
    case .tcpFlags: return basic(42, 2)
    case .actionSetOutput: return basic(43, 4)
    case .packetType: return basic(44, 4)
    case .xreg0, .xreg1, .xreg2, .xreg3, .xreg4, .xreg5, .xreg6, .xreg7:
      return FieldCode(field, FieldCode.packetRegisters, field.rawValue - Field.xreg0.rawValue, 8)
    default: return nil
    }
  }

  private static func nicira(_ field: Field) -> FieldCode? {
    func nxm0(_ number: UInt8, _ byteCount: Int) -> FieldCode { FieldCode(field, 0, number, byteCount) }
    func nxm1(_ number: UInt8, _ byteCount: Int) -> FieldCode { FieldCode(field, 1, number, byteCount) }
    switch field {
    case .inPort: return nxm0(0, 2)
    case .ethernetDestination: return nxm0(1, 6)
    case .ethernetSource: return nxm0(2, 6)
    case .etherType: return nxm0(3, 2)
    case .vlanTCI: return nxm0(4, 2)
    case .ipDSCP: return nxm0(5, 1)
    case .ipProtocol: return nxm0(6, 1)
    case .ipv4Source: return nxm0(7, 4)
    case .ipv4Destination: return nxm0(8, 4)
    case .tcpSource: return nxm0(9, 2)
    case .tcpDestination: return nxm0(10, 2)
    case .udpSource: return nxm0(11, 2)
    case .udpDestination: return nxm0(12, 2)
    case .icmpType: return nxm0(13, 1)
    case .icmpCode: return nxm0(14, 1)
    case .arpOperation: return nxm0(15, 2)
    case .arpSenderAddress: return nxm0(16, 4)
    case .arpTargetAddress: return nxm0(17, 4)
    case .reg0, .reg1, .reg2, .reg3, .reg4, .reg5, .reg6, .reg7, .reg8, .reg9, .reg10, .reg11, .reg12, .reg13, .reg14,
      .reg15:
      return nxm1(field.rawValue - Field.reg0.rawValue, 4)
    case .tunnelID: return nxm1(16, 8)
    case .arpSenderHardware: return nxm1(17, 6)
    case .arpTargetHardware: return nxm1(18, 6)
    case .ipv6Source: return nxm1(19, 16)
    case .ipv6Destination: return nxm1(20, 16)
    case .icmpv6Type: return nxm1(21, 1)
    case .icmpv6Code: return nxm1(22, 1)
    case .ndTarget: return nxm1(23, 16)
    case .ndSourceLinkLayer: return nxm1(24, 6)
    case .ndTargetLinkLayer: return nxm1(25, 6)
    case .ipFragment: return nxm1(26, 1)
    case .ipv6Label: return nxm1(27, 4)
    case .ipECN: return nxm1(28, 1)
    case .ipTTL: return nxm1(29, 1)
    case .mplsTTL: return nxm1(30, 1)
    case .tunnelSource: return nxm1(31, 4)
    case .tunnelDestination: return nxm1(32, 4)
    case .packetMark: return nxm1(33, 4)
    case .tcpFlags: return nxm1(34, 2)
    case .hash: return nxm1(35, 4)
    case .recirculationID: return nxm1(36, 4)
    case .conjunctionID: return nxm1(37, 4)
    case .ctState: return nxm1(105, 4)
    case .ctZone: return nxm1(106, 2)
    case .ctMark: return nxm1(107, 4)
    case .ctLabel: return nxm1(108, 16)
    case .xxreg0, .xxreg1, .xxreg2, .xxreg3: return nxm1(111 + field.rawValue - Field.xxreg0.rawValue, 16)
    case .ctProtocol: return nxm1(119, 1)
    case .ctIPv4Source: return nxm1(120, 4)
    case .ctIPv4Destination: return nxm1(121, 4)
    case .ctIPv6Source: return nxm1(122, 16)
    case .ctIPv6Destination: return nxm1(123, 16)
    case .ctTransportSource: return nxm1(124, 2)
    case .ctTransportDestination: return nxm1(125, 2)
    default: return nil
    }
  }
}
