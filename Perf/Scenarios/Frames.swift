// The frames of the scenarios.

import Datapath

/// A station's address, locally administered.
func station(_ side: UInt8, _ number: Int) -> [UInt8] {
  [0x02, 0x00, side, 0x00, UInt8(truncatingIfNeeded: number >> 8), UInt8(truncatingIfNeeded: number)]
}

func vlanTag(_ vlan: UInt16) -> [UInt8] { [0x81, 0x00, UInt8(vlan >> 8), UInt8(vlan & 0xff)] }

/// An IPv4 frame of 60 bytes (64 with the checksum that no virtual port carries).
func smallFrame(to destination: [UInt8], from source: [UInt8], tag: [UInt8] = []) -> [UInt8] {
  let header = destination + source + tag + [0x08, 0x00, 0x45]
  return header + Array(repeating: 0, count: 60 - header.count)
}

/// A TCP frame over IPv4 with its checksum left open, and the metadata for that.
/// - Parameter segment: payload of each segment it is to be cut into, 0 for none.
func tcpFrame(
  to destination: [UInt8], from source: [UInt8], payload: Int, segment: Int
) -> (frame: [UInt8], offload: OffloadMetadata) {
  let packet = 40 + payload
  var frame = destination + source + [0x08, 0x00]
  frame += [0x45, 0, UInt8(packet >> 8), UInt8(packet & 0xff), 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]
  // Sequence number 1, ACK, header of 20 bytes; the checksum field would hold the pseudo header's sum.
  frame += [0x30, 0x39, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0]
  frame += (0..<payload).map { UInt8(truncatingIfNeeded: $0 &* 31) }
  var offload = OffloadMetadata()
  offload.flags = OffloadMetadata.needsChecksum
  offload.checksumStart = 34
  offload.checksumOffset = 16
  if segment > 0 {
    offload.gsoType = OffloadMetadata.gsoTCPv4
    offload.gsoByteCount = UInt16(segment)
    offload.headerByteCount = 54
  }
  return (frame, offload)
}
