// Bundles and forwarded requests: messages within messages, one level deep (OpenFlow 1.4 §7.3.9, §7.4.5).

enum BundleCodec {
  static func decodeControl(_ reader: inout WireReader) throws(ErrorCode) -> BundleControl {
    let bundle = try reader.u32()
    let kindNumber = try reader.u16()
    let flags = try flags(&reader)
    guard let kind = BundleControl.Kind(rawValue: kindNumber) else { throw .bundleFailedBadType }
    while !reader.isAtEnd {
      // A time for the commit and the like: none is known.
      var type: UInt16 = 0
      _ = try reader.property(&type)
      throw type == 0xffff ? .badPropertyBadExperimenter : .badPropertyBadType
    }
    return BundleControl(bundle: bundle, kind, flags: flags)
  }

  private static func flags(_ reader: inout WireReader) throws(ErrorCode) -> BundleFlags {
    let flags = try reader.u16()
    guard flags & ~3 == 0 else { throw .bundleFailedBadFlags }
    return BundleFlags(rawValue: flags)
  }

  static func encode(_ control: BundleControl, to writer: inout WireWriter) {
    writer.u32(control.bundle)
    writer.u16(control.kind.rawValue)
    writer.u16(control.flags.rawValue)
  }

  /// Reads a message with the message that is in it.
  /// - Parameter xid: the outer one, which the inner has to have, too.
  static func decodeAdd(_ reader: inout WireReader, _ version: OpenFlowVersion, xid: UInt32) throws(ErrorCode)
    -> BundleAdd
  {
    let (bundle, flags, inner) = try decodeAddHeader(&reader, version)
    guard inner.xid == xid else { throw .bundleFailedMessageBadXID }
    guard [13, 14, 15, 16].contains(inner.type) else { throw .bundleFailedMessageUnsupported }
    var body = try reader.part(inner.byteCount - 8, .bundleFailedMessageBadLength)
    let message = Message(version, xid: xid, try innerBody(inner.type, version, xid, &body))
    // Behind it there can be padding and properties, of which none is known.
    _ = reader.rest()
    return BundleAdd(bundle: bundle, flags: flags, message)
  }

  /// Reads what stands before the body of the message that is in it.
  static func decodeAddHeader(_ reader: inout WireReader, _ version: OpenFlowVersion) throws(ErrorCode) -> (
    bundle: UInt32, flags: BundleFlags, inner: (type: UInt8, byteCount: Int, xid: UInt32)
  ) {
    let bundle = try reader.u32()
    try reader.skip(2)
    return (bundle, try flags(&reader), try innerHeader(&reader, version))
  }

  private static func innerHeader(_ reader: inout WireReader, _ version: OpenFlowVersion) throws(ErrorCode) -> (
    type: UInt8, byteCount: Int, xid: UInt32
  ) {
    guard reader.remaining >= 8 else { throw .bundleFailedMessageBadLength }
    guard try reader.u8() == version.rawValue else { throw .niciraBundleBadVersion }
    let type = try reader.u8()
    let byteCount = Int(try reader.u16())
    guard byteCount >= 8 else { throw .bundleFailedMessageBadLength }
    return (type, byteCount, try reader.u32())
  }

  private static func innerBody(
    _ type: UInt8, _ version: OpenFlowVersion, _ xid: UInt32, _ body: inout WireReader
  ) throws(ErrorCode) -> MessageBody {
    try MessageDecoder().body(type, version, xid: xid, &body)
  }

  static func encode(_ add: BundleAdd, _ outer: Message, to writer: inout WireWriter) throws(EncodeError) {
    writer.u32(add.bundle)
    writer.zeros(2)
    writer.u16(add.flags.rawValue)
    var inner = add.message
    inner.version = outer.version
    inner.xid = outer.xid
    try MessageEncoder().write(inner, to: &writer)
  }

  static func decodeForward(_ reader: inout WireReader, _ version: OpenFlowVersion) throws(ErrorCode)
    -> RequestForward
  {
    let inner = try innerHeader(&reader, version)
    guard inner.type == 15 || inner.type == 29 else { throw .badRequestBadType }
    var body = try reader.part(inner.byteCount - 8)
    return RequestForward(Message(version, xid: inner.xid, try innerBody(inner.type, version, inner.xid, &body)))
  }

  static func encode(_ forward: RequestForward, to writer: inout WireWriter) throws(EncodeError) {
    try MessageEncoder().write(forward.request, to: &writer)
  }
}
