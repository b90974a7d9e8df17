// Rows of NAT networks as values, and what is said of those that can't be.

import Testing
import VSwitchCore

@testable import OVSDB
@testable import vswitchd

@Suite struct NATNetworkReadingTests {
  private func database(_ columns: [String: Datum], _ change: (inout TestDatabase) -> Void = { _ in }) -> NetworkState {
    var database = TestDatabase()
    database.bridge("br0", ports: [])
    database.bridge("br1", ports: [])
    change(&database)
    var columns = columns
    columns["name"] = columns["name"] ?? .string("lab")
    columns["bridge"] = columns["bridge"] ?? .string("br0")
    database.insert("NAT_Network", columns)
    return NetworkState(database.snapshot)
  }

  private func error(_ state: NetworkState, _ table: String = "NAT_Network") -> String? {
    state.status.first { $0.table == table && $0.columns["error"] != .empty }?.columns["error"]?.string
  }

  @Test func aNetworkIsReadWithItsDefaults() throws {
    let state = database(["subnets": .strings(["192.168.77.0/24", "fd00:77::/64"])])
    #expect(error(state) == nil)
    let config = try #require(state.natNetworks.first)
    #expect(config.addresses.map(\.description) == ["192.168.77.1/24", "fd00:77::1/64"])
    #expect(config.pool == 0xc0a8_4d02...0xc0a8_4dfe)
    #expect(config.domain == "lab" && config.search == ["lab"] && config.leaseSeconds == 3600)
    #expect(config.hasDHCP && config.hasDNS && config.hostDevice == "lab-host")
    #expect(state.routers.map(\.name) == ["lab"])
    let status = try #require(state.status.first { $0.table == "NAT_Network" })
    #expect(status.columns["zone"] == .integer(65535))
    #expect(status.columns["status"]?["pool"] == .string("192.168.77.2-192.168.77.254"))
  }

  @Test func anAddressOfAHostIsTheSwitchs() throws {
    let config = try #require(database(["subnets": .strings(["10.0.0.254/24"])]).natNetworks.first)
    #expect(config.addresses.map(\.description) == ["10.0.0.254/24"])
    #expect(config.pool == 0x0a00_0001...0x0a00_00fe)
  }

  @Test func inAHostOnlyNetworkTheFirstAddressIsTheHosts() throws {
    let state = database(["subnets": .strings(["10.0.0.0/24"]), "kind": .string("host-only"), "tag": .integer(8)])
    let config = try #require(state.natNetworks.first)
    #expect(config.addresses.map(\.description) == ["10.0.0.2/24"])
    #expect(config.hostAddresses.map(\.description) == ["10.0.0.1/24"])
    #expect(config.pool == 0x0a00_0003...0x0a00_00fe)
    #expect(state.hostPorts == [HostPort(name: "lab", bridge: "br0", tag: 8)])
  }

  @Test func largeNetworksHaveABoundedPool() throws {
    let config = try #require(database(["subnets": .strings(["10.0.0.0/8"])]).natNetworks.first)
    #expect(config.dhcpSettings?.poolCount == 65_536)
  }

  @Test(
    arguments: [
      (["subnets": .strings([])], "has no subnet"),
      (["subnets": .strings(["10.0.0.0/31"])], "too few addresses"),
      (["subnets": .strings(["10.0.0.0/24", "10.1.0.0/24"])], "two IPv4 subnets"),
      (["subnets": .strings(["x"])], "is no network for guests"),
      (["subnets": .strings(["10.0.0.0/24"]), "bridge": .string("br9")], "no bridge br9"),
      (["subnets": .strings(["10.0.0.0/24"]), "uplink": .string("br0")], "into itself"),
      (["subnets": .strings(["10.0.0.0/24"]), "uplink": .string("br1")], "no address on bridge br1"),
      (
        [
          "subnets": .strings(["10.0.0.0/24"]), "uplink": .string("br1"), "addresses": .strings(["10.0.0.9/24"]),
        ], "overlaps"
      ),
      (
        [
          "subnets": .strings(["10.0.0.0/24"]), "uplink": .string("br1"), "addresses": .strings(["192.0.2.5/24"]),
          "gateways": .strings(["198.51.100.1"]),
        ], "is no router in its networks outside"
      ),
      (["subnets": .strings(["10.0.0.0/24"]), "gateways": .strings(["10.0.0.9"])], "chosen by the switch"),
      (
        ["subnets": .strings(["10.0.0.0/24"]), "kind": .string("internal"), "uplink": .string("br1")], "has no way out"
      ),
      (["subnets": .strings(["10.0.0.0/24"]), "pool": .string("10.0.0.9-10.0.0.3")], "no range of addresses"),
      (["subnets": .strings(["10.0.0.0/24"]), "domain": .string("a..b")], "is no domain"),
      (["subnets": .strings(["10.0.0.0/24"]), "servers": .strings(["x"])], "is no DNS server"),
      (["subnets": .strings(["10.0.0.0/24"]), "next_server": .string("::1")], "is no IPv4 address"),
      (["subnets": .strings(["10.0.0.0/24"]), "name": .string("br1")], "there is a bridge br1"),
      (["subnets": .strings(["10.0.0.0/24"]), "name": .string("a-long-name-x")], "no device can be called"),
    ] as [([String: Datum], String)])
  func whatCannotWorkIsSaidAndChangesNothing(_ columns: [String: Datum], _ text: String) throws {
    let state = database(columns)
    #expect(state.natNetworks.isEmpty && state.routers.isEmpty && state.portNames.isEmpty)
    let said = try #require(error(state))
    #expect(said.contains(text), "\(said)")
    #expect(!said.contains("\n") && said.contains(": "))
    // An empty map, which a set is not.
    #expect(state.status.allSatisfy { $0.columns["status"]?.isMap ?? true })
  }

  @Test func oneBadLeaseOrForwardDoesNotStopTheOthers() throws {
    var leases: [RowUUID] = []
    var forwards: [RowUUID] = []
    var database = TestDatabase()
    database.bridge("br0", ports: [])
    for (mac, address) in [
      ("52:54:00:00:00:01", "192.168.77.9"), ("x", "192.168.77.10"), ("52:54:00:00:00:02", "10.0.0.1"),
    ] {
      leases.append(database.insert("Static_Lease", ["mac": .string(mac), "address": .string(address)]))
    }
    for (port, target) in [("80", "192.168.77.9"), ("80", "192.168.77.10"), ("81", "8.8.8.8"), ("82", "web")] {
      forwards.append(
        database.insert("Forward", ["protocol": .string("tcp"), "port": .string(port), "target": .string(target)]))
    }
    database.insert(
      "NAT_Network",
      [
        "name": .string("lab"), "bridge": .string("br0"), "subnets": .strings(["192.168.77.0/24"]),
        "static_leases": .uuids(leases), "forwards": .uuids(forwards),
      ])
    let state = NetworkState(database.snapshot)
    let config = try #require(state.natNetworks.first)
    #expect(config.staticLeases.map(\.address) == [0xc0a8_4d09])
    #expect(config.forwards.count == 2)
    #expect(state.status.filter { $0.table == "Static_Lease" && $0.columns["error"] != .empty }.count == 2)
    #expect(state.status.filter { $0.table == "Forward" && $0.columns["error"] != .empty }.count == 2)
  }

  @Test func aForwardByNameFollowsTheLease() throws {
    let state = database(["subnets": .strings(["192.168.77.0/24", "fd00:77::/64"]), "forwards": .empty]) { database in
      let forward = database.insert(
        "Forward", ["protocol": .string("tcp"), "port": .string("8080"), "target": .string("web")])
      database.insert(
        "DHCP_Lease",
        [
          "network": .string("other"), "address": .string("192.168.77.50"), "mac": .string("52:54:00:12:34:56"),
          "name": .string("web"),
        ])
      database.insert(
        "NAT_Network",
        [
          "name": .string("other"), "bridge": .string("br1"), "forwards": .uuids([forward]),
          "subnets": .strings(["192.168.77.0/24", "fd00:77::/64"]),
        ])
    }
    let router = try #require(state.routers.first { $0.name == "other" })
    #expect(
      router.forwards.map(\.target.description) == ["192.168.77.50", "fd00:77::5054:ff:fe12:3456"])
  }

  @Test func zonesAreKeptAndNoTwoNetworksShareOne() {
    var database = TestDatabase()
    database.bridge("br0", ports: [])
    for (name, zone) in [("a", 65535), ("b", 65535), ("c", 0)] {
      var columns: [String: Datum] = [
        "name": .string(name), "bridge": .string("br0"), "subnets": .strings(["10.0.0.0/24"]),
      ]
      if zone > 0 { columns["zone"] = .integer(Int64(zone)) }
      database.insert("NAT_Network", columns)
    }
    let zones = NetworkState(database.snapshot).natNetworks.map(\.zone)
    #expect(zones[0] == 65535 && Set(zones).count == 3)
  }
}
