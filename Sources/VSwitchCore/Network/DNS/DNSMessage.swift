// Messages of the DNS as far as a forwarder reads and makes them (RFC 1035 §4, EDNS RFC 6891). Pure values; any thread.
// Invariant: any bytes are read within their bounds or refused.

package enum DNSType {
  package static let a: UInt16 = 1
  package static let ptr: UInt16 = 12
  package static let aaaa: UInt16 = 28
  package static let opt: UInt16 = 41
  package static let ixfr: UInt16 = 251
  package static let axfr: UInt16 = 252
  package static let any: UInt16 = 255
  /// The class of the Internet.
  package static let internet: UInt16 = 1
}

/// RFC 1035 §4.1.1.
package enum DNSResponseCode: UInt16, Sendable {
  case noError = 0
  case formatError = 1
  case serverFailure = 2
  case nameError = 3
  case notImplemented = 4
  case refused = 5
}

package struct DNSQuestion: Hashable, Sendable {
  package var name: DNSName
  package var type: UInt16
  package var recordClass: UInt16

  package init(name: DNSName, type: UInt16, recordClass: UInt16 = DNSType.internet) {
    self.name = name
    self.type = type
    self.recordClass = recordClass
  }

  var encoded: [UInt8] { name.encoded + type.networkOrder + recordClass.networkOrder }
}

/// The header's second word (RFC 1035 §4.1.1, RFC 4035 §3.2).
package struct DNSFlags: Equatable, Hashable, Sendable {
  package var word: UInt16

  package init(_ word: UInt16) { self.word = word }

  package var isResponse: Bool {
    get { word & 0x8000 != 0 }
    set { word = word & ~0x8000 | (newValue ? 0x8000 : 0) }
  }
  package var operation: UInt16 { word >> 11 & 0xf }
  package var isAuthoritative: Bool {
    get { word & 0x0400 != 0 }
    set { word = word & ~0x0400 | (newValue ? 0x0400 : 0) }
  }
  package var isTruncated: Bool {
    get { word & 0x0200 != 0 }
    set { word = word & ~0x0200 | (newValue ? 0x0200 : 0) }
  }
  package var recursionDesired: Bool { word & 0x0100 != 0 }
  package var recursionAvailable: Bool {
    get { word & 0x0080 != 0 }
    set { word = word & ~0x0080 | (newValue ? 0x0080 : 0) }
  }
  /// CD and AD.
  package var security: UInt16 { word & 0x0030 }
  package var code: UInt16 {
    get { word & 0xf }
    set { word = word & ~0xf | newValue & 0xf }
  }
}

/// A query of a client.
package struct DNSQuery: Equatable, Sendable {
  package var id: UInt16
  package var flags: DNSFlags
  package var question: DNSQuestion
  /// Bytes of UDP that the client takes, if it speaks EDNS.
  package var bufferSize: UInt16?
  /// DO: it wants DNSSEC's records.
  package var wantsSecurity = false

  package init(id: UInt16, flags: DNSFlags, question: DNSQuestion, bufferSize: UInt16? = nil) {
    self.id = id
    self.flags = flags
    self.question = question
    self.bufferSize = bufferSize
  }

  /// What can't be read as a query.
  package enum Fault: Error, Equatable {
    /// No answer is owed: it is no query, or too short for an answer.
    case ignored
    case answered(id: UInt16, DNSFlags, DNSResponseCode)
  }

  package init(_ bytes: [UInt8]) throws(Fault) {
    var header = ByteReader(bytes)
    guard let id = header.uint16(), let word = header.uint16(), let questions = header.uint16(),
      let answers = header.uint16(), let authorities = header.uint16(), let additionals = header.uint16()
    else { throw .ignored }
    let flags = DNSFlags(word)
    guard !flags.isResponse else { throw .ignored }
    guard flags.operation == 0 else { throw .answered(id: id, flags, .notImplemented) }
    let malformed = Fault.answered(id: id, flags, .formatError)
    guard questions == 1, answers == 0, authorities == 0, additionals <= 4 else { throw malformed }
    var offset = 12
    guard let question = DNSQuestion(bytes, at: &offset) else { throw malformed }
    self.init(id: id, flags: flags, question: question)
    for _ in 0..<additionals {
      guard let record = DNSRecord(bytes, at: &offset) else { throw malformed }
      guard record.type == DNSType.opt else { continue }
      guard bufferSize == nil, record.name.labels.isEmpty else { throw malformed }
      bufferSize = record.recordClass
      wantsSecurity = record.timeToLive & 0x8000 != 0
    }
  }

  /// The bytes of a query of one's own with the same question.
  package func encoded(id: UInt16, bufferSize size: UInt16) -> [UInt8] {
    let word = UInt16(0x0100) | flags.security
    var bytes = id.networkOrder + word.networkOrder + [0, 1, 0, 0, 0, 0, 0, bufferSize == nil ? 0 : 1]
    bytes += question.encoded
    if bufferSize != nil { bytes += Self.optRecord(size: size, wantsSecurity: wantsSecurity) }
    return bytes
  }

  /// An answer made here.
  /// - Parameters:
  ///   - records: what is known of the name, as data.
  package func answer(
    _ code: DNSResponseCode, _ records: [DNSAnswer] = [], isAuthoritative: Bool = true, isTruncated: Bool = false
  ) -> [UInt8] {
    var flags = Self.responseFlags(self.flags, code)
    flags.isAuthoritative = isAuthoritative
    flags.isTruncated = isTruncated
    var bytes = id.networkOrder + flags.word.networkOrder + [0, 1] + UInt16(records.count).networkOrder
    bytes += [0, 0, 0, bufferSize == nil ? 0 : 1] + question.encoded
    for record in records {
      // The question's name is at 12.
      bytes += [0xc0, 12] + record.type.networkOrder + DNSType.internet.networkOrder + record.timeToLive.networkOrder
      bytes += UInt16(record.data.count).networkOrder + record.data
    }
    if bufferSize != nil { bytes += Self.optRecord(size: 1232, wantsSecurity: wantsSecurity) }
    return bytes
  }

  /// An answer to what could not be read: the header alone.
  static func answer(id: UInt16, _ flags: DNSFlags, _ code: DNSResponseCode) -> [UInt8] {
    id.networkOrder + responseFlags(flags, code).word.networkOrder + [0, 0, 0, 0, 0, 0, 0, 0]
  }

  private static func responseFlags(_ flags: DNSFlags, _ code: DNSResponseCode) -> DNSFlags {
    // Operation and RD as they came; recursion is offered.
    var response = DNSFlags(flags.word & 0x7910)
    response.isResponse = true
    response.recursionAvailable = true
    response.code = code.rawValue
    return response
  }

  private static func optRecord(size: UInt16, wantsSecurity: Bool) -> [UInt8] {
    [0] + DNSType.opt.networkOrder + size.networkOrder + [0, 0, wantsSecurity ? 0x80 : 0, 0, 0, 0]
  }
}

/// A record's data for an answer.
package struct DNSAnswer: Equatable, Sendable {
  package var type: UInt16
  package var timeToLive: UInt32
  package var data: [UInt8]

  package init(_ address: IPAddress, timeToLive: UInt32) {
    type = address.isIPv6 ? DNSType.aaaa : DNSType.a
    self.timeToLive = timeToLive
    data = address.octets
  }

  package init(pointer name: DNSName, timeToLive: UInt32) {
    type = DNSType.ptr
    self.timeToLive = timeToLive
    data = name.encoded
  }
}

/// A record as far as a forwarder looks at it.
struct DNSRecord {
  var name: DNSName
  var type: UInt16
  var recordClass: UInt16
  var timeToLive: UInt32

  /// - Parameter offset: of the record; behind it afterwards.
  init?(_ message: [UInt8], at offset: inout Int) {
    guard let name = DNSName(message, at: &offset) else { return nil }
    var reader = ByteReader(message, at: offset)
    guard let type = reader.uint16(), let recordClass = reader.uint16(), let timeToLive = reader.uint32(),
      let count = reader.uint16(), reader.take(Int(count)) != nil
    else { return nil }
    offset = reader.offset
    self.name = name
    self.type = type
    self.recordClass = recordClass
    self.timeToLive = timeToLive
  }
}

extension DNSQuestion {
  /// - Parameter offset: of the question; behind it afterwards.
  init?(_ message: [UInt8], at offset: inout Int) {
    guard let name = DNSName(message, at: &offset) else { return nil }
    var reader = ByteReader(message, at: offset)
    guard let type = reader.uint16(), let recordClass = reader.uint16() else { return nil }
    offset = reader.offset
    self.init(name: name, type: type, recordClass: recordClass)
  }
}

/// A server's response, checked as far as it is passed on.
package struct DNSResponse: Equatable, Sendable {
  package let bytes: [UInt8]
  package let flags: DNSFlags
  /// Where the records begin.
  private let recordsStart: Int

  /// Nil if it is not the response to this query (RFC 5452 §9.1): id and question have to be the same, letters' case, too.
  /// That it comes from the server and port that were asked is the socket's business.
  package init?(_ bytes: [UInt8], to query: DNSQuery, id: UInt16) {
    var header = ByteReader(bytes)
    guard header.uint16() == id, let word = header.uint16(), header.uint16() == 1 else { return nil }
    let flags = DNSFlags(word)
    var offset = 12
    guard flags.isResponse, flags.operation == 0, let question = DNSQuestion(bytes, at: &offset),
      question == query.question, question.name.isIdentical(to: query.question.name),
      // Not compressed, so that the client's own question fits in its place.
      offset == 12 + query.question.encoded.count
    else { return nil }
    self.bytes = bytes
    self.flags = flags
    recordsStart = offset
  }

  /// The response as the client gets it that asked, cut down to its question where it is larger than the client takes.
  /// - Parameter limit: bytes.
  package func forwarded(to query: DNSQuery, limit: Int) -> [UInt8] {
    var flags = flags
    flags.recursionAvailable = true
    guard bytes.count <= limit, !flags.isTruncated else {
      let code = DNSResponseCode(rawValue: flags.code) ?? .serverFailure
      return query.answer(code, isAuthoritative: false, isTruncated: true)
    }
    var copy = bytes
    copy.replaceSubrange(0..<4, with: query.id.networkOrder + flags.word.networkOrder)
    copy.replaceSubrange(12..<recordsStart, with: query.question.encoded)
    return copy
  }
}
