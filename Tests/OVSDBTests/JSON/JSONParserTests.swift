import Testing

@testable import OVSDB

@Suite struct JSONParserTests {
  static let values: [(String, JSONValue)] = [
    ("0", 0), ("-0", 0), ("1.0", 1), ("1e3", 1000), ("1.5", 1.5), ("9223372036854775807", .integer(.max)),
    ("-9223372036854775808", .integer(.min)), ("9223372036854775808", .real(9_223_372_036_854_775_808)),
    ("1e-400", 0), ("[]", []), ("{}", [:]), (#""\u00e9\ud83d\ude00\n\/""#, "é😀\n/"),
    (" [ 1 , true , null , { \"a\" : [ ] } ] ", [1, true, nil, ["a": []]]),
  ]

  @Test(arguments: values)
  func textGivesValue(_ text: String, _ value: JSONValue) throws {
    #expect(try JSONValue.parse(text) == value)
  }

  @Test(arguments: [
    "", " ", "nul", "+1", "01", "1.", ".5", "1e", "1e400", "-1e400", "--1", "[1,]", "[,1]", "[1 2]", "{\"a\"}",
    "{\"a\":1,}", "{a:1}", "\"\\x\"", "\"\\u12\"", "\"\\u+123\"", "\"\\ud800\"", "\"\\udc00\"", "\"\\ud800\\u0041\"",
    "\"\\u0000\"", "\"\n\"", "\"abc", "[1]]", "[1] 2", "[", "{\"a\":", "'a'", "NaN", "Infinity", "\u{feff}1",
  ])
  func faultyTextIsRefused(_ text: String) {
    #expect(throws: JSONError.self) { try JSONValue.parse(text) }
  }

  @Test(arguments: [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xc3]] as [[UInt8]])
  func textThatIsNotUTF8IsRefused(_ bytes: [UInt8]) {
    let quote = UInt8(ascii: "\"")
    #expect(throws: JSONError.self) { try JSONValue.parse([quote] + bytes + [quote]) }
  }

  @Test func streamInPiecesOfAnySizeGivesTheSameMessages() throws {
    let text = #" {"id":1,"params":["a]}\"\\"]}[1,{"b":"{"}]"# + "\n\n" + #"{"id":2}"#
    let wanted: [JSONValue] = [["id": 1, "params": ["a]}\"\\"]], [1, ["b": "{"]], ["id": 2]]
    for size in 1...text.utf8.count {
      var parser = JSONParser()
      var messages: [JSONValue] = []
      let bytes = Array(text.utf8)
      for start in stride(from: 0, to: bytes.count, by: size) {
        parser.append(bytes[start..<min(start + size, bytes.count)])
        while let message = try parser.next() { messages.append(message) }
      }
      #expect(messages == wanted, "pieces of \(size)")
      #expect(parser.isBetweenMessages)
    }
  }

  @Test func nestingHasALimit() throws {
    let deep = String(repeating: "[", count: 64) + String(repeating: "]", count: 64)
    #expect(throws: Never.self) { try JSONValue.parse(deep, limits: .control) }
    #expect(throws: JSONError.self) { try JSONValue.parse("[" + deep + "]", limits: .control) }
    var parser = JSONParser(limits: .control)
    parser.append(Array(repeating: UInt8(ascii: "["), count: 1_000_000))
    #expect(throws: JSONError.self) { try parser.next() }
  }

  @Test func endlessMessageIsCutAtTheLimit() throws {
    var parser = JSONParser(limits: JSONLimits(messageByteLimit: 10_000))
    var fed = 0
    #expect(throws: JSONError.self) {
      parser.append(Array("[1".utf8))
      while fed < 1_000_000 {
        parser.append(Array(",1".utf8))
        fed += 2
        _ = try parser.next()
      }
    }
    #expect(fed <= 10_002)
  }

  @Test func manySmallValuesInOneMessageAreRefused() {
    let text = "[" + String(repeating: "[],", count: 100_000) + "0]"
    #expect(throws: JSONError.self) { try JSONValue.parse(text, limits: JSONLimits(messageByteLimit: 1 << 20)) }
  }

  @Test(arguments: ["1", "\"a\"", "true", "}", "]", "x"])
  func streamTakesOnlyObjectsAndArrays(_ text: String) {
    var parser = JSONParser()
    parser.append(text.utf8)
    #expect(throws: JSONError.self) { try parser.next() }
  }

  @Test(arguments: 1...200 as ClosedRange<UInt64>)
  func randomBytesNeverTrap(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    let alphabet = Array("[]{}:,\"\\u0019aeE.+-truefalsn \u{7f}".utf8) + [0xc3, 0xa9, 0xff, 0]
    var parser = JSONParser(limits: .control)
    var bytes: [UInt8] = [UInt8(ascii: "[")]
    for _ in 0..<400 { bytes.append(alphabet.randomElement(using: &generator) ?? 0) }
    parser.append(bytes)
    var count = 0
    while (try? parser.next()) != nil, count < 1000 { count += 1 }
    _ = try? JSONValue.parse(bytes)
    #expect(count <= bytes.count)
  }

  @Test func outputIsSortedAndReadsBack() throws {
    let value: JSONValue = ["b": [1, 1.5, "\u{1}\"\\é\u{7f}"], "a": ["z": nil, "y": false], "ä": -1]
    let text = value.serialized()
    #expect(text.hasPrefix(#"{"a":{"y":false,"z":null},"b":[1,1.5,"\u0001\"\\é\u007f"],"#))
    #expect(try JSONValue.parse(text) == value)
  }
}
