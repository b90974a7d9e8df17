// Which changes of the database concern the datapath. Status and statistics, which the switch itself writes every few
// seconds, do not; neither do names for other programs (external_ids). Pure.

import OVSDB

enum ChangeFilter {
  /// The columns that `DesiredState` and `BridgePlan` read.
  private static let columns: [String: [String]] = [
    "Open_vSwitch": ["bridges", "next_cfg", "other_config", "ssl"],
    "Bridge": [
      "name", "ports", "datapath_type", "flood_vlans", "other_config", "controller", "fail_mode", "protocols",
    ],
    "Controller": [
      "target", "type", "max_backoff", "inactivity_probe", "enable_async_messages", "controller_queue_size",
      "controller_rate_limit", "controller_burst_limit",
    ],
    "SSL": ["private_key", "certificate", "ca_cert", "bootstrap_ca_cert"],
    "Port": ["name", "interfaces", "tag", "trunks", "cvlans", "vlan_mode", "protected", "other_config"],
    "Interface": ["name", "type", "options", "mac", "mtu_request", "ofport_request"],
  ]

  static func concernsDatapath(_ changes: Changes) -> Bool {
    changes.tables.contains { table, rows in
      guard let columns = columns[table] else { return false }
      return rows.values.contains { change in columns.contains { change.touches($0) } }
    }
  }
}
