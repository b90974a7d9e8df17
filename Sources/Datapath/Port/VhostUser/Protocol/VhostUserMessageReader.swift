// Puts messages together from what a socket gives: bytes in any pieces, descriptors beside the piece they came with. Pure:
// the socket is read elsewhere. Invariants: never more than one message's bytes and descriptors are kept; every
// descriptor is owned from the moment it came, so that whatever is refused is also closed.

/// Collects one connection's messages.
struct VhostUserMessageReader {
  private var buffered: [UInt8] = []
  private var descriptors: [OwnedDescriptor] = []
  private var header: VhostUserHeader?

  /// Bytes that belong to the message under way; a socket is asked for no more, so that descriptors stay with theirs.
  var wantedByteCount: Int {
    VhostUserHeader.byteCount + (header?.payloadByteCount ?? 0) - buffered.count
  }

  /// A message has begun and not ended.
  var isInsideMessage: Bool { !buffered.isEmpty || !descriptors.isEmpty }

  /// Takes what came.
  /// - Parameter bytes: at most `wantedByteCount`.
  /// - Returns: a message when its last byte has come.
  mutating func take(
    _ bytes: ArraySlice<UInt8>, descriptors new: [OwnedDescriptor]
  ) throws(VhostUserFault) -> VhostUserMessage? {
    descriptors += new
    guard descriptors.count <= 8 else { throw .messageDescriptorCountWrong }
    guard bytes.count <= wantedByteCount else { throw .messageTooLong }
    buffered += bytes
    if header == nil, buffered.count == VhostUserHeader.byteCount { header = try VhostUserHeader(buffered[...]) }
    guard let header, wantedByteCount == 0 else { return nil }
    defer { self = VhostUserMessageReader() }
    return try VhostUserMessage(header, payload: buffered[VhostUserHeader.byteCount...], descriptors: descriptors)
  }
}
