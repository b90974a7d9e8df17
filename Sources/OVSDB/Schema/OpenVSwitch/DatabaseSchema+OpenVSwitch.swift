// The database that configures a switch: the tables and columns that ovs-vswitchd.conf.db(5) documents, schema
// version 8.3.1, declared here once. Names and types are held against the schema file of Debian's openvswitch-common
// by a test. Tables of our own stand beside them in `additionalTables`.

/// The declarations of the tables, in files by group: `OpenVSwitch.Port.tag` is a column.
package enum OpenVSwitch {
  static let stockTables: [TableSchema] = [
    Root.schema, Bridge.schema, Port.schema, Interface.schema, FlowTable.schema, QoS.schema, Queue.schema,
    Mirror.schema, NetFlow.schema, SFlow.schema, IPFIX.schema, FlowSampleCollectorSet.schema, Controller.schema,
    Manager.schema, Datapath.schema, CTZone.schema, CTTimeoutPolicy.schema, SSL.schema, AutoAttach.schema,
  ]
  /// What this switch has and Open vSwitch has not.
  static let additionalTables: [TableSchema] = [
    Router.schema, RouterPort.schema, Route.schema, RouterPolicy.schema, NATNetwork.schema, StaticLease.schema,
    Forward.schema, DHCPLease.schema, SecurityGroup.schema, SecurityGroupRule.schema,
  ]
  /// Columns of this switch's own in tables of Open vSwitch.
  static let additionalColumns: [String: [any ColumnDeclaration]] = [Port.schema.name: Port.additionalColumns]
}

extension DatabaseSchema {
  /// The stock schema, nothing added.
  package static let stockOpenVSwitch = DatabaseSchema(
    "Open_vSwitch", version: "8.3.1", checksum: "3012963480 26720", tables: OpenVSwitch.stockTables)

  /// What the embedded database serves: the stock schema, and our own columns and tables.
  package static let openVSwitch = DatabaseSchema(
    "Open_vSwitch", version: "8.3.1",
    tables: OpenVSwitch.stockTables.map { $0.with(OpenVSwitch.additionalColumns[$0.name] ?? []) }
      + OpenVSwitch.additionalTables)
}
