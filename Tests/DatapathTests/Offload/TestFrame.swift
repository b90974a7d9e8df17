// A frame as a description, and a naive builder that writes its bytes one by one. Knows nothing of the code under test.

func bigEndian16(_ value: Int) -> [UInt8] { [UInt8(value >> 8 & 0xff), UInt8(value & 0xff)] }
func bigEndian32(_ value: Int) -> [UInt8] { bigEndian16(value >> 16) + bigEndian16(value) }
func word(_ bytes: [UInt8], _ at: Int) -> Int { Int(bytes[at]) << 8 | Int(bytes[at + 1]) }

/// RFC 1071, byte by byte.
func naiveChecksumSum(_ bytes: [UInt8]) -> Int {
  var sum = 0
  var i = 0
  while i < bytes.count {
    sum += Int(bytes[i]) << 8
    if i + 1 < bytes.count { sum += Int(bytes[i + 1]) }
    i += 2
  }
  while sum > 0xffff { sum = (sum & 0xffff) + sum >> 16 }
  return sum
}

struct TestFrame: CustomStringConvertible {
  enum Transport: String { case tcp, udp }
  enum Checksum { case complete, partial, wrong }

  var tags: [(type: Int, control: Int)] = []
  var isIPv6 = false
  var transport = Transport.tcp
  /// IPv4 options or TCP options, multiples of 4.
  var ipOptions: [UInt8] = []
  var tcpOptions: [UInt8] = []
  /// IPv6 extension headers: type and bytes without the first ("next header").
  var extensionHeaders: [(type: UInt8, rest: [UInt8])] = []
  /// Where the pseudo header's destination is not the IP header's (source route).
  var finalDestination: [UInt8]?
  var identification = 0x1234
  var sequence = 0x0102_0304
  var flags: UInt8 = 0x18
  var urgentPointer = 0
  var payload: [UInt8] = []

  var description: String {
    "\(tags.count) tags, \(isIPv6 ? "IPv6" : "IPv4") options \(ipOptions.count) extensions \(extensionHeaders.count), "
      + "\(transport.rawValue) options \(tcpOptions.count) flags \(flags), \(payload.count) bytes"
  }

  var networkOffset: Int { 14 + 4 * tags.count }
  var transportOffset: Int {
    networkOffset
      + (isIPv6 ? 40 + extensionHeaders.reduce(0) { $0 + 1 + $1.rest.count } : 20 + ipOptions.count)
  }
  var transportHeaderByteCount: Int { transport == .tcp ? 20 + tcpOptions.count : 8 }
  var headerByteCount: Int { transportOffset + transportHeaderByteCount }
  var checksumOffset: Int { transport == .tcp ? 16 : 6 }

  static let source4: [UInt8] = [192, 0, 2, 1]
  static let destination4: [UInt8] = [198, 51, 100, 200]
  static let source6: [UInt8] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
  static let destination6: [UInt8] = [0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 2]

  /// The whole frame.
  func bytes(_ checksum: Checksum = .complete) -> [UInt8] {
    var bytes: [UInt8] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]
    for tag in tags { bytes += bigEndian16(tag.type) + bigEndian16(tag.control) }
    let transportBytes = self.transportBytes(checksum)
    let number: UInt8 = transport == .tcp ? 6 : 17
    if isIPv6 {
      bytes += bigEndian16(0x86dd)
      let extensionByteCount = transportOffset - networkOffset - 40
      bytes += [0x60, 0, 0, 0] + bigEndian16(extensionByteCount + transportBytes.count)
      bytes += [extensionHeaders.first?.type ?? number, 64]
      bytes += Self.source6 + Self.destination6
      for i in extensionHeaders.indices {
        bytes.append(i + 1 < extensionHeaders.count ? extensionHeaders[i + 1].type : number)
        bytes += extensionHeaders[i].rest
      }
    } else {
      bytes += bigEndian16(0x0800)
      var header: [UInt8] = [UInt8(0x45 + ipOptions.count / 4), 0]
      header += bigEndian16(20 + ipOptions.count + transportBytes.count)
      header += bigEndian16(identification) + [0x40, 0, 64, number, 0, 0]
      header += Self.source4 + Self.destination4 + ipOptions
      header.replaceSubrange(10..<12, with: bigEndian16(~naiveChecksumSum(header) & 0xffff))
      bytes += header
    }
    return bytes + transportBytes
  }

  private func transportBytes(_ checksum: Checksum) -> [UInt8] {
    var bytes: [UInt8]
    switch transport {
    case .tcp:
      bytes = bigEndian16(4000) + bigEndian16(80) + bigEndian32(sequence) + bigEndian32(0x7777_0000)
      bytes += [UInt8(0x50 + tcpOptions.count / 4 * 16), flags] + bigEndian16(501) + [0, 0]
      bytes += bigEndian16(urgentPointer) + tcpOptions
    case .udp:
      bytes = bigEndian16(4000) + bigEndian16(53) + bigEndian16(8 + payload.count) + [0, 0]
    }
    bytes += payload
    var pseudo = isIPv6 ? Self.source6 : Self.source4
    pseudo += finalDestination ?? (isIPv6 ? Self.destination6 : Self.destination4)
    pseudo += bigEndian32(bytes.count) + bigEndian32(transport == .tcp ? 6 : 17)
    let value: Int
    switch checksum {
    case .partial: value = naiveChecksumSum(pseudo)
    case .wrong: value = 0x5a5a
    case .complete:
      let sum = ~naiveChecksumSum(pseudo + bytes) & 0xffff
      value = transport == .udp && sum == 0 ? 0xffff : sum
    }
    bytes.replaceSubrange(checksumOffset..<checksumOffset + 2, with: bigEndian16(value))
    return bytes
  }

  /// The segments as a sender without offload would have sent them.
  func segments(_ size: Int) -> [TestFrame] {
    var segments: [TestFrame] = []
    var position = 0
    repeat {
      var segment = self
      segment.payload = Array(payload[position..<min(position + size, payload.count)])
      segment.identification = (identification + segments.count) & 0xffff
      if transport == .tcp {
        segment.sequence = (sequence + position) & 0xffff_ffff
        let isLast = position + size >= payload.count
        if position > 0 { segment.flags &= 0x7f }
        if !isLast { segment.flags &= 0xf6 }
        if flags & 0x20 != 0, position > 0 {
          segment.urgentPointer = max(0, urgentPointer - position)
          if urgentPointer <= position { segment.flags &= 0xdf }
        }
      }
      segments.append(segment)
      position += size
    } while position < payload.count
    return segments
  }
}
