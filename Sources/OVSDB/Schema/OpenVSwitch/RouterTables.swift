// Tables of this switch's own, see DatabaseSchema+OpenVSwitch.swift. Virtual routers: their ports, routes and policies.

extension OpenVSwitch {
  /// Table Router. Rows live without being named.
  package enum Router: TableDeclaration {
    package static let name = Column<String>("name", .one(.string), mutable: false)
    package static let ports = Column<[RowUUID]>("ports", .set(.reference("Router_Port")))
    package static let routes = Column<[RowUUID]>("routes", .set(.reference("Route")))
    package static let policies = Column<[RowUUID]>("policies", .set(.reference("Router_Policy")))
    package static let defaultPolicy = Column<String?>(
      "default_policy", .optional(.choice("accept", "drop", "reject")))
    package static let forwards = Column<[RowUUID]>("forwards", .set(.reference("Forward")))
    package static let helpers = Column<[String]>("helpers", .set(.choice("ftp", "tftp")))
    package static let zone = Column<Int64?>("zone", .optional(.integer(1...65535)))
    package static let hairpinZone = Column<Int64?>("hairpin_zone", .optional(.integer(1...65535)))
    package static let error = Column<String?>("error", .optional(.string))
    package static let otherConfig = Column<[String: String]>("other_config", .stringMap)
    package static let externalIDs = Column<[String: String]>("external_ids", .stringMap)

    package static let schema = TableSchema(
      "Router", isRoot: true, indexes: [["name"]],
      columns: [
        name, ports, routes, policies, defaultPolicy, forwards, helpers, zone, hairpinZone, error, otherConfig,
        externalIDs,
      ])
  }

  /// Table Router_Port.
  package enum RouterPort: TableDeclaration {
    package static let name = Column<String>("name", .one(.string), mutable: false)
    package static let bridge = Column<String>("bridge", .one(.string))
    package static let tag = Column<Int64?>("tag", .optional(.integer(0...4095)))
    package static let addresses = Column<[String]>("addresses", .set(.string))
    package static let mac = Column<String?>("mac", .optional(.string))
    package static let macInUse = Column<String?>("mac_in_use", .optional(.string))
    package static let mtu = Column<Int64?>("mtu", .optional(.integer(576...9216)))
    package static let masquerade = Column<Bool>("masquerade", .one(.boolean))
    package static let routerAdvertisements = Column<Bool?>("router_advertisements", .optional(.boolean))
    package static let error = Column<String?>("error", .optional(.string))
    package static let otherConfig = Column<[String: String]>("other_config", .stringMap)
    package static let externalIDs = Column<[String: String]>("external_ids", .stringMap)

    package static let schema = TableSchema(
      "Router_Port", indexes: [["name"]],
      columns: [
        name, bridge, tag, addresses, mac, macInUse, mtu, masquerade, routerAdvertisements, error, otherConfig,
        externalIDs,
      ])
  }

  /// Table Route.
  package enum Route: TableDeclaration {
    package static let prefix = Column<String>("prefix", .one(.string))
    package static let type = Column<String?>(
      "type", .optional(.choice("unicast", "blackhole", "unreachable", "prohibit")))
    package static let nextHop = Column<String?>("next_hop", .optional(.string))
    package static let port = Column<String?>("port", .optional(.string))
    package static let metric = Column<Int64>("metric", .one(.integer(0...4_294_967_295)))
    package static let error = Column<String?>("error", .optional(.string))
    package static let externalIDs = Column<[String: String]>("external_ids", .stringMap)

    package static let schema = TableSchema(
      "Route", columns: [prefix, type, nextHop, port, metric, error, externalIDs])
  }

  /// Table Router_Policy.
  package enum RouterPolicy: TableDeclaration {
    package static let priority = Column<Int64>("priority", .one(.integer(0...10_000)))
    package static let action = Column<String>("action", .one(.choice("accept", "drop", "reject")))
    package static let inPort = Column<String?>("in_port", .optional(.string))
    package static let outPort = Column<String?>("out_port", .optional(.string))
    package static let source = Column<String?>("source", .optional(.string))
    package static let destination = Column<String?>("destination", .optional(.string))
    package static let ipProtocol = Column<String?>("protocol", .optional(.string))
    package static let sourcePorts = Column<[String]>("source_ports", .set(.string))
    package static let destinationPorts = Column<[String]>("destination_ports", .set(.string))
    package static let error = Column<String?>("error", .optional(.string))
    package static let externalIDs = Column<[String: String]>("external_ids", .stringMap)

    package static let schema = TableSchema(
      "Router_Policy",
      columns: [
        priority, action, inPort, outPort, source, destination, ipProtocol, sourcePorts, destinationPorts, error,
        externalIDs,
      ])
  }
}
