// The database's declaration as a file, and the page that documents it. Neither asks a server.

import ArgumentParser
import OVSDB

struct SchemaCommand: StandaloneVerb {
  static let configuration = CommandConfiguration(
    commandName: "schema", abstract: "Print the database's schema as ovsdb-tool takes it.",
    discussion: "For example: vsctl schema > vswitch.ovsschema; ovsdb-tool create conf.db vswitch.ovsschema")

  func output() throws(CommandFault) -> CommandOutput {
    let schema = DatabaseSchema.openVSwitch.json
    return CommandOutput(body: .text(schema.prettyPrinted() + "\n"), json: schema)
  }
}

struct DocumentCommand: StandaloneVerb {
  static let configuration = CommandConfiguration(
    commandName: "document", abstract: "Print Docs/configuration.md.", shouldDisplay: false)

  func output() throws(CommandFault) -> CommandOutput {
    CommandOutput(body: .text(ConfigurationPage.text(.openVSwitch)))
  }
}
