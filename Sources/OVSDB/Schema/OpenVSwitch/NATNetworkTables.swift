// Tables of this switch's own, see DatabaseSchema+OpenVSwitch.swift. NAT networks: their forwarded ports and leases.

extension OpenVSwitch {
  /// Table NAT_Network. Rows live without being named.
  package enum NATNetwork: TableDeclaration {
    package static let name = Column<String>("name", .one(.string), mutable: false)
    package static let kind = Column<String?>("kind", .optional(.choice("nat", "host-only", "internal")))
    package static let bridge = Column<String>("bridge", .one(.string))
    package static let tag = Column<Int64?>("tag", .optional(.integer(0...4095)))
    package static let subnets = Column<[String]>("subnets", .set(.string))
    package static let uplink = Column<String?>("uplink", .optional(.string))
    package static let addresses = Column<[String]>("addresses", .set(.string))
    package static let gateways = Column<[String]>("gateways", .set(.string))
    package static let dhcp = Column<Bool?>("dhcp", .optional(.boolean))
    package static let dns = Column<Bool?>("dns", .optional(.boolean))
    package static let pool = Column<String?>("pool", .optional(.string))
    package static let leaseTime = Column<Int64?>("lease_time", .optional(.integer(60...31_536_000)))
    package static let domain = Column<String?>("domain", .optional(.string))
    package static let search = Column<[String]>("search", .set(.string))
    package static let servers = Column<[String]>("servers", .set(.string))
    package static let mtu = Column<Int64?>("mtu", .optional(.integer(576...9216)))
    package static let nextServer = Column<String?>("next_server", .optional(.string))
    package static let bootFile = Column<String?>("boot_file", .optional(.string))
    package static let staticLeases = Column<[RowUUID]>("static_leases", .set(.reference("Static_Lease")))
    package static let forwards = Column<[RowUUID]>("forwards", .set(.reference("Forward")))
    package static let helpers = Column<[String]>("helpers", .set(.choice("ftp", "tftp")))
    package static let zone = Column<Int64?>("zone", .optional(.integer(1...65535)))
    package static let hairpinZone = Column<Int64?>("hairpin_zone", .optional(.integer(1...65535)))
    package static let uplinkLease = Column<[String: String]>("uplink_lease", .stringMap)
    package static let status = Column<[String: String]>("status", .stringMap)
    package static let error = Column<String?>("error", .optional(.string))
    package static let otherConfig = Column<[String: String]>("other_config", .stringMap)
    package static let externalIDs = Column<[String: String]>("external_ids", .stringMap)

    package static let schema = TableSchema(
      "NAT_Network", isRoot: true, indexes: [["name"]],
      columns: [
        name, kind, bridge, tag, subnets, uplink, addresses, gateways, dhcp, dns, pool, leaseTime, domain, search,
        servers, mtu, nextServer, bootFile, staticLeases, forwards, helpers, zone, hairpinZone, uplinkLease, status,
        error, otherConfig, externalIDs,
      ])
  }

  /// Table Static_Lease.
  package enum StaticLease: TableDeclaration {
    package static let mac = Column<String>("mac", .one(.string))
    package static let address = Column<String?>("address", .optional(.string))
    package static let name = Column<String?>("name", .optional(.string))
    package static let error = Column<String?>("error", .optional(.string))
    package static let externalIDs = Column<[String: String]>("external_ids", .stringMap)

    package static let schema = TableSchema("Static_Lease", columns: [mac, address, name, error, externalIDs])
  }

  /// Table Forward.
  package enum Forward: TableDeclaration {
    package static let ipProtocol = Column<String>("protocol", .one(.choice("tcp", "udp")))
    package static let port = Column<String>("port", .one(.string))
    package static let address = Column<String?>("address", .optional(.string))
    package static let target = Column<String>("target", .one(.string))
    package static let targetPort = Column<Int64?>("target_port", .optional(.integer(1...65535)))
    package static let error = Column<String?>("error", .optional(.string))
    package static let externalIDs = Column<[String: String]>("external_ids", .stringMap)

    package static let schema = TableSchema(
      "Forward", columns: [ipProtocol, port, address, target, targetPort, error, externalIDs])
  }

  /// Table DHCP_Lease. Rows live without being named.
  package enum DHCPLease: TableDeclaration {
    package static let network = Column<String>("network", .one(.string))
    package static let address = Column<String>("address", .one(.string))
    package static let mac = Column<String>("mac", .one(.string))
    package static let clientID = Column<String?>("client_id", .optional(.string))
    package static let name = Column<String?>("name", .optional(.string))
    package static let expires = Column<Int64>("expires", .one(.integer))

    package static let schema = TableSchema(
      "DHCP_Lease", isRoot: true, indexes: [["network", "address"]],
      columns: [network, address, mac, clientID, name, expires])
  }
}
