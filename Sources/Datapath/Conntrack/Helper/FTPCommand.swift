// What FTP's control connection says of the next data connection: PORT and EPRT of a client, 227 and 229 of a server. Pure.
//
// Only a line that begins a segment and ends in it counts, as Linux's helper has it. Reads no byte outside of the text; any
// bytes give a command or none. Standards: RFC 959 §4.1.2, RFC 2428 (EPRT, EPSV), RFC 1123 §4.1.2.6.

/// Where a data connection will be opened to.
struct FTPCommand: Equatable {
  enum Form: UInt8 {
    /// a,b,c,d,p,p
    case commas
    /// |1|address|port| or |2|address|port|
    case bars
    /// |||port|
    case portOnly
  }
  var form: Form
  /// From the server, for a connection that the client opens.
  var isPassive: Bool
  /// IPv4 in the low 32 bits; 0 with `portOnly`.
  var address: UInt128
  var isIPv6: Bool
  var port: UInt16
  /// The bytes that say so, from the text's start.
  var start: Int
  var end: Int

  /// Longest line that is looked at.
  static var lineLimit: Int { 256 }

  /// - Parameters:
  ///   - text: a segment's payload.
  ///   - isReply: it comes from the server.
  init?(_ text: UnsafeRawBufferPointer, isReply: Bool) {
    var reader = unsafe FTPLineReader(text)
    guard reader.isWholeLine else { return nil }
    let found: FTPCommand?
    if isReply {
      if reader.takes("227 ") {
        reader.skipToDigit()
        found = reader.commas(isPassive: true)
      } else if reader.takes("229 ") {
        reader.skip(to: UInt8(ascii: "("))
        found = reader.takes("(") ? reader.portOnly() : nil
      } else {
        found = nil
      }
    } else if reader.takes("PORT ") {
      found = reader.commas(isPassive: false)
    } else if reader.takes("EPRT ") {
      found = reader.bars()
    } else {
      found = nil
    }
    guard let found else { return nil }
    self = found
  }

  fileprivate init(
    form: Form, isPassive: Bool, address: UInt128, isIPv6: Bool, port: UInt16, start: Int, end: Int
  ) {
    self.form = form
    self.isPassive = isPassive
    self.address = address
    self.isIPv6 = isIPv6
    self.port = port
    self.start = start
    self.end = end
  }
}

/// Reads one line.
@safe private struct FTPLineReader {
  private let text: UnsafeRawBufferPointer
  private var position = 0
  private let end: Int
  let isWholeLine: Bool

  init(_ text: UnsafeRawBufferPointer) {
    unsafe self.text = text
    let limit = min(text.count, FTPCommand.lineLimit)
    var end = 0
    while end < limit, unsafe text[end] != 13, unsafe text[end] != 10 { end &+= 1 }
    self.end = end
    isWholeLine = end < limit
  }

  private var next: UInt8? { position < end ? unsafe text[position] : nil }

  /// Takes a word, in whatever case.
  mutating func takes(_ word: StaticString) -> Bool {
    let count = word.utf8CodeUnitCount
    guard end &- position >= count else { return false }
    for index in 0..<count {
      var byte = unsafe text[position &+ index]
      if byte >= 97, byte <= 122 { byte &-= 32 }
      guard unsafe byte == word.utf8Start[index] else { return false }
    }
    position &+= count
    return true
  }

  mutating func skipToDigit() { while let byte = next, !Self.isDigit(byte) { position &+= 1 } }

  mutating func skip(to wanted: UInt8) { while let byte = next, byte != wanted { position &+= 1 } }

  private static func isDigit(_ byte: UInt8) -> Bool { byte >= 48 && byte <= 57 }

  /// A number of at most `limit`.
  private mutating func number(_ limit: UInt32) -> UInt32? {
    guard let first = next, Self.isDigit(first) else { return nil }
    var value: UInt32 = 0
    while let byte = next, Self.isDigit(byte) {
      value = value &* 10 &+ UInt32(byte &- 48)
      guard value <= limit else { return nil }
      position &+= 1
    }
    return value
  }

  private mutating func take(_ byte: UInt8) -> Bool {
    guard next == byte else { return false }
    position &+= 1
    return true
  }

  mutating func commas(isPassive: Bool) -> FTPCommand? {
    let start = position
    var address: UInt32 = 0
    var port: UInt32 = 0
    for index in 0..<6 {
      if index > 0 { guard take(UInt8(ascii: ",")) else { return nil } }
      guard let value = number(255) else { return nil }
      if index < 4 { address = address &<< 8 | value } else { port = port &<< 8 | value }
    }
    return FTPCommand(
      form: .commas, isPassive: isPassive, address: UInt128(address), isIPv6: false,
      port: UInt16(truncatingIfNeeded: port), start: start, end: position)
  }

  mutating func portOnly() -> FTPCommand? {
    let start = position
    guard let bar = next, bar >= 33, bar <= 126, !Self.isDigit(bar) else { return nil }
    for _ in 0..<3 { guard take(bar) else { return nil } }
    guard let port = number(65_535), take(bar) else { return nil }
    return FTPCommand(
      form: .portOnly, isPassive: true, address: 0, isIPv6: false, port: UInt16(truncatingIfNeeded: port), start: start,
      end: position)
  }

  mutating func bars() -> FTPCommand? {
    let start = position
    guard let bar = next, bar >= 33, bar <= 126, !Self.isDigit(bar), bar != UInt8(ascii: ":") else { return nil }
    position &+= 1
    guard let family = number(2), family > 0, take(bar) else { return nil }
    guard let address = family == 1 ? dotted() : groups(), take(bar) else { return nil }
    guard let port = number(65_535), take(bar) else { return nil }
    return FTPCommand(
      form: .bars, isPassive: false, address: address, isIPv6: family == 2, port: UInt16(truncatingIfNeeded: port),
      start: start, end: position)
  }

  private mutating func dotted() -> UInt128? {
    var address: UInt32 = 0
    for index in 0..<4 {
      if index > 0 { guard take(UInt8(ascii: ".")) else { return nil } }
      guard let value = number(255) else { return nil }
      address = address &<< 8 | value
    }
    return UInt128(address)
  }

  /// An IPv6 address in groups (RFC 4291 §2.2, 1 and 2).
  private mutating func groups() -> UInt128? {
    var before: UInt128 = 0
    var after: UInt128 = 0
    var beforeCount = 0
    var afterCount = 0
    var hasGap = false
    if take(UInt8(ascii: ":")) {
      guard take(UInt8(ascii: ":")) else { return nil }
      hasGap = true
    }
    while let value = group() {
      if hasGap {
        after = after << 16 | UInt128(value)
        afterCount &+= 1
      } else {
        before = before << 16 | UInt128(value)
        beforeCount &+= 1
      }
      guard beforeCount &+ afterCount <= 8 else { return nil }
      guard take(UInt8(ascii: ":")) else { break }
      if take(UInt8(ascii: ":")) {
        guard !hasGap else { return nil }
        hasGap = true
      }
    }
    guard hasGap ? beforeCount &+ afterCount < 8 : beforeCount == 8 else { return nil }
    return hasGap ? before << UInt128(16 &* (8 &- beforeCount)) | after : before
  }

  private mutating func group() -> UInt16? {
    var value: UInt32 = 0
    var count = 0
    while let byte = next, count < 4 {
      switch byte {
      case 48...57: value = value &<< 4 | UInt32(byte &- 48)
      case 65...70: value = value &<< 4 | UInt32(byte &- 55)
      case 97...102: value = value &<< 4 | UInt32(byte &- 87)
      default: return count > 0 ? UInt16(truncatingIfNeeded: value) : nil
      }
      position &+= 1
      count &+= 1
    }
    return count > 0 ? UInt16(truncatingIfNeeded: value) : nil
  }
}

/// The text that takes a command's place.
struct HelperText {
  private(set) var bytes = InlineArray<64, UInt8>(repeating: 0)
  private(set) var count = 0

  mutating func append(_ byte: UInt8) {
    guard count < 64 else { return }
    bytes[count] = byte
    count &+= 1
  }

  mutating func append(number: UInt32, radix: UInt32 = 10) {
    var divisor: UInt32 = 1
    while number / divisor >= radix { divisor &*= radix }
    while divisor > 0 {
      let digit = UInt8(truncatingIfNeeded: number / divisor % radix)
      append(digit < 10 ? 48 &+ digit : 87 &+ digit)
      divisor /= radix
    }
  }

  /// What a command says, for another address and port.
  init(_ command: FTPCommand, address: UInt128, port: UInt16) {
    let bar = UInt8(ascii: "|")
    switch command.form {
    case .commas:
      for index in 0..<4 {
        append(number: UInt32(truncatingIfNeeded: address >> UInt128(24 &- 8 &* index) & 0xff))
        append(UInt8(ascii: ","))
      }
      append(number: UInt32(port >> 8))
      append(UInt8(ascii: ","))
      append(number: UInt32(port & 0xff))
    case .portOnly:
      for _ in 0..<3 { append(bar) }
      append(number: UInt32(port))
      append(bar)
    case .bars:
      append(bar)
      append(command.isIPv6 ? UInt8(ascii: "2") : UInt8(ascii: "1"))
      append(bar)
      let groupCount = command.isIPv6 ? 8 : 4
      for index in 0..<groupCount {
        if index > 0 { append(command.isIPv6 ? UInt8(ascii: ":") : UInt8(ascii: ".")) }
        let shift = UInt128((groupCount &- 1 &- index) &* (command.isIPv6 ? 16 : 8))
        append(
          number: UInt32(truncatingIfNeeded: address >> shift & (command.isIPv6 ? 0xffff : 0xff)),
          radix: command.isIPv6 ? 16 : 10)
      }
      append(bar)
      append(number: UInt32(port))
      append(bar)
    }
  }
}
