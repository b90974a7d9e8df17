// The database that configures a switch: the tables and columns that ovs-vswitchd.conf.db(5) documents, schema
// version 8.3.1, declared here once. Names and types are held against the schema file of Debian's openvswitch-common
// by a test. Tables of our own stand beside them in `additionalTables`.

/// The declarations of the tables, in files by group.
enum OpenVSwitchSchema {
  static let stockTables: [TableSchema] = [
    root, bridge, port, interface, flowTable, qos, queue, mirror, netFlow, sFlow, ipfix, flowSampleCollectorSet,
    controller, manager, datapath, conntrackZone, conntrackTimeoutPolicy, tls, autoAttach,
  ]
  /// What this switch has and Open vSwitch has not.
  static let additionalTables: [TableSchema] = []
}

extension DatabaseSchema {
  /// The stock schema, nothing added.
  package static let stockOpenVSwitch = DatabaseSchema(
    "Open_vSwitch", version: "8.3.1", checksum: "3012963480 26720", tables: OpenVSwitchSchema.stockTables)

  /// What the embedded database serves: the stock schema and our own tables.
  package static let openVSwitch =
    OpenVSwitchSchema.additionalTables.isEmpty
    ? stockOpenVSwitch
    : DatabaseSchema(
      "Open_vSwitch", version: "8.3.1", tables: OpenVSwitchSchema.stockTables + OpenVSwitchSchema.additionalTables)
}
