// Rows of routers as the reconciler reads them.

import OVSDB
import Testing
import VSwitchCore

@testable import vswitchd

struct NetworkStateTests {
  private func database(_ change: (inout TestDatabase) -> Void) -> DatabaseSnapshot {
    var database = TestDatabase()
    let port = database.port("p1", type: "tap")
    database.bridge("br0", ports: [port])
    change(&database)
    return database.snapshot
  }

  private static func port(
    _ name: String, _ database: inout TestDatabase, _ columns: [String: Datum] = [:]
  ) -> RowUUID {
    var columns = columns
    columns["name"] = .string(name)
    columns["bridge"] = columns["bridge"] ?? .string("br0")
    return database.insert("Router_Port", columns)
  }

  private func error(_ uuid: RowUUID, _ state: NetworkState) -> String? {
    state.status.first { $0.row == uuid }?.columns["error"]?.string
  }

  @Test func aBadPortDoesNotStopTheOthers() throws {
    var bad: [(uuid: RowUUID, text: String)] = []
    let snapshot = database { database in
      let good = Self.port(
        "r1-10", &database, ["tag": .integer(10), "addresses": .strings(["10.0.10.1/24", "fd00::1/64"])])
      for (columns, text) in [
        (["bridge": .string("nosuch")], "no bridge nosuch"), (["addresses": .strings(["10.1.0.1"])], "prefix length"),
        (["addresses": .strings(["10.0.10.9/25"])], "overlaps"), (["mac": .string("01:00:00:00:00:01")], "station"),
        (["addresses": .strings(["10.2.0.0/24"])], "address of a network"),
        (["masquerade": .boolean(true)], "no address to masquerade"),
      ] as [([String: Datum], String)] {
        bad.append((Self.port("r1-x\(bad.count)", &database, columns), text))
      }
      bad.append((Self.port("p1", &database), "there is a port of that name"))
      database.insert("Router", ["name": .string("r1"), "ports": .uuids([good] + bad.map(\.uuid))])
    }
    let state = NetworkState(snapshot)
    let router = try #require(state.routers.first)
    #expect(router.ports.map(\.name) == ["r1-10"])
    #expect(router.zone == 65535)
    let advertisement = try #require(router.ports[0].advertisement)
    #expect(advertisement.prefixes == [IPPrefix("fd00::/64")])
    for (uuid, text) in bad { #expect(error(uuid, state)?.contains(text) == true, "\(error(uuid, state) ?? "none")") }
    #expect(state.errors.count == bad.count)
  }

  @Test func zonesStayWithTheirRowsAndMeetNoOthers() {
    let snapshot = database { database in
      let zone = database.insert("CT_Zone", [:])
      database.insert("Datapath", ["ct_zones": Datum(map: [(.integer(65534), .uuid(zone))])])
      database.insert("Router", ["name": .string("a")])
      database.insert("Router", ["name": .string("b"), "zone": .integer(65535)])
      database.insert("Router", ["name": .string("c"), "zone": .integer(65535)])
    }
    let zones = NetworkState(snapshot).routers.map(\.zone)
    #expect(zones == [65533, 65535, 65532])
  }

  @Test func aRouterIsABridgeWithAPatchForEachPort() throws {
    var row: RowUUID?
    let snapshot = database { database in
      let port = Self.port("r1-10", &database, ["tag": .integer(10), "addresses": .strings(["10.0.10.1/24"])])
      row = database.insert("Router", ["name": .string("r1"), "ports": .uuid(port)])
    }
    let network = NetworkState(snapshot)
    var numbering = PortNumbering()
    let desired = DesiredState(snapshot, network: network, numbering: &numbering)
    let bridges = desired.config.bridges
    #expect(bridges.map(\.name) == ["br0", "r1"])
    let outer = try #require(bridges[0].ports.first { $0.name == "r1-10" })
    let inner = try #require(bridges[1].ports.first)
    #expect(outer.vlan.mode == .access && outer.vlan.tag == 10)
    #expect(outer.interface.kind == .patch && inner.interface.kind == .patch)
    #expect(bridges[1].ports.count == 1)
    #expect(bridges[1].isSecure && bridges[1].isRouter && !bridges[0].isRouter)
    // Nothing of it is told of in rows of Interface.
    #expect(desired.interfaces.map(\.name) == ["p1"])
    let router = try #require(desired.numbered(network.routers).first)
    #expect(router.ports.map(\.number) == [PortNumber(1)])
    #expect(row != nil)
  }

  @Test func aBridgeOfItsNameKeepsARouterAway() {
    let snapshot = database { database in database.insert("Router", ["name": .string("br0")]) }
    let state = NetworkState(snapshot)
    #expect(state.routers.isEmpty)
    #expect(state.errors["br0"]?.contains("there is a bridge br0") == true)
  }
}
