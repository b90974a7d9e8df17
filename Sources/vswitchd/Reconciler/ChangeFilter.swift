// Which changes of the database concern the datapath. Status and statistics, which the switch itself writes every few
// seconds, do not; neither do names for other programs (external_ids). Pure.

import OVSDB

enum ChangeFilter {
  /// The columns that `DesiredState` and `BridgePlan` read and that are not of one port alone.
  private static let switchColumns: [String: [String]] = [
    "Open_vSwitch": ["bridges", "other_config", "ssl"],
    "Bridge": [
      "name", "datapath_type", "flood_vlans", "other_config", "controller", "fail_mode", "protocols", "flow_tables",
    ],
    "Flow_Table": ["flow_limit", "overflow_policy"],
    "Controller": [
      "target", "type", "max_backoff", "inactivity_probe", "enable_async_messages", "controller_queue_size",
      "controller_rate_limit", "controller_burst_limit",
    ],
    "SSL": ["private_key", "certificate", "ca_cert", "bootstrap_ca_cert"],
    "QoS": ["queues"], "Queue": ["other_config"],
  ]
  /// Those of ports, and what a client raises to be told when all is done.
  private static let otherColumns: [String: [String]] = [
    "Open_vSwitch": ["next_cfg"], "Bridge": ["ports"],
    "Port": [
      "name", "interfaces", "tag", "trunks", "cvlans", "vlan_mode", "protected", "other_config", "secgroup",
      "port_security",
    ],
    "Interface": ["name", "type", "options", "mac", "mtu_request", "ofport_request"],
  ]
  /// Those that `ConntrackSettings` reads.
  private static let trackingColumns: [String: [String]] = [
    "Open_vSwitch": ["datapaths"], "Datapath": ["ct_zones"], "CT_Zone": ["timeout_policy"],
    "CT_Timeout_Policy": ["timeouts"],
  ]
  /// What the switch writes of an interface, but for its counters.
  private static let statusColumns = [
    "ofport", "error", "mac_in_use", "mtu", "ifindex", "admin_state", "link_state", "link_speed", "duplex",
    "link_resets", "status",
  ]

  /// Those that `NetworkState` reads of its own tables.
  private static let networkColumns: [String: [String]] = [
    "Router": ["name", "ports", "routes", "policies", "default_policy", "forwards", "helpers", "zone", "hairpin_zone"],
    "Router_Port": [
      "name", "bridge", "tag", "addresses", "mac", "mtu", "masquerade", "router_advertisements", "other_config",
    ],
    "Route": ["prefix", "type", "next_hop", "port", "metric"],
    "NAT_Network": [
      "name", "kind", "bridge", "tag", "subnets", "uplink", "addresses", "gateways", "dhcp", "dns", "pool",
      "lease_time", "domain", "search", "servers", "mtu", "next_server", "boot_file", "static_leases", "forwards",
      "helpers", "zone", "hairpin_zone", "uplink_lease",
    ],
    "Security_Group": ["name", "rules"],
    "Security_Group_Rule": ["direction", "family", "protocol", "ports", "remote", "remote_group"],
    "Static_Lease": ["mac", "address", "name"],
    "Forward": ["protocol", "port", "address", "target", "target_port"],
    // Whom a forward by name leads to. Not when leases end: that is written at each renewal.
    "DHCP_Lease": ["network", "address", "mac", "name"],
    "Router_Policy": [
      "priority", "action", "in_port", "out_port", "source", "destination", "protocol", "source_ports",
      "destination_ports",
    ],
  ]
  /// Names that its ports may not have, or have to.
  private static let nameColumns: [String: [String]] = [
    "Open_vSwitch": ["bridges"], "Bridge": ["name"], "Port": ["name"], "Interface": ["name"], "Datapath": ["ct_zones"],
  ]

  static func concernsDatapath(_ changes: Changes) -> Bool {
    concernsMoreThanPorts(changes) || touches(changes, otherColumns) || touches(changes, trackingColumns)
      || touches(changes, networkColumns)
  }

  /// Whether `NetworkState` may be otherwise.
  /// - Parameter mayNameBridges: whether there are routers, whose ports name bridges.
  static func concernsNetwork(_ changes: Changes, mayNameBridges: Bool) -> Bool {
    touches(changes, networkColumns) || mayNameBridges && touches(changes, nameColumns)
  }

  /// Whether more has changed than which ports there are and what they are.
  static func concernsMoreThanPorts(_ changes: Changes) -> Bool {
    touches(changes, switchColumns) || changesQueues(changes)
  }

  /// Whether a port has other queues than before: most ports have none when they come and go.
  private static func changesQueues(_ changes: Changes) -> Bool {
    changes.tables["Port"]?.values.contains { change in
      change.old.flatMap { $0[OpenVSwitch.Port.qos] } != change.new.flatMap { $0[OpenVSwitch.Port.qos] }
    } ?? false
  }

  /// Whether a row of Port or Interface is otherwise in a column that is read.
  static func concernsPort(_ change: RowChange) -> Bool {
    otherColumns[change.table.name]?.contains { change.touches($0) } ?? false
  }

  /// Whether a row of Interface has been written where the switch writes.
  static func touchesStatus(_ change: RowChange) -> Bool { statusColumns.contains { change.touches($0) } }

  private static func touches(_ changes: Changes, _ columns: [String: [String]]) -> Bool {
    changes.tables.contains { table, rows in
      guard let columns = columns[table] else { return false }
      return rows.values.contains { change in columns.contains { change.touches($0) } }
    }
  }
}
