// Values in and out. The expected texts are what ovs-vsctl 3.1 prints and refuses.

import OVSDB
import Testing

@testable import vsctl

@Suite struct ValueTextTests {
  private func parse(_ text: String, _ table: String, _ column: String) throws -> (Datum, ColumnType) {
    let schema = try DatabaseSchema.openVSwitch.table(matching: table).column(matching: column)
    var symbols = SymbolTable()
    return (try DatumParser.datum(text, schema.type, symbols: &symbols), schema.type)
  }

  @Test(arguments: [
    ("port", "trunks", "10,20", "[10, 20]"), ("port", "trunks", "[20 10]", "[10, 20]"),
    ("port", "trunks", "1-5", "[1, 2, 3, 4, 5]"), ("port", "trunks", "[]", "[]"), ("port", "tag", "5", "5"),
    ("port", "tag", "[]", "[]"), ("port", "tag", "[7]", "7"), ("port", "protected", "yes", "true"),
    ("interface", "options", "{}", "{}"), ("interface", "options", "b=c,a=\"x y\"", "{a=\"x y\", b=c}"),
    ("interface", "type", "\"\"", "\"\""), ("bridge", "fail_mode", "secure", "secure"),
    (
      "interface", "external_ids", "n=5,t=true,u=_x,e=eth0.10,p=a+b",
      "{e=eth0.10, n=\"5\", p=\"a+b\", t=\"true\", u=_x}"
    ),
    ("interface", "external_ids", "\"q\\\"\\\\\"=\"é\"", "{\"q\\\"\\\\\"=\"é\"}"),
    ("port", "mac", "\"00:11:22:33:44:55\"", "\"00:11:22:33:44:55\""),
  ])
  func valuesReadAndPrintAsOpenVSwitchDoes(table: String, column: String, text: String, printed: String) throws {
    let (datum, type) = try parse(text, table, column)
    #expect(DatumFormat.string(datum, type) == printed)
    let again = try parse(printed, table, column)
    #expect(again.0 == datum)
  }

  @Test(arguments: [
    ("port", "tag", "4096", "4096 is not in the valid range: give a number from 0 to 4095"),
    ("port", "tag", "abc", "\"abc\" is not a valid integer or range: give a number from 0 to 4095"),
    ("port", "tag", "1,2", "1,2: 2 value(s) specified but the maximum number is 1"),
    ("port", "trunks", "[1", "[1: missing \"]\" at end of data"),
    ("port", "trunks", "[1] x", "[1] x: trailing garbage after \"]\""),
    ("port", "trunks", "1,1", "1,1: set contains duplicate value"),
    ("port", "trunks", "5-1", "\"5-1\" is not a valid range: give the smaller number first: 1-5"),
    ("port", "trunks", "0-9223372036854775807", "9223372036854775807 is not in the valid range"),
    ("port", "vlan_mode", "acess", "did you mean access?"),
    ("port", "protected", "maybe", "\"maybe\" is not a valid boolean: give true or false"),
    ("interface", "options", "a", "a: syntax error at the end expecting \"=\""),
    ("interface", "options", "{", "{: missing \"}\" at end of data"),
    ("interface", "external_ids", "\"bad", "\"bad: missing quote at end of quoted string"),
    ("port", "mac", "00:11:22:33:44:55", "unexpected \":\" parsing set of up to 1 strings"),
    ("port", "qos", "abc", "\"abc\" is not a valid UUID"),
    ("port", "tag", " ", "an empty value is no set of up to 1 integers"),
  ])
  func badValuesAreRefusedWithCauseAndRemedy(table: String, column: String, text: String, complaint: String) {
    #expect {
      _ = try parse(text, table, column)
    } throws: { error in
      (error as? CommandFault).map { $0.description.contains(complaint) && $0.remedy != nil } ?? false
    }
  }

  @Test func arbitraryBytesNeitherTrapNorHang() throws {
    let pieces = [
      "\"", "\\", "[", "]", "{", "}", "=", ",", ":", " ", "a", "5", "-", "@", "é", "\u{1}", "9223372036854775808",
    ]
    var generator = SplitMix(state: 7)
    for _ in 0..<3000 {
      let text = (0..<Int.random(in: 0...8, using: &generator)).map { _ in pieces.randomElement(using: &generator) ?? ""
      }
      .joined()
      for (table, column) in [("port", "trunks"), ("interface", "options"), ("port", "tag"), ("port", "qos")] {
        if let (datum, type) = try? parse(text, table, column), column != "qos" {
          #expect(try parse(DatumFormat.string(datum, type), table, column).0 == datum, "\(text)")
        }
      }
    }
  }

  @Test func jsonForProgramsIsPlain() throws {
    let (trunks, trunksType) = try parse("10,20", "port", "trunks")
    let (tag, tagType) = try parse("[]", "port", "tag")
    let (options, optionsType) = try parse("a=b", "interface", "options")
    #expect(DatumFormat.json(trunks, trunksType).serialized() == "[10,20]")
    #expect(DatumFormat.json(tag, tagType).serialized() == "null")
    #expect(DatumFormat.json(options, optionsType).serialized() == "{\"a\":\"b\"}")
  }

  @Test(arguments: [("po", "Port"), ("PORT", "Port"), ("open-v", "Open_vSwitch"), ("n", "NetFlow")])
  func tablesMayBeAbbreviated(word: String, table: String) throws {
    #expect(try DatabaseSchema.openVSwitch.table(matching: word).name == table)
  }

  @Test(arguments: [
    ("q", "matches multiple table names: QoS, Queue"), ("prt", "did you mean Port?"), ("zzzzzz", "tables are"),
  ])
  func unknownTablesAreRefusedWithTheNearest(word: String, complaint: String) {
    #expect {
      _ = try DatabaseSchema.openVSwitch.table(matching: word)
    } throws: {
      "\($0)".contains(complaint)
    }
  }

  @Test func controlCharactersNeverReachTheTerminal() {
    #expect(TextSafety.oneLine("a\u{1b}[2J\nb\u{202e}") == "a\\u{1b}[2J b\\u{202e}")
    #expect(CommandFault("no bridge named x\ny", remedy: "z").description == "no bridge named x y: z")
  }
}

/// A repeatable generator (SplitMix64).
struct SplitMix: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
