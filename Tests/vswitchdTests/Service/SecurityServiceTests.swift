// When connections of secured ports have to begin anew.

import Datapath
import Logging
import Synchronization
import Testing
import VSwitchCore

@testable import vswitchd

@Suite struct SecurityServiceTests {
  /// Takes all rules and notes which zones are flushed.
  private final class Plane: RouterPlane {
    let flushed = Mutex<[UInt16]>([])
    let changes = Mutex<[String: Int]>([:])

    func changeFlows(bridge: String, _ list: TableChangeList) throws(FlowChangeError) -> FlowChangeOutcome {
      changes.withLock { $0[bridge, default: 0] += 1 }
      return FlowChangeOutcome()
    }
    func sendPacket(bridge: String, inPort: PortNumber, actions: [Action], data: [UInt8]) throws(FlowChangeError) {}
    func flushConnections(_ filter: ConnectionFilter) -> Int {
      flushed.withLock { $0.append(filter.zone ?? 0) }
      return 0
    }
    var flowClock: UInt64 { 0 }

    func takeFlushed() -> [UInt16] {
      flushed.withLock { zones in
        defer { zones = [] }
        return zones.sorted()
      }
    }
  }

  private static func port(_ name: String, _ number: UInt16, _ groups: [SecurityGroup]?, _ address: String = "")
    -> SecuredPort
  {
    let guarding = PortGuard(bridge: "br0/security", deviceNumber: 2 * number + 1, bridgeNumber: 2 * number + 2)
    var port = SecuredPort(name: name, guarding: guarding, zone: SecuredPort.firstZone + number)
    port.groups = groups
    if let prefix = IPPrefix(address) {
      var host = PortSecurity(MACAddress(bits: UInt64(number) + 1))
      host.addresses = [prefix]
      port.hosts = [host]
    }
    return port
  }

  private static func group(_ name: String, _ rules: SecurityRule...) -> SecurityGroup {
    var group = SecurityGroup(name: name)
    group.rules = rules
    return group
  }

  private static func allow(_ ports: ClosedRange<UInt16>, from group: String? = nil) -> SecurityRule {
    var rule = SecurityRule(.in)
    rule.ipProtocol = 6
    rule.ports = [ports]
    rule.remoteGroup = group
    return rule
  }

  @Test func connectionsBeginAnewWhereLessIsAllowed() async {
    let plane = Plane()
    let service = SecurityService(plane: plane, logger: Logger(label: "test"))
    let zone = SecuredPort.firstZone
    let web = Self.group("web", Self.allow(80...80))
    let more = Self.group("web", Self.allow(80...80), Self.allow(443...443))
    #expect(await service.follow([Self.port("a", 0, [web])]).isEmpty)
    #expect(plane.takeFlushed().isEmpty)
    _ = await service.follow([Self.port("a", 0, [more])])
    #expect(plane.takeFlushed().isEmpty, "more is allowed")
    _ = await service.follow([Self.port("a", 0, [more]), Self.port("b", 1, [web])])
    #expect(plane.takeFlushed().isEmpty, "another port has come")
    _ = await service.follow([Self.port("a", 0, [web]), Self.port("b", 1, [web])])
    #expect(plane.takeFlushed() == [zone])
    _ = await service.follow([Self.port("c", 0, [web]), Self.port("b", 1, [web])])
    #expect(plane.takeFlushed() == [zone], "the zone is another port's")
    _ = await service.follow([])
    #expect(plane.takeFlushed() == [zone, zone + 1])
  }

  @Test func aPortThatLeavesAGroupEndsWhatOthersAllowedTheGroup() async {
    let plane = Plane()
    let service = SecurityService(plane: plane, logger: Logger(label: "test"))
    let server = Self.port("s", 0, [Self.group("db", Self.allow(5432...5432, from: "web"))])
    func client(_ groups: [SecurityGroup]) -> SecuredPort { Self.port("c", 1, groups, "10.0.0.2") }
    let (web, other) = (Self.group("web"), Self.group("other"))
    _ = await service.follow([server, client([web, other])])
    #expect(plane.takeFlushed().isEmpty)
    _ = await service.follow([server, client([other])])
    #expect(plane.takeFlushed() == [SecuredPort.firstZone], "the server's own row has not changed")
    #expect(plane.changes.withLock { $0 } == ["br0/security": 2])
  }
}
