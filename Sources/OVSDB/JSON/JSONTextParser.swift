// One whole JSON text to one value (RFC 8259), with a stack of its own instead of recursion. See JSONParser.swift for
// the limits and invariants. Reads only through bounds-checked slices.

struct JSONTextParser {
  /// An array or object whose end has not come. Elements are added in place: taking it off the stack and putting it
  /// back would copy what it holds.
  private struct Container {
    var isObject: Bool
    var elements: [JSONValue] = []
    var members: [String: JSONValue] = [:]
    var key = ""
  }

  private let bytes: ArraySlice<UInt8>
  private let limits: JSONLimits
  private var position: Int
  private var stack: [Container] = []
  private var valueCount = 0

  static func parse(_ bytes: ArraySlice<UInt8>, limits: JSONLimits) throws(JSONError) -> JSONValue {
    var parser = JSONTextParser(bytes: bytes, limits: limits)
    return try parser.run()
  }

  private init(bytes: ArraySlice<UInt8>, limits: JSONLimits) {
    self.bytes = bytes
    self.limits = limits
    position = bytes.startIndex
  }

  private mutating func run() throws(JSONError) -> JSONValue {
    guard bytes.count <= limits.messageByteLimit else { throw error("longer than the limit") }
    while true {
      // A value starts here.
      var value: JSONValue?
      skipSpace()
      guard let byte = peek() else { throw error("unexpected end") }
      switch byte {
      case UInt8(ascii: "["):
        try checkDepth()
        position += 1
        skipSpace()
        if peek() == UInt8(ascii: "]") {
          position += 1
          value = .array([])
        } else {
          try push(Container(isObject: false))
        }
      case UInt8(ascii: "{"):
        try checkDepth()
        position += 1
        skipSpace()
        if peek() == UInt8(ascii: "}") {
          position += 1
          value = .object([:])
        } else {
          try push(Container(isObject: true, key: key()))
        }
      case UInt8(ascii: "\""): value = .string(try string())
      case UInt8(ascii: "t"): value = try literal("true", .boolean(true))
      case UInt8(ascii: "f"): value = try literal("false", .boolean(false))
      case UInt8(ascii: "n"): value = try literal("null", .null)
      default: value = try JSONNumber.parse(bytes, at: &position)
      }
      guard var finished = value else { continue }
      try count()
      // The value is whole: put it into its container, and close every container that ends here.
      while true {
        let top = stack.count - 1
        guard top >= 0 else {
          skipSpace()
          if position != bytes.endIndex { throw error("trailing garbage") }
          return finished
        }
        skipSpace()
        guard let separator = peek() else { throw error("unexpected end") }
        position += 1
        if stack[top].isObject {
          stack[top].members[stack[top].key] = finished
          if separator == UInt8(ascii: "}") {
            finished = .object(stack.removeLast().members)
            continue
          }
          guard separator == UInt8(ascii: ",") else { throw error("expected ',' or '}' in object") }
          stack[top].key = try key()
        } else {
          stack[top].elements.append(finished)
          if separator == UInt8(ascii: "]") {
            finished = .array(stack.removeLast().elements)
            continue
          }
          guard separator == UInt8(ascii: ",") else { throw error("expected ',' or ']' in array") }
        }
        break
      }
    }
  }

  private mutating func push(_ container: Container) throws(JSONError) {
    try count()
    stack.append(container)
  }

  private func checkDepth() throws(JSONError) {
    if stack.count >= limits.depthLimit { throw .tooDeep(limits, at: position - bytes.startIndex) }
  }

  private mutating func count() throws(JSONError) {
    valueCount += 1
    if valueCount > limits.valueLimit { throw error("more than \(limits.valueLimit) values in one message") }
  }

  private func peek() -> UInt8? { position < bytes.endIndex ? bytes[position] : nil }

  private mutating func skipSpace() {
    while let byte = peek(), byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { position += 1 }
  }

  /// A member name and its colon.
  private mutating func key() throws(JSONError) -> String {
    skipSpace()
    guard peek() == UInt8(ascii: "\"") else { throw error("expected a member name in object") }
    try count()
    let name = try string()
    skipSpace()
    guard peek() == UInt8(ascii: ":") else { throw error("expected ':' after a member name") }
    position += 1
    return name
  }

  private mutating func literal(_ text: StaticString, _ value: JSONValue) throws(JSONError) -> JSONValue {
    let name = text.description
    guard bytes[position...].starts(with: name.utf8) else { throw error("unknown word") }
    position += name.utf8.count
    return value
  }

  private mutating func string() throws(JSONError) -> String {
    position += 1
    let start = position
    while let byte = peek(), byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20 { position += 1 }
    if peek() == UInt8(ascii: "\"") {
      defer { position += 1 }
      return try text(bytes[start..<position])
    }
    var decoded = Array(bytes[start..<position])
    while true {
      guard let byte = peek() else { throw error("unexpected end in a string") }
      position += 1
      switch byte {
      case UInt8(ascii: "\""): return try text(decoded[...])
      case 0..<0x20: throw error("control character in a string")
      case UInt8(ascii: "\\"): try escape(into: &decoded)
      default: decoded.append(byte)
      }
    }
  }

  private func text(_ slice: ArraySlice<UInt8>) throws(JSONError) -> String {
    guard let text = String(validating: slice, as: UTF8.self) else { throw error("string is not UTF-8") }
    return text
  }

  private mutating func escape(into decoded: inout [UInt8]) throws(JSONError) {
    guard let byte = peek() else { throw error("unexpected end in a string") }
    position += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): decoded.append(byte)
    case UInt8(ascii: "b"): decoded.append(0x08)
    case UInt8(ascii: "f"): decoded.append(0x0c)
    case UInt8(ascii: "n"): decoded.append(0x0a)
    case UInt8(ascii: "r"): decoded.append(0x0d)
    case UInt8(ascii: "t"): decoded.append(0x09)
    case UInt8(ascii: "u"):
      var code = try hexadecimal()
      if (0xD800..<0xDC00).contains(code) {
        guard bytes[position...].starts(with: "\\u".utf8) else { throw error("lone surrogate in a string") }
        position += 2
        let low = try hexadecimal()
        guard (0xDC00..<0xE000).contains(low) else { throw error("lone surrogate in a string") }
        code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
      }
      // NUL is refused as ovsdb-server does: C programs could not hold it.
      guard code != 0, let scalar = Unicode.Scalar(code) else { throw error("bad \\u escape in a string") }
      decoded.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
    default: throw error("bad escape in a string")
    }
  }

  private mutating func hexadecimal() throws(JSONError) -> UInt32 {
    guard bytes.endIndex - position >= 4, bytes[position] != UInt8(ascii: "+"),
      let text = String(validating: bytes[position..<position + 4], as: UTF8.self),
      let value = UInt32(text, radix: 16)
    else { throw error("bad \\u escape in a string") }
    position += 4
    return value
  }

  private func error(_ text: String) -> JSONError {
    JSONError(description: text, byteOffset: position - bytes.startIndex)
  }
}

/// Numbers: the grammar of RFC 8259 §6, and OVSDB's reading of it: integral and in range is an integer.
enum JSONNumber {
  static func parse(_ bytes: ArraySlice<UInt8>, at position: inout Int) throws(JSONError) -> JSONValue {
    let start = position
    func peek() -> UInt8? { position < bytes.endIndex ? bytes[position] : nil }
    func digits() -> Int {
      let first = position
      while let byte = peek(), byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") { position += 1 }
      return position - first
    }
    func error(_ text: String) -> JSONError {
      JSONError(description: text, byteOffset: start - bytes.startIndex)
    }
    if peek() == UInt8(ascii: "-") { position += 1 }
    let leadingZero = peek() == UInt8(ascii: "0")
    let integerDigits = digits()
    guard integerDigits > 0 else { throw error("unexpected character") }
    if leadingZero && integerDigits > 1 { throw error("leading zeros not allowed") }
    var isPlain = true
    if peek() == UInt8(ascii: ".") {
      isPlain = false
      position += 1
      guard digits() > 0 else { throw error("decimal point must be followed by digit") }
    }
    if peek() == UInt8(ascii: "e") || peek() == UInt8(ascii: "E") {
      isPlain = false
      position += 1
      if peek() == UInt8(ascii: "+") || peek() == UInt8(ascii: "-") { position += 1 }
      guard digits() > 0 else { throw error("exponent must contain at least one digit") }
    }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    if isPlain, let integer = Int64(text) { return .integer(integer) }
    guard let real = Double(text), real.isFinite else { throw error("number outside valid range") }
    if let integer = Int64(exactly: real), real.magnitude < 0x1p53 { return .integer(integer) }
    return .real(real)
  }
}
