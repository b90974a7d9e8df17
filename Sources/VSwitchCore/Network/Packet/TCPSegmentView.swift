// A TCP segment of a punted frame, read with bounds. Pure; any bytes give nil or values. Standard: RFC 9293 §3.1.

/// A TCP segment with a right checksum.
package struct TCPSegmentView: Sendable {
  package static let fin: UInt8 = 1
  package static let syn: UInt8 = 2
  package static let reset: UInt8 = 4
  package static let push: UInt8 = 8
  package static let acknowledge: UInt8 = 16

  package let sourceMAC: MACAddress
  package let destinationMAC: MACAddress
  package let source: IPAddress
  package let destination: IPAddress
  package let sourcePort: UInt16
  package let destinationPort: UInt16
  package let sequence: UInt32
  package let acknowledgement: UInt32
  package let flags: UInt8
  /// As it is written: not scaled.
  package let window: UInt16
  /// The option of that name, bytes; nil: there is none.
  package let maximumSegmentSize: UInt16?
  package let data: ArraySlice<UInt8>

  package var isFinal: Bool { flags & Self.fin != 0 }
  package var isOpening: Bool { flags & Self.syn != 0 }
  package var isReset: Bool { flags & Self.reset != 0 }
  package var acknowledges: Bool { flags & Self.acknowledge != 0 }
  /// Numbers that it takes: those of its bytes, SYN and FIN.
  package var length: UInt32 { UInt32(truncatingIfNeeded: data.count) &+ (isFinal ? 1 : 0) &+ (isOpening ? 1 : 0) }

  /// - Parameter frame: untagged; a segment of one host to another, not a fragment.
  package init?(frame: [UInt8]) {
    guard let packet = IPPacketView(frame: frame), packet.ipProtocol == 6, !packet.isLaterFragment else { return nil }
    let header = PacketBytes(frame[...])
    let segment = packet.payload
    guard let destinationMAC = header.mac(0), let sourceMAC = header.mac(6), !destinationMAC.isMulticast,
      !sourceMAC.isMulticast, !packet.source.isMulticast, !packet.source.isUnspecified,
      packet.source != packet.destination, let sourcePort = segment.word(0), let destinationPort = segment.word(2),
      let sequence = segment.long(4), let acknowledgement = segment.long(8), let offset = segment.byte(12),
      let flags = segment.byte(13), let window = segment.word(14)
    else { return nil }
    let headerByteCount = Int(offset >> 4) * 4
    guard headerByteCount >= 20, headerByteCount <= segment.count else { return nil }
    var sum = InternetChecksum()
    sum.add(packet.source.octets + packet.destination.octets)
    sum.add(UInt16(6))
    sum.add(UInt32(truncatingIfNeeded: segment.count))
    sum.add(Array(segment.bytes))
    guard sum.value == 0 else { return nil }
    self.sourceMAC = sourceMAC
    self.destinationMAC = destinationMAC
    source = packet.source
    destination = packet.destination
    self.sourcePort = sourcePort
    self.destinationPort = destinationPort
    self.sequence = sequence
    self.acknowledgement = acknowledgement
    self.flags = flags
    self.window = window
    maximumSegmentSize = Self.maximumSegmentSize(PacketBytes(segment.from(20).prefix(headerByteCount - 20)))
    data = segment.from(headerByteCount)
  }

  /// Stops at an option that has no length, or ends behind the header.
  private static func maximumSegmentSize(_ options: PacketBytes) -> UInt16? {
    var offset = 0
    while let kind = options.byte(offset), kind != 0 {
      if kind == 1 {
        offset += 1
        continue
      }
      guard let length = options.byte(offset + 1), length >= 2, offset + Int(length) <= options.count else {
        return nil
      }
      if kind == 2, length == 4 { return options.word(offset + 2) }
      offset += Int(length)
    }
    return nil
  }
}
