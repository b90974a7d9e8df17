// Roles, asynchronous messages, controller status (OpenFlow 1.3 §7.3.9, §7.3.10, 1.4 §7.3.9, §7.3.10, 1.5 §7.4.7).

enum RoleCodec {
  static func decode(_ reader: inout WireReader) throws(ErrorCode) -> RoleMessage {
    guard let role = ControllerRole(rawValue: try reader.u32()) else { throw .roleRequestFailedBadRole }
    try reader.skip(4)
    return RoleMessage(role, generationID: try reader.u64())
  }

  static func encode(_ role: RoleMessage, to writer: inout WireWriter) {
    writer.u32(role.role.rawValue)
    writer.zeros(4)
    writer.u64(role.generationID)
  }

  static func decodeStatus(_ reader: inout WireReader) throws(ErrorCode) -> RoleStatus {
    guard let role = ControllerRole(rawValue: try reader.u32()) else { throw .roleRequestFailedBadRole }
    guard let reason = RoleStatus.Reason(rawValue: try reader.u8()) else { throw .niciraRequestBadReason }
    try reader.skip(3)
    let status = RoleStatus(role: role, reason: reason, generationID: try reader.u64())
    _ = reader.rest()
    return status
  }

  static func encode(_ status: RoleStatus, to writer: inout WireWriter) {
    writer.u32(status.role.rawValue)
    writer.u8(status.reason.rawValue)
    writer.zeros(3)
    writer.u64(status.generationID)
  }

  /// NXT_ROLE_REQUEST: other (equal) 0, primary 1, secondary 2; one cannot ask without a change.
  static func decodeNicira(_ reader: inout WireReader) throws(ErrorCode) -> RoleMessage {
    let number = try reader.u32()
    guard number < 3, let role = ControllerRole(rawValue: number + 1) else { throw .roleRequestFailedBadRole }
    return RoleMessage(role)
  }

  static func encodeNicira(_ role: RoleMessage, to writer: inout WireWriter) throws(EncodeError) {
    guard role.role != .noChange else {
      throw EncodeError(cause: "Open vSwitch's role message always changes the role", remedy: "use 1.3 or later")
    }
    writer.u32(role.role.rawValue - 1)
  }
}

enum AsyncCodec {
  private typealias Masks = AsyncConfiguration.Masks
  /// The masks in the order of 1.4's property types, which are 2 n for the secondary role and 2 n + 1 for the others;
  /// 6 (flow statistics) is not kept.
  private static var order: [WritableKeyPath<Masks, UInt32?>?] {
    [\.packetIn, \.portStatus, \.flowRemoved, \.roleStatus, \.tableStatus, \.requestForward, nil, \.controllerStatus]
  }

  static func decode(_ reader: inout WireReader, _ version: OpenFlowVersion) throws(ErrorCode) -> AsyncConfiguration {
    version > .v13 ? try decodeProperties(&reader) : try decodeFixed(&reader)
  }

  static func encode(_ configuration: AsyncConfiguration, _ version: OpenFlowVersion, to writer: inout WireWriter) {
    if version > .v13 { encodeProperties(configuration, to: &writer) } else { encodeFixed(configuration, to: &writer) }
  }

  /// Three masks for each role: 1.3's and NXT_SET_ASYNC_CONFIG.
  static func decodeFixed(_ reader: inout WireReader) throws(ErrorCode) -> AsyncConfiguration {
    var configuration = AsyncConfiguration()
    configuration.primary.packetIn = try reader.u32()
    configuration.secondary.packetIn = try reader.u32()
    configuration.primary.portStatus = try reader.u32()
    configuration.secondary.portStatus = try reader.u32()
    configuration.primary.flowRemoved = try reader.u32()
    configuration.secondary.flowRemoved = try reader.u32()
    return configuration
  }

  static func encodeFixed(_ configuration: AsyncConfiguration, to writer: inout WireWriter) {
    writer.u32(configuration.primary.packetIn ?? 0)
    writer.u32(configuration.secondary.packetIn ?? 0)
    writer.u32(configuration.primary.portStatus ?? 0)
    writer.u32(configuration.secondary.portStatus ?? 0)
    writer.u32(configuration.primary.flowRemoved ?? 0)
    writer.u32(configuration.secondary.flowRemoved ?? 0)
  }

  /// A property for each mask: 1.4's and NXT_SET_ASYNC_CONFIG2.
  static func decodeProperties(_ reader: inout WireReader) throws(ErrorCode) -> AsyncConfiguration {
    var configuration = AsyncConfiguration()
    while !reader.isAtEnd {
      var type: UInt16 = 0
      var value = try reader.property(&type)
      guard Int(type) < 2 * order.count else { throw .asyncConfigFailedUnsupported }
      guard value.remaining == 4 else { throw .badPropertyBadLength }
      let mask = try value.u32()
      guard let path = order[Int(type) / 2] else { throw .asyncConfigFailedUnsupported }
      if type & 1 == 0 {
        configuration.secondary[keyPath: path] = mask
      } else {
        configuration.primary[keyPath: path] = mask
      }
    }
    return configuration
  }

  static func encodeProperties(_ configuration: AsyncConfiguration, to writer: inout WireWriter) {
    for (index, path) in order.enumerated() {
      guard let path else { continue }
      let type = UInt16(truncatingIfNeeded: 2 * index)
      if let mask = configuration.secondary[keyPath: path] { writer.property(type) { $0.u32(mask) } }
      if let mask = configuration.primary[keyPath: path] { writer.property(type + 1) { $0.u32(mask) } }
    }
  }
}

enum ControllerStatusCodec {
  private static let uriProperty: UInt16 = 0

  static func decode(_ reader: inout WireReader) throws(ErrorCode) -> ControllerStatus {
    let length = Int(try reader.u16())
    var entry = try reader.part(length - 2)
    try reader.skip(min((8 - length % 8) % 8, reader.remaining))
    var status = ControllerStatus()
    status.shortID = try entry.u16()
    guard let role = ControllerRole(rawValue: try entry.u32()) else { throw .roleRequestFailedBadRole }
    status.role = role
    guard let reason = ControllerStatus.Reason(rawValue: try entry.u8()) else { throw .niciraRequestBadReason }
    status.reason = reason
    status.isUp = try entry.u8() == 0
    try entry.skip(6)
    while !entry.isAtEnd {
      var type: UInt16 = 0
      var value = try entry.property(&type)
      if type == uriProperty { status.uri = String(decoding: value.rest(), as: UTF8.self) }
    }
    return status
  }

  static func encode(_ status: ControllerStatus, to writer: inout WireWriter) {
    let start = writer.count
    writer.u16(0)
    writer.u16(status.shortID)
    writer.u32(status.role.rawValue)
    writer.u8(status.reason.rawValue)
    writer.u8(status.isUp ? 0 : 1)
    writer.zeros(6)
    writer.property(uriProperty, exactLength: true) { $0.array(status.uri.utf8.prefix(1024)) }
    writer.patch16(UInt16(truncatingIfNeeded: writer.count - start), at: start)
  }
}
