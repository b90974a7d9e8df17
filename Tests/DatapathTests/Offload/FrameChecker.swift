// Says what is wrong with a frame that is about to leave: lengths and checksums, read naively.

/// Nil if IP lengths, IPv4 header checksum and TCP or UDP checksum are right.
func complaint(about frame: [UInt8]) -> String? {
  var offset = 12
  while offset + 2 <= frame.count, [0x8100, 0x88a8].contains(word(frame, offset)), offset < 20 { offset += 4 }
  guard offset + 2 <= frame.count else { return "no EtherType" }
  let type = word(frame, offset)
  offset += 2
  let pseudo: [UInt8]
  var transport: Int
  var body: [UInt8]
  switch type {
  case 0x0800:
    let headerByteCount = Int(frame[offset] & 15) * 4
    guard offset + headerByteCount <= frame.count else { return "IPv4 header cut" }
    guard word(frame, offset + 2) == frame.count - offset else { return "IPv4 length" }
    let header = Array(frame[offset..<offset + headerByteCount])
    guard naiveChecksumSum(header) == 0xffff else { return "IPv4 header checksum" }
    pseudo = Array(header[12..<20])
    transport = Int(header[9])
    body = Array(frame[(offset + headerByteCount)...])
  case 0x86dd:
    guard word(frame, offset + 4) == frame.count - offset - 40 else { return "IPv6 length" }
    pseudo = Array(frame[offset + 8..<offset + 40])
    transport = Int(frame[offset + 6])
    body = Array(frame[(offset + 40)...])
    while [0, 43, 44, 51, 60, 135, 139, 140].contains(transport) {
      guard body.count >= 8 else { return "extension header cut" }
      let byteCount = transport == 44 ? 8 : transport == 51 ? Int(body[1]) * 4 + 8 : Int(body[1]) * 8 + 8
      guard byteCount <= body.count else { return "extension header too long" }
      transport = Int(body[0])
      body.removeFirst(byteCount)
    }
  default: return "not IP"
  }
  guard transport == 6 || transport == 17 else { return "transport \(transport)" }
  if transport == 17 {
    guard body.count >= 8, word(body, 4) == body.count else { return "UDP length" }
    if word(body, 6) == 0 { return "UDP checksum 0" }
  }
  let sum = naiveChecksumSum(pseudo + bigEndian32(body.count) + bigEndian32(transport) + body)
  return sum == 0xffff ? nil : "transport checksum"
}
