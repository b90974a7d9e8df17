// Frames of real clients, recorded with tcpdump from busybox 1.35 (udhcpc) and isc-dhcp-client 4.4.3 on a veth.

/// Bytes written in hexadecimal; `(n)` stands for n zeros.
func bytes(_ text: String) -> [UInt8] {
  var bytes: [UInt8] = []
  var rest = Substring(text)
  while let first = rest.first {
    if first == "(" {
      let number = rest.dropFirst().prefix { $0 != ")" }
      bytes += [UInt8](repeating: 0, count: Int(number) ?? 0)
      rest = rest.dropFirst(number.count + 2)
    } else {
      bytes.append(UInt8(rest.prefix(2), radix: 16) ?? 0)
      rest = rest.dropFirst(2)
    }
  }
  return bytes
}

enum RecordedFrames {
  static let udhcpcDiscover = bytes(
    "ffffffffffff52540012345608004500014800000000401179a600000000ffffffff0044004301348a4701010600c6e74716(20)"
      + "525400123456(202)638253633501013902024037070103060c0f1c2a0c067564686f73743c0c756468637020312e33352e303d0701"
      + "525400123456ff(12)")
  static let udhcpcRequest = bytes(
    "ffffffffffff52540012345608004500014800000000401179a600000000ffffffff004400430134cfc701010600c6e747160003(18)"
      + "525400123456(202)6382536335010332040a09009d36040a0900013902024037070103060c0f1c2a0c067564686f73743c0c"
      + "756468637020312e33352e303d0701525400123456ff")
  static let dhclientDiscover = bytes(
    "ffffffffffff525400123456080045100148000000008011399600000000ffffffff004400430134cb2001010600fdce8e15(20)"
      + "525400123456(202)638253633501013707011c02030f060cff(47)")
  static let dhclientRequest = bytes(
    "ffffffffffff525400123456080045100148000000008011399600000000ffffffff00440043013410a401010600fdce8e15(20)"
      + "525400123456(202)6382536335010336040a09000132040a09009d3707011c02030f060cff(35)")
  /// The UDP payload alone: its checksum was left to the network card.
  static let dhclientRelease = bytes(
    "010106006cdc0904000000000a09009d(12)525400123456(202)6382536335010736040a090001ff(50)")
}
