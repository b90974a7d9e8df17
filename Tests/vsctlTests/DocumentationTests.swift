// The documentation of the schema, and the page that is made of it.

import Foundation
import OVSDB
import TestSupport
import Testing

@testable import vsctl

@Suite(.blocking) struct DocumentationTests {
  @Test func everyTableAndColumnIsDocumentedAndNothingElse() throws {
    let schema = DatabaseSchema.openVSwitch
    #expect(Set(SchemaDocumentation.tables.map(\.name)) == Set(schema.tables.keys))
    for table in SchemaDocumentation.tables {
      let declared = try #require(schema.table(table.name)).columns.map(\.name)
      #expect(table.columns.map(\.name).sorted() == declared.sorted(), "\(table.name)")
    }
  }

  @Test func theCommittedPageIsWhatIsGenerated() throws {
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let page = try String(contentsOf: root.appending(path: "Docs/configuration.md"), encoding: .utf8)
    #expect(page == ConfigurationPage.text(.openVSwitch), "run: make configuration-page")
  }

  @Test func helpTellsOfTablesAndColumnsButLeavesVerbsToTheirOwn() throws {
    #expect(HelpTopic.words(["help", "set"]) == nil)
    #expect(HelpTopic.words(["help"]) == nil)
    let words = try #require(HelpTopic.words(["help", "port", "vlan-mode"]))
    #expect(try HelpTopic.text(words).hasPrefix("Port vlan_mode: optional access or dot1q-tunnel"))
    #expect(try HelpTopic.text(["Interface"]).contains("ofport"))
    #expect(throws: CommandFault.self) { try HelpTopic.text(["nosuch"]) }
    #expect(throws: CommandFault.self) { try HelpTopic.text(["port", "nosuch"]) }
  }
}
