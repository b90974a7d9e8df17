import Foundation
import Testing

@testable import OVSDB

@Suite struct OpenVSwitchSchemaTests {
  static let path = "/usr/share/openvswitch/vswitch.ovsschema"
  static let isInstalled = FileManager.default.isReadableFile(atPath: path)

  @Test(.enabled(if: isInstalled, "needs Debian's openvswitch-common"))
  func stockSchemaEqualsTheOneOfOpenVSwitch() throws {
    let text = try String(contentsOfFile: Self.path, encoding: .utf8)
    let theirs = try DatabaseSchema(json: JSONValue.parse(text))
    let ours = DatabaseSchema.stockOpenVSwitch
    for (name, table) in theirs.tables {
      let own = try #require(ours.table(name), "table \(name) is missing")
      for column in table.columns { #expect(own.column(column.name) == column, "\(name).\(column.name)") }
      #expect(own == table, "\(name)")
    }
    #expect(ours == theirs)
  }

  @Test func servedSchemaHoldsAllOfTheStockSchema() {
    for (name, table) in DatabaseSchema.stockOpenVSwitch.tables {
      let served = DatabaseSchema.openVSwitch.table(name)
      for column in table.columns { #expect(served?.column(column.name) == column, "\(name).\(column.name)") }
      #expect(served?.indexes == table.indexes)
      #expect(served?.isRoot == table.isRoot)
    }
  }

  @Test(arguments: [DatabaseSchema.openVSwitch, .server])
  func schemaSurvivesItsJSON(_ schema: DatabaseSchema) throws {
    #expect(try DatabaseSchema(json: schema.json) == schema)
    #expect(try DatabaseSchema(json: JSONValue.parse(schema.json.serialized())) == schema)
  }

  @Test(arguments: [
    #"{"name":"x"}"#, #"{"name":"x","tables":{"T":{}}}"#, #"{"name":"x","tables":{"T":{"columns":{"c":{}}}}}"#,
    #"{"name":"x","tables":{"T":{"columns":{"c":{"type":"bogus"}}}}}"#,
    #"{"name":"x","tables":{"T":{"columns":{"c":{"type":{"key":"integer","min":2}}}}}}"#,
    #"{"name":"x","tables":{"T":{"columns":{"c":{"type":{"key":{"type":"uuid","refTable":"U"}}}}}}}"#,
    #"{"name":"x","tables":{"T":{"columns":{"c":{"type":"integer"}},"indexes":[["d"]]}}}"#,
  ])
  func faultySchemaIsRefused(_ text: String) throws {
    let json = try JSONValue.parse(text)
    #expect(throws: OVSDBError.self) { try DatabaseSchema(json: json) }
  }
}
