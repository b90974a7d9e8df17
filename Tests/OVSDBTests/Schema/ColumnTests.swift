import Testing

@testable import OVSDB

@Suite struct ColumnTests {
  private typealias Port = OpenVSwitch.Port
  private typealias Interface = OpenVSwitch.Interface

  @Test func columnIsReadAndWrittenByItsType() {
    var row = Row(Port.schema, uuid: RowUUID(high: 1, low: 2))
    #expect(row[Port.tag] == nil && row[Port.trunks] == [] && row[Port.name] == "" && row[Port.otherConfig] == [:])
    row[Port.tag] = 7
    row[Port.trunks] = [30, 10, 20, 10]
    row[Port.name] = "p1"
    row[Port.otherConfig] = ["a": "b"]
    row[Port.protected] = true
    #expect(row["tag"] == .integer(7) && row["trunks"] == .integers([10, 20, 30]) && row["name"] == .string("p1"))
    #expect(row["other_config"] == .map(["a": "b"]) && row["protected"] == .boolean(true))
    #expect(row[Port.tag] == 7 && row[Port.trunks] == [10, 20, 30] && row[Port.otherConfig] == ["a": "b"])
    row[Port.tag] = nil
    #expect(row["tag"] == .empty)
  }

  /// A remote server may have another schema.
  @Test func contentOfAnotherTypeReadsAsUnset() {
    let foreign = TableSchema(
      "Port",
      columns: [
        .init("tag", .string), .init("trunks", .stringMap), .init("name", .integer), .init("other_config", .uuid),
      ])
    var row = Row(foreign, uuid: .zero)
    row["tag"] = .string("x")
    row["trunks"] = .map(["a": "b"])
    row["name"] = .integer(3)
    #expect(row[Port.tag] == nil && row[Port.trunks] == [] && row[Port.name] == "" && row[Port.otherConfig] == [:])
    #expect(row[Port.protected] == false, "the table has no such column")
  }

  @Test func contentsSayWhatDiffersFromARow() {
    var row = Row(Interface.schema, uuid: .zero)
    row[Interface.mtu] = 1500
    var contents = ColumnContents()
    contents[Interface.mtu] = 1500
    contents[Interface.error] = .some("broken")
    contents[Interface.ofport] = .some(nil)
    #expect(contents.columns.count == 3)
    #expect(contents.differing(from: row) == ["error": .string("broken")])
    #expect(contents[Interface.ofport] == .some(nil) && contents[Interface.macInUse] == nil)
  }
}
