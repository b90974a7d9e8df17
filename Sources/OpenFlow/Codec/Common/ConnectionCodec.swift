// Hello, error, features, configuration: nearly the same in all versions (OpenFlow 1.5 §7.5, §7.3.1, §7.3.2).

import VSwitchCore

enum HelloCodec {
  /// Elements that are broken or unknown are passed over: what counts then is the header's version.
  static func decode(_ reader: inout WireReader, version: UInt8) -> Hello {
    do throws(ErrorCode) {
      while reader.remaining >= 4 {
        let type = try reader.u16()
        let length = Int(try reader.u16())
        var element = try reader.part(length - 4)
        try reader.skip(min((8 - length % 8) % 8, reader.remaining))
        if type == 1, element.remaining >= 4 { return Hello(versions: VersionSet(rawValue: try element.u32())) }
      }
    } catch {}
    return Hello(versions: VersionSet(upTo: version))
  }

  /// A set without gaps from 1.0 up needs no bitmap.
  static func encode(_ hello: Hello, to writer: inout WireWriter) {
    let highest = UInt8(truncatingIfNeeded: 31 - hello.versions.rawValue.leadingZeroBitCount)
    guard hello.versions != VersionSet(upTo: highest) else { return }
    writer.u16(1)
    writer.u16(8)
    writer.u32(hello.versions.rawValue)
  }
}

enum ErrorCodec {
  /// Type of 1.0's errors that are Open vSwitch's.
  private static let vendorType10: UInt16 = 0xb0c2
  private static let experimenterType: UInt16 = 0xffff

  static let codes: [OpenFlowVersion: [ErrorCode.Number: ErrorCode]] = Dictionary(
    uniqueKeysWithValues: OpenFlowVersion.allCases.map { version in
      var table: [ErrorCode.Number: ErrorCode] = [:]
      for code in ErrorCode.allCases {
        guard let number = code.number(version), table[number] == nil else { continue }
        table[number] = code
      }
      return (version, table)
    })

  static func decode(_ reader: inout WireReader, _ version: OpenFlowVersion) throws(ErrorCode) -> ErrorMessage {
    let type = try reader.u16()
    let code = try reader.u16()
    var number = ErrorCode.Number.standard(type, code)
    var experimenter: UInt32?
    if version == .v10, type == vendorType10 {
      experimenter = try reader.u32()
      if experimenter == Experimenter.nicira {
        let (type, code) = (try reader.u16(), try reader.u16())
        let known = codes[version]?[.nicira(type, code)]
        let reason = ErrorMessage.Reason.unknown(experimenter: experimenter, type: type, code: code)
        return ErrorMessage(known.map { .known($0) } ?? reason, data: reader.rest())
      }
    } else if version > .v10, type == experimenterType {
      experimenter = try reader.u32()
      number = experimenter == Experimenter.onf ? .onf(code) : .nicira(code, 0)
    }
    let data = reader.rest()
    if experimenter == nil
      || version > .v10 && (experimenter == Experimenter.nicira || experimenter == Experimenter.onf),
      let known = codes[version]?[number]
    {
      return ErrorMessage(known, data: data)
    }
    return ErrorMessage(.unknown(experimenter: experimenter, type: type, code: code), data: data)
  }

  /// An error that the version has no number for is Open vSwitch's "unencodable error". Data is cut to fit.
  static func encode(_ error: ErrorMessage, _ version: OpenFlowVersion, to writer: inout WireWriter) {
    switch error.reason {
    case .known(let code):
      switch code.number(version) ?? ErrorCode.niciraRequestUnencodableError.number(version) {
      case .standard(let type, let code)?:
        writer.u16(type)
        writer.u16(code)
      case .nicira(let type, let code)? where version == .v10:
        writer.u16(vendorType10)
        writer.u16(0)
        writer.u32(Experimenter.nicira)
        writer.u16(type)
        writer.u16(code)
      case .nicira(let type, _)?:
        writer.u16(experimenterType)
        writer.u16(type)
        writer.u32(Experimenter.nicira)
      case .onf(let type)?:
        writer.u16(experimenterType)
        writer.u16(type)
        writer.u32(Experimenter.onf)
      case nil: writer.zeros(4)
      }
    case .unknown(Experimenter.nicira?, let type, let code) where version == .v10:
      writer.u16(vendorType10)
      writer.u16(0)
      writer.u32(Experimenter.nicira)
      writer.u16(type)
      writer.u16(code)
    case .unknown(let experimenter, let type, let code):
      writer.u16(type)
      writer.u16(code)
      if let experimenter { writer.u32(experimenter) }
    }
    writer.array(error.data.prefix(MessageEncoder.byteLimit - 32))
  }
}

extension ErrorCode {
  /// Whether the version has a number for it of its own.
  package func isSayable(_ version: OpenFlowVersion) -> Bool {
    number(version).flatMap { ErrorCodec.codes[version]?[$0] } == self
  }

  /// Its number in a version; nil if it has none.
  func number(_ version: OpenFlowVersion) -> Number? {
    switch version {
    case .v10: numbers.v10
    case .v13: numbers.v13
    case .v14: numbers.v14
    case .v15: numbers.v15
    }
  }
}

enum FeaturesCodec {
  /// Bits that a version has.
  private static func capabilities(_ version: OpenFlowVersion) -> UInt32 {
    switch version {
    case .v10: 0xe7
    case .v13: 0x16f
    case .v14, .v15: 0x76f
    }
  }

  static func decode(_ reader: inout WireReader, _ version: OpenFlowVersion) throws(ErrorCode) -> SwitchFeatures {
    let datapathID = try reader.u64()
    let bufferCount = try reader.u32()
    let tableCount = try reader.u8()
    let auxiliaryID = try reader.u8()
    try reader.skip(2)
    let capabilities = SwitchFeatures.Capabilities(rawValue: try reader.u32() & capabilities(version))
    var features = SwitchFeatures(datapathID: datapathID, tableCount: tableCount, capabilities: capabilities)
    features.bufferCount = bufferCount
    let last = try reader.u32()
    if version == .v10 {
      features.actions = last
      while !reader.isAtEnd { features.ports.append(try PortCodec.decodePort10(&reader)) }
    } else {
      features.auxiliaryID = auxiliaryID
    }
    guard reader.isAtEnd else { throw .badRequestBadLength }
    return features
  }

  static func encode(_ features: SwitchFeatures, _ version: OpenFlowVersion, to writer: inout WireWriter)
    throws(EncodeError)
  {
    writer.u64(features.datapathID)
    writer.u32(features.bufferCount)
    writer.u8(features.tableCount)
    writer.u8(version == .v10 ? 0 : features.auxiliaryID)
    writer.zeros(2)
    writer.u32(features.capabilities.rawValue & capabilities(version))
    writer.u32(version == .v10 ? features.actions : 0)
    guard version == .v10 else { return }
    // What has no room is left out, as ports are numbered beyond 1.0's range at the latest there.
    for port in features.ports where writer.count + 48 <= MessageEncoder.byteLimit {
      PortCodec.encodePort10(port, to: &writer)
    }
  }
}

enum ConfigurationCodec {
  private static let invalidTTL: UInt16 = 4

  static func decode(_ reader: inout WireReader, _ version: OpenFlowVersion) throws(ErrorCode) -> SwitchConfiguration {
    let flags = try reader.u16()
    var configuration = SwitchConfiguration()
    configuration.missSendByteCount = try reader.u16()
    guard reader.isAtEnd else { throw .badRequestBadLength }
    let valid = version == .v10 ? 3 | invalidTTL : 3
    guard flags & ~valid == 0, let fragments = SwitchConfiguration.FragmentHandling(rawValue: flags & 3) else {
      throw .switchConfigFailedBadFlags
    }
    configuration.fragments = fragments
    configuration.sendsInvalidTTL = flags & invalidTTL != 0
    return configuration
  }

  static func encode(_ configuration: SwitchConfiguration, _ version: OpenFlowVersion, to writer: inout WireWriter) {
    writer.u16(
      configuration.fragments.rawValue | (version == .v10 && configuration.sendsInvalidTTL ? invalidTTL : 0))
    writer.u16(configuration.missSendByteCount)
  }
}
