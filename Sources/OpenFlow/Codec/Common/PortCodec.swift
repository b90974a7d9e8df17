// Ports: fixed structures up to 1.3, properties from 1.4 on (OpenFlow 1.0 §5.2.1, 1.3 §7.2.1, 1.4 §7.2.1).

import VSwitchCore

enum PortCodec {
  // MARK: descriptions

  static func decodePort(_ reader: inout WireReader, _ version: OpenFlowVersion) throws(ErrorCode) -> PortDescription {
    switch version {
    case .v10: try decodePort10(&reader)
    case .v13: try decodePort13(&reader)
    case .v14, .v15: try decodePort14(&reader)
    }
  }

  static func encodePort(_ port: PortDescription, _ version: OpenFlowVersion, to writer: inout WireWriter) {
    switch version {
    case .v10: encodePort10(port, to: &writer)
    case .v13: encodePort13(port, to: &writer)
    case .v14, .v15: encodePort14(port, to: &writer)
    }
  }

  static func decodePort10(_ reader: inout WireReader) throws(ErrorCode) -> PortDescription {
    let number = PortNumber(wire10: try reader.u16())
    let address = MACAddress(bits: try reader.u48())
    var port = PortDescription(number: number, hardwareAddress: address, name: try reader.text(16))
    port.configuration = PortDescription.Configuration(rawValue: try reader.u32() & 0x7f)
    port.state = PortDescription.State(rawValue: try reader.u32() & 1)
    port.current = features10(try reader.u32())
    port.advertised = features10(try reader.u32())
    port.supported = features10(try reader.u32())
    port.peer = features10(try reader.u32())
    return port
  }

  static func encodePort10(_ port: PortDescription, to writer: inout WireWriter) {
    writer.u16(port.number.wire10)
    writer.u48(port.hardwareAddress.bits)
    writer.text(port.name, 16)
    writer.u32(port.configuration.rawValue & 0x7f)
    writer.u32(port.state.rawValue & 1)
    for features in [port.current, port.advertised, port.supported, port.peer] { writer.u32(features10(features)) }
  }

  private static func decodePort13(_ reader: inout WireReader) throws(ErrorCode) -> PortDescription {
    let number = PortNumber(try reader.u32())
    try reader.skip(4)
    let address = MACAddress(bits: try reader.u48())
    try reader.skip(2)
    var port = PortDescription(number: number, hardwareAddress: address, name: try reader.text(16))
    port.configuration = PortDescription.Configuration(rawValue: try reader.u32() & 0x65)
    port.state = PortDescription.State(rawValue: try reader.u32() & 7)
    try decodeEthernet(&reader, &port)
    return port
  }

  private static func encodePort13(_ port: PortDescription, to writer: inout WireWriter) {
    writer.u32(port.number.rawValue)
    writer.zeros(4)
    writer.u48(port.hardwareAddress.bits)
    writer.zeros(2)
    writer.text(port.name, 16)
    writer.u32(port.configuration.rawValue & 0x65)
    writer.u32(port.state.rawValue & 7)
    encodeEthernet(port, to: &writer)
  }

  private static func decodePort14(_ reader: inout WireReader) throws(ErrorCode) -> PortDescription {
    let number = PortNumber(try reader.u32())
    let length = Int(try reader.u16())
    var rest = try reader.part(length - 6)
    try rest.skip(2)
    let address = MACAddress(bits: try rest.u48())
    try rest.skip(2)
    var port = PortDescription(number: number, hardwareAddress: address, name: try rest.text(16))
    port.configuration = PortDescription.Configuration(rawValue: try rest.u32() & 0x65)
    port.state = PortDescription.State(rawValue: try rest.u32() & 7)
    while !rest.isAtEnd {
      var type: UInt16 = 0
      var value = try rest.property(&type)
      guard type == 0 else { continue }
      try value.skip(4, .badPropertyBadLength)
      try decodeEthernet(&value, &port)
    }
    return port
  }

  private static func encodePort14(_ port: PortDescription, to writer: inout WireWriter) {
    writer.u32(port.number.rawValue)
    writer.u16(72)
    writer.zeros(2)
    writer.u48(port.hardwareAddress.bits)
    writer.zeros(2)
    writer.text(port.name, 16)
    writer.u32(port.configuration.rawValue & 0x65)
    writer.u32(port.state.rawValue & 7)
    writer.u16(0)
    writer.u16(32)
    writer.zeros(4)
    encodeEthernet(port, to: &writer)
  }

  private static func decodeEthernet(_ reader: inout WireReader, _ port: inout PortDescription) throws(ErrorCode) {
    port.current = PortDescription.LinkFeatures(rawValue: try reader.u32() & 0xffff)
    port.advertised = PortDescription.LinkFeatures(rawValue: try reader.u32() & 0xffff)
    port.supported = PortDescription.LinkFeatures(rawValue: try reader.u32() & 0xffff)
    port.peer = PortDescription.LinkFeatures(rawValue: try reader.u32() & 0xffff)
    port.currentKilobitsPerSecond = try reader.u32()
    port.maximumKilobitsPerSecond = try reader.u32()
  }

  private static func encodeEthernet(_ port: PortDescription, to writer: inout WireWriter) {
    for features in [port.current, port.advertised, port.supported, port.peer] {
      writer.u32(features.rawValue & 0xffff)
    }
    writer.u32(port.currentKilobitsPerSecond)
    writer.u32(port.maximumKilobitsPerSecond)
  }

  /// 1.0 ends its speeds at 10 Gb/s, and so has the rest four bits lower.
  private static func features10(_ bits: UInt32) -> PortDescription.LinkFeatures {
    PortDescription.LinkFeatures(rawValue: bits & 0x7f | (bits & 0xf80) << 4)
  }

  private static func features10(_ features: PortDescription.LinkFeatures) -> UInt32 {
    features.rawValue & 0x7f | (features.rawValue & 0xf800) >> 4
  }

  // MARK: status and changes

  static func decodeStatus(_ reader: inout WireReader, _ version: OpenFlowVersion) throws(ErrorCode) -> PortStatus {
    guard let reason = PortStatus.Reason(rawValue: try reader.u8()) else { throw .niciraRequestBadReason }
    try reader.skip(7)
    return PortStatus(reason, try decodePort(&reader, version))
  }

  static func encode(_ status: PortStatus, _ version: OpenFlowVersion, to writer: inout WireWriter) {
    writer.u8(status.reason.rawValue)
    writer.zeros(7)
    encodePort(status.port, version, to: &writer)
  }

  static func decodeMod10(_ reader: inout WireReader) throws(ErrorCode) -> PortMod {
    let port = PortNumber(wire10: try reader.u16())
    var mod = PortMod(port: port, hardwareAddress: MACAddress(bits: try reader.u48()))
    mod.configuration = PortDescription.Configuration(rawValue: try reader.u32() & 0x7f)
    mod.mask = PortDescription.Configuration(rawValue: try reader.u32() & 0x7f)
    mod.advertised = features10(try reader.u32())
    try reader.skip(4)
    return mod
  }

  static func decodeMod13(_ reader: inout WireReader, _ version: OpenFlowVersion) throws(ErrorCode) -> PortMod {
    let port = PortNumber(try reader.u32())
    try reader.skip(4)
    var mod = PortMod(port: port, hardwareAddress: MACAddress(bits: try reader.u48()))
    try reader.skip(2)
    mod.configuration = PortDescription.Configuration(rawValue: try reader.u32())
    mod.mask = PortDescription.Configuration(rawValue: try reader.u32())
    guard mod.mask.rawValue & ~0x65 == 0 else { throw .portModFailedBadConfig }
    mod.configuration = mod.configuration.intersection(PortDescription.Configuration(rawValue: 0x65))
    if version == .v13 {
      mod.advertised = PortDescription.LinkFeatures(rawValue: try reader.u32() & 0xffff)
      try reader.skip(4)
      return mod
    }
    while !reader.isAtEnd {
      var type: UInt16 = 0
      var value = try reader.property(&type)
      switch type {
      case 0:
        guard value.remaining == 4 else { throw .badPropertyBadLength }
        mod.advertised = PortDescription.LinkFeatures(rawValue: try value.u32() & 0xffff)
      case 0xffff: throw .badPropertyBadExperimenter
      default: throw .badPropertyBadType
      }
    }
    return mod
  }

  static func encode(_ mod: PortMod, _ version: OpenFlowVersion, to writer: inout WireWriter) {
    if version == .v10 {
      writer.u16(mod.port.wire10)
      writer.u48(mod.hardwareAddress.bits)
      writer.u32(mod.configuration.rawValue & 0x7f)
      writer.u32(mod.mask.rawValue & 0x7f)
      writer.u32(features10(mod.advertised))
      writer.zeros(4)
      return
    }
    writer.u32(mod.port.rawValue)
    writer.zeros(4)
    writer.u48(mod.hardwareAddress.bits)
    writer.zeros(2)
    writer.u32(mod.configuration.rawValue & 0x65)
    writer.u32(mod.mask.rawValue & 0x65)
    if version == .v13 {
      writer.u32(mod.advertised.rawValue)
      writer.zeros(4)
    } else if mod.advertised != [] {
      writer.property(0) { $0.u32(mod.advertised.rawValue) }
    }
  }
}
