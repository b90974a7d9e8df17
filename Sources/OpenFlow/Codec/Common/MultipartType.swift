// Types of questions and answers, and their header: the type is a number of the standard, or that of an experimenter with
// his own (OpenFlow 1.0 §5.3.5, 1.3 §7.3.5, 1.5 §7.3.5; NXST, ONFST).

enum MultipartType: Hashable {
  case standard(UInt16)
  case nicira(UInt32)
  case onf(UInt32)

  static let experimenter: UInt16 = 0xffff
  static let onfFlowMonitor: UInt32 = 1870

  /// Reads type, flags and, of an experimenter's, his numbers.
  static func decode(_ reader: inout WireReader, _ version: OpenFlowVersion) throws(ErrorCode) -> (
    type: MultipartType, hasMore: Bool
  ) {
    let type = try reader.u16()
    let flags = try reader.u16()
    if version > .v10 { try reader.skip(4) }
    guard type == experimenter else { return (.standard(type), flags & 1 != 0) }
    let experimenter = try reader.u32()
    switch experimenter {
    case Experimenter.nicira:
      let subtype = try reader.u32()
      if version == .v10 { try reader.skip(4) }
      return (.nicira(subtype), flags & 1 != 0)
    case Experimenter.onf where version > .v10: return (.onf(try reader.u32()), flags & 1 != 0)
    default: throw .badRequestBadExperimenter
    }
  }

  func encode(_ version: OpenFlowVersion, hasMore: Bool, to writer: inout WireWriter) {
    let number: UInt16 = if case .standard(let number) = self { number } else { MultipartType.experimenter }
    writer.u16(number)
    writer.u16(hasMore ? 1 : 0)
    if version > .v10 { writer.zeros(4) }
    switch self {
    case .standard: break
    case .nicira(let subtype):
      writer.u32(Experimenter.nicira)
      writer.u32(subtype)
      if version == .v10 { writer.zeros(4) }
    case .onf(let subtype):
      writer.u32(Experimenter.onf)
      writer.u32(subtype)
    }
  }
}

/// Writes a question or an answer, in as many messages as its entries need: each below 64 KB, all but the last marked
/// that more follow.
struct MultipartWriter {
  private let messageType: UInt8
  private let version: OpenFlowVersion
  private let xid: UInt32
  private let type: MultipartType
  private let hasMore: Bool
  private var writer = WireWriter()
  private var parts: [[UInt8]] = []
  private var headerByteCount = 0

  /// - Parameter hasMore: that the last part is not the last one either.
  init(isReply: Bool, _ version: OpenFlowVersion, xid: UInt32, _ type: MultipartType, hasMore: Bool) {
    messageType = (version == .v10 ? 16 : 18) + (isReply ? 1 : 0)
    self.version = version
    self.xid = xid
    self.type = type
    self.hasMore = hasMore
    begin()
  }

  private mutating func begin() {
    writer = WireWriter()
    MessageEncoder.header(messageType, version, xid, to: &writer)
    type.encode(version, hasMore: hasMore, to: &writer)
    headerByteCount = writer.count
  }

  /// Writes something that is not to be cut apart.
  mutating func entry(_ write: (inout WireWriter) throws(EncodeError) -> Void) throws(EncodeError) {
    let start = writer.count
    try write(&writer)
    guard writer.count > MessageEncoder.byteLimit else { return }
    let entry = Array(writer.bytes[start...])
    guard start > headerByteCount, headerByteCount + entry.count <= MessageEncoder.byteLimit else {
      throw EncodeError.tooLong
    }
    writer.truncate(to: start)
    writer.patch16(1, at: 10)
    try finishPart()
    begin()
    writer.array(entry)
  }

  private mutating func finishPart() throws(EncodeError) {
    try MessageEncoder.finish(0, &writer)
    parts.append(writer.bytes)
  }

  /// All messages.
  consuming func finish() throws(EncodeError) -> [[UInt8]] {
    try finishPart()
    return parts
  }
}
