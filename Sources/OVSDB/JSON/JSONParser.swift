// JSON text to values, for bytes that nobody vouches for (RFC 8259). `JSONParser` takes a stream of messages without
// separators, as OVSDB's JSON-RPC sends them, in pieces of any size; `JSONValue.parse` takes one whole text.
// Invariants: nothing recurses, every limit of `JSONLimits` is checked before memory is spent, text that is not
// UTF-8 is refused, and no number traps. A parser that has thrown is finished: close the connection.

/// What a peer may make us hold.
package struct JSONLimits: Sendable {
  /// Bytes of one message.
  package var messageByteLimit: Int
  /// Arrays and objects inside one another.
  package var depthLimit: Int
  /// Values and member names of one message: bounds the memory that small text can grow to.
  package var valueLimit: Int

  package init(messageByteLimit: Int, depthLimit: Int = 64, valueLimit: Int? = nil) {
    self.messageByteLimit = messageByteLimit
    self.depthLimit = depthLimit
    self.valueLimit = valueLimit ?? Swift.max(messageByteLimit / 16, 4096)
  }

  /// For a control socket: 4 MiB a message.
  package static let control = JSONLimits(messageByteLimit: 4 << 20)
  /// For clients of the embedded database: 16 MiB a message, room for a transaction of 10,000 rows.
  package static let database = JSONLimits(messageByteLimit: 16 << 20)
  /// For what a server or a store we trust sends us: 256 MiB a message.
  package static let trusted = JSONLimits(messageByteLimit: 256 << 20)
}

/// Why text is no acceptable JSON; one line.
package struct JSONError: Error, Equatable, CustomStringConvertible {
  package var description: String
  /// Offset in bytes from the start of the message.
  package var byteOffset: Int
}

/// An incremental parser of a stream of JSON objects and arrays.
package struct JSONParser: Sendable {
  private let limits: JSONLimits
  private var buffer: [UInt8] = []
  private var messageStart = 0  // first byte of the message being gathered
  private var scanned = 0  // bytes before this one have been looked at
  private var depth = 0
  private var inString = false
  private var escaped = false

  package init(limits: JSONLimits = .control) { self.limits = limits }

  /// True between messages: an end of the stream here cuts nothing off.
  package var isBetweenMessages: Bool { depth == 0 && messageStart == buffer.count }

  /// Bytes held of messages that are not whole yet.
  package var bufferedByteCount: Int { buffer.count - messageStart }

  /// Takes the next piece of the stream. Call `next()` until it gives nil before appending again.
  package mutating func append(_ bytes: some Sequence<UInt8>) {
    if messageStart > 0 {
      buffer.removeFirst(messageStart)
      scanned -= messageStart
      messageStart = 0
    }
    buffer.append(contentsOf: bytes)
  }

  /// The next whole message; nil when more bytes are needed.
  package mutating func next() throws(JSONError) -> JSONValue? {
    guard let end = try scanMessage() else {
      // Between messages nothing is kept of a large one.
      if isBetweenMessages && buffer.capacity > 1 << 16 {
        buffer = []
        messageStart = 0
        scanned = 0
      }
      return nil
    }
    let message = buffer[messageStart..<end]
    let value = try JSONTextParser.parse(message, limits: limits)
    messageStart = end
    return value
  }

  /// Finds the end of the current message by counting brackets outside strings.
  private mutating func scanMessage() throws(JSONError) -> Int? {
    while scanned < buffer.count {
      let byte = buffer[scanned]
      if depth == 0 {
        switch byte {
        case 0x20, 0x09, 0x0a, 0x0d: messageStart = scanned + 1
        case UInt8(ascii: "{"), UInt8(ascii: "["): depth = 1
        default: throw JSONError(description: "a message must be a JSON object or array", byteOffset: 0)
        }
        scanned += 1
        continue
      }
      scanned += 1
      if inString {
        if escaped {
          escaped = false
        } else if byte == UInt8(ascii: "\\") {
          escaped = true
        } else if byte == UInt8(ascii: "\"") {
          inString = false
        }
        continue
      }
      switch byte {
      case UInt8(ascii: "\""): inString = true
      case UInt8(ascii: "{"), UInt8(ascii: "["):
        depth += 1
        if depth > limits.depthLimit { throw .tooDeep(limits, at: scanned - messageStart) }
      case UInt8(ascii: "}"), UInt8(ascii: "]"):
        depth -= 1
        if depth == 0 {
          try checkLength()
          return scanned
        }
      default: break
      }
    }
    try checkLength()
    return nil
  }

  private func checkLength() throws(JSONError) {
    if scanned - messageStart > limits.messageByteLimit {
      throw JSONError(
        description: "message exceeds the limit of \(limits.messageByteLimit) bytes",
        byteOffset: limits.messageByteLimit)
    }
  }
}

extension JSONError {
  static func tooDeep(_ limits: JSONLimits, at offset: Int) -> JSONError {
    JSONError(description: "nested more than \(limits.depthLimit) levels deep", byteOffset: offset)
  }
}

extension JSONValue {
  /// The value that a whole text spells.
  package static func parse(_ text: String, limits: JSONLimits = .trusted) throws(JSONError) -> JSONValue {
    try JSONTextParser.parse(Array(text.utf8)[...], limits: limits)
  }

  /// The value that a whole text in UTF-8 spells.
  package static func parse(_ bytes: [UInt8], limits: JSONLimits = .trusted) throws(JSONError) -> JSONValue {
    try JSONTextParser.parse(bytes[...], limits: limits)
  }
}
