// What the switch writes back: columns of a row from the state of a port or bridge, and the operations that bring the
// database's rows to them. Pure. Only columns that differ are written, so that nothing is said where nothing changed.

import Datapath
import OVSDB
import VSwitchCore

enum StatusColumns {
  /// Interface columns that a port's state decides.
  static func interface(_ state: PortState) -> [String: Datum] {
    if let error = state.error { return failedInterface(error, linkResets: state.linkResets) }
    func optional<T>(_ value: T?, _ datum: (T) -> Datum) -> Datum { value.map(datum) ?? .empty }
    return [
      "ofport": optional(state.portNumber) { .integer(Int64($0)) },
      "error": .empty,
      "mac_in_use": optional(state.hardwareAddress) { .string($0.description) },
      "mtu": optional(state.mtu) { .integer(Int64($0)) },
      "ifindex": optional(state.interfaceIndex) { .integer(Int64($0)) },
      "admin_state": optional(state.isAdminUp) { .string($0 ? "up" : "down") },
      "link_state": optional(state.isLinkUp) { .string($0 ? "up" : "down") },
      "link_speed": optional(state.linkSpeed) { .integer(Int64($0)) },
      "duplex": optional(state.isFullDuplex) { .string($0 ? "full" : "half") },
      "link_resets": .integer(Int64(state.linkResets)),
      "status": .map(state.status),
    ]
  }

  /// Interface columns of an interface that does not work.
  static func failedInterface(_ error: ConfigError, linkResets: Int = 0) -> [String: Datum] {
    var columns: [String: Datum] = ["ofport": .integer(-1), "error": .string(error.description)]
    for name in ["mac_in_use", "mtu", "ifindex", "admin_state", "link_state", "link_speed", "duplex"] {
      columns[name] = .empty
    }
    columns["link_resets"] = .integer(Int64(linkResets))
    columns["status"] = .emptyMap
    columns["statistics"] = .emptyMap
    return columns
  }

  /// Interface.statistics, the keys that Open vSwitch has.
  static func statistics(_ counters: PortCounters) -> Datum {
    func sum(_ drops: [DropReason: UInt64]) -> UInt64 { drops.values.reduce(0, &+) }
    let values: [String: UInt64] = [
      "rx_packets": counters.receivedPackets, "rx_bytes": counters.receivedBytes,
      "rx_multicast_packets": counters.receivedMulticastPackets, "rx_errors": counters.receiveErrors,
      "rx_dropped": sum(counters.receiveDrops), "tx_packets": counters.transmittedPackets,
      "tx_bytes": counters.transmittedBytes, "tx_errors": counters.transmitErrors,
      "tx_dropped": sum(counters.transmitDrops),
      // What a device driver would count; these ports have no such errors.
      "collisions": 0, "rx_crc_err": 0, "rx_frame_err": 0, "rx_over_err": 0, "rx_missed_errors": 0,
    ]
    return .map(values.mapValues { Int64(clamping: $0) })
  }

  /// Bridge columns.
  /// - Parameter local: the state of the bridge's own port.
  static func bridge(_ row: Row, local: PortState?) -> [String: Datum] {
    var columns: [String: Datum] = ["datapath_version": .string("<built-in>")]
    if let text = row[OpenVSwitch.Bridge.otherConfig]["datapath-id"], let identifier = datapathID(text) {
      columns["datapath_id"] = .string(identifier)
    } else if let address = local?.hardwareAddress {
      columns["datapath_id"] = .string("0000" + address.octets.map { hexadecimal($0) }.joined())
    }
    return columns
  }

  /// 16 hexadecimal digits, not all 0; also `0x` and up to 16.
  private static func datapathID(_ text: String) -> String? {
    let digits = text.hasPrefix("0x") ? String(text.dropFirst(2)) : text
    guard digits.utf8.count == 16 || (text.hasPrefix("0x") && digits.utf8.count < 16),
      digits.utf8.first != UInt8(ascii: "+"), digits.utf8.first != UInt8(ascii: "-"),
      let value = UInt64(digits, radix: 16), value != 0
    else { return nil }
    let plain = String(value, radix: 16)
    return String(repeating: "0", count: 16 - plain.utf8.count) + plain
  }

  private static func hexadecimal(_ octet: UInt8) -> String {
    (octet < 16 ? "0" : "") + String(octet, radix: 16)
  }

  /// Open_vSwitch columns.
  /// - Parameter schemaVersion: of the database that holds the row.
  static func root(_ row: Row, schemaVersion: String, system: SystemInformation) -> [String: Datum] {
    var columns: [String: Datum] = [
      "cur_cfg": row["next_cfg"],
      "datapath_types": .strings(["netdev", "system"]),
      "iface_types": .strings(InterfaceConfig.Kind.names),
      "dpdk_initialized": .boolean(false),
      "dpdk_version": .string("none"),
      "ovs_version": .string(Version.openVSwitch),
      "db_version": .string(schemaVersion),
      "system_type": .string(system.type),
      "system_version": .string(system.version),
    ]
    if !wantsStatistics(row) { columns["statistics"] = .emptyMap }
    return columns
  }

  /// Whether Open_vSwitch.statistics were asked for.
  static func wantsStatistics(_ root: Row) -> Bool {
    Settings(root[OpenVSwitch.Root.otherConfig]).boolean("enable-statistics")
  }

  /// The operation that brings a row to these columns; nil if it has them.
  static func update(_ row: Row, to columns: [String: Datum]) -> JSONValue? {
    let changed = columns.filter { row[$0.key] != $0.value }
    guard !changed.isEmpty else { return nil }
    return .object([
      "op": "update", "table": .string(row.table.name),
      "where": .array([.array(["_uuid", "==", Atom.uuid(row.uuid).json])]),
      "row": .object(changed.mapValues(\.json)),
    ])
  }
}
