// What each table and column of the Open_vSwitch schema is for and what this switch does with it: the one source of
// `vsctl help TABLE [COLUMN]` and of Docs/configuration.md. Names and types come from the schema's declaration; a test
// holds the two lists of columns against each other. Constant values.

/// What this switch does with a column.
package enum ColumnEffect: String, Sendable {
  /// The switch brings itself to what it says.
  case configuration
  /// The switch, or its database, writes it.
  case status
  /// Kept for other programs; the switch does not look at it.
  case kept
  /// Means something to Open vSwitch, nothing here yet.
  case ignored

  /// For a table's cell.
  package var title: String {
    switch self {
    case .configuration: "yes"
    case .status: "status"
    case .kept: "kept"
    case .ignored: "no"
    }
  }
}

/// A key of a map column that means something.
package struct KeyDocumentation: Sendable {
  package var name: String
  package var text: String
}

/// One column.
package struct ColumnDocumentation: Sendable {
  package var name: String
  package var effect: ColumnEffect
  /// Sentences; what differs from Open vSwitch begins with "Differs: ".
  package var text: String
  package var keys: [KeyDocumentation] = []

  init(_ name: String, _ effect: ColumnEffect, _ text: String, keys: [(String, String)] = []) {
    self.name = name
    self.effect = effect
    self.text = text
    self.keys = keys.map { KeyDocumentation(name: $0.0, text: $0.1) }
  }
}

/// One table.
package struct TableDocumentation: Sendable {
  package var name: String
  package var text: String
  package var columns: [ColumnDocumentation]

  init(_ name: String, _ text: String, _ columns: [ColumnDocumentation]) {
    self.name = name
    self.text = text
    self.columns = columns
  }

  package func column(_ name: String) -> ColumnDocumentation? { columns.first { $0.name == name } }
}

/// The whole database.
package enum SchemaDocumentation {
  /// From the root outwards.
  package static let tables: [TableDocumentation] = [
    root, bridge, port, interface, controller, manager, tls, mirror, qos, queue, flowTable, netFlow, sFlow, ipfix,
    flowSampleCollectorSet, datapath, conntrackZone, conntrackTimeoutPolicy, autoAttach, router,
    routerPort, route, routerPolicy, natNetwork, staticLease, forward, dhcpLease,
    securityGroup, securityGroupRule,
  ]

  package static func table(_ name: String) -> TableDocumentation? { tables.first { $0.name == name } }

  /// A column that every table has and no part of the switch reads.
  static let externalIDs = ColumnDocumentation(
    "external_ids", .kept, "Names that other programs give the row, such as the virtual machine's.")
}
