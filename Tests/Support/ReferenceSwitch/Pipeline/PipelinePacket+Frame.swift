// A packet of the naive pipeline from bytes and to bytes: every field is written where it belongs and every checksum is made
// anew, so that there is nothing to be forgotten. Thread: a value; any.
// Standards: IEEE 802.1Q §9, RFC 3032, RFC 826, RFC 791, RFC 8200, RFC 9293, RFC 768, RFC 9260, RFC 792, RFC 4443, RFC 4861.

import VSwitchCore

extension PipelinePacket {
  /// Nil if the frame ends before its EtherType.
  package init?(frame: [UInt8]) {
    self.init()
    var rest = frame[...]
    func take(_ count: Int) -> UInt64? {
      guard rest.count >= count else { return nil }
      defer { rest = rest.dropFirst(count) }
      return rest.prefix(count).reduce(0) { $0 << 8 | UInt64($1) }
    }
    guard let destination = take(6), let source = take(6), var type = take(2) else { return nil }
    (ethernetDestination, ethernetSource) = (destination, source)
    // A third tag is payload, as for every parser of the switch.
    while tags.count < 2, type == 0x8100 || type == 0x88a8 {
      guard let tci = take(2), let next = take(2) else { return nil }
      tags.append(Tag(type: UInt16(type), tci: UInt16(tci)))
      type = next
    }
    etherType = UInt16(type)
    contentType = etherType
    if isMPLS {
      contentType = 0
      while let entry = take(4) {
        labels.append(UInt32(entry))
        guard entry & 0x100 != 0 else { continue }
        // What is below the last label says itself what it is, if it is IP.
        contentType = [4: 0x0800, 6: 0x86dd][(rest.first ?? 0) >> 4] ?? 0
        break
      }
    }
    contentBytes = Array(rest)
    content = ContentLayout(contentType, Array(rest)).fields(Array(rest))
  }

  /// What is no longer what it was is read anew.
  mutating func parseAgain() {
    guard var again = PipelinePacket(frame: frame) else { return }
    again.metadata = metadata
    self = again
  }

  /// All bytes, with right checksums.
  package var frame: [UInt8] {
    var bytes = Self.octets(UInt128(ethernetDestination), 6) + Self.octets(UInt128(ethernetSource), 6)
    for tag in tags { bytes += Self.octets(UInt128(tag.type), 2) + Self.octets(UInt128(tag.tci), 2) }
    bytes += Self.octets(UInt128(etherType), 2)
    for label in labels { bytes += Self.octets(UInt128(label), 4) }
    let content = contentBytes ?? newContent(byteCount: byteCount - bytes.count)
    return bytes + ContentLayout(contentType, content).writing(self.content, to: content)
  }

  package mutating func popTag() {
    guard !tags.isEmpty else { return }
    tags.removeFirst()
    if contentBytes != nil, tags.count < 2, etherType == 0x8100 || etherType == 0x88a8 { parseAgain() }
  }

  static func octets(_ value: UInt128, _ count: Int) -> [UInt8] {
    (0..<count).reversed().map { UInt8(truncatingIfNeeded: value >> UInt128(8 * $0)) }
  }

  // MARK: a packet that was never bytes

  /// Headers whose fields are all still to be written, and a payload.
  private func newContent(byteCount: Int) -> [UInt8] {
    let payload = (0..<max(byteCount - 60, 5)).map { UInt8(truncatingIfNeeded: 0xa5 &+ $0) }
    let isFragment = content.ipFragment != 0
    let isLater = content.ipFragment & 2 != 0
    switch contentType {
    case 0x0800:
      let transport = isLater ? payload : newTransport(payload)
      let fragment: [UInt8] = !isFragment ? [0x40, 0] : isLater ? [0, 5] : [0x20, 0]
      return [0x45, 0] + Self.octets(UInt128(20 + transport.count), 2) + [0x12, 0x34] + fragment
        + [0, content.ipProtocol] + [UInt8](repeating: 0, count: 10) + transport
    case 0x86dd:
      var transport = isLater ? payload : newTransport(payload)
      if isFragment { transport = [content.ipProtocol, 0, 0, isLater ? 0x28 : 1, 0, 0, 0, 9] + transport }
      return [0x60, 0, 0, 0] + Self.octets(UInt128(transport.count), 2) + [isFragment ? 44 : content.ipProtocol]
        + [UInt8](repeating: 0, count: 33) + transport
    case 0x0806: return [0, 1, 8, 0, 6, 4] + [UInt8](repeating: 0, count: 40)
    default: return payload
    }
  }

  private func newTransport(_ payload: [UInt8]) -> [UInt8] {
    func zeros(_ count: Int) -> [UInt8] { [UInt8](repeating: 0, count: count) }
    switch content.ipProtocol {
    case 6: return zeros(12) + [0x50] + zeros(7) + payload
    case 17: return zeros(4) + Self.octets(UInt128(8 + payload.count), 2) + zeros(2) + payload
    case 132: return zeros(12) + payload
    case 1: return zeros(8) + payload
    case 58:
      // Whether there is a target is decided by the type, which has to be there already.
      let type = UInt8(truncatingIfNeeded: content.transportSource)
      if type == 135 { return [type] + zeros(23) + [1, 1] + zeros(6) }
      return type == 136 ? [type] + zeros(23) : [type] + zeros(7) + payload
    default: return payload
    }
  }
}
