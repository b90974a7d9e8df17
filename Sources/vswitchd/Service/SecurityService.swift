// Brings the rules between ports' devices and their bridges to what the ports' security groups and addresses say. An actor; the
// datapath is called on a thread of its own. Invariants: a bridge of rules that has none lets nothing pass; what a port may do no
// longer ends with its connections, which have to begin again under the new rules.

import Datapath
import Logging
import VSwitchCore

/// Who brings secured ports to work.
protocol SecurityFollower: Sendable {
  /// Brings the rules of all ports to these.
  /// - Returns: why those of some bridges of rules don't work, by the bridge's name.
  func follow(_ ports: [SecuredPort]) async -> [String: ConfigError]
}

actor SecurityService: SecurityFollower {
  private let plane: any RouterPlane
  private let logger: Logger
  private let blocking = BlockingCalls()
  private let installer: RuleInstaller
  /// By zone.
  private var known: [UInt16: Secured] = [:]

  /// A port, and what it may do.
  private struct Secured {
    var name: String
    var bridge: String
    var rules: BridgeRules
  }

  init(plane: any RouterPlane, logger: Logger) {
    self.plane = plane
    installer = RuleInstaller(plane: plane)
    self.logger = logger
  }

  func follow(_ ports: [SecuredPort]) async -> [String: ConfigError] {
    var failures: [String: ConfigError] = [:]
    var now: [UInt16: Secured] = [:]
    var bridges: [String: BridgeRules] = [:]
    let members = SecurityMembers(ports)
    for port in ports {
      let rules = SecurityCompiler.rules(of: [port], members)
      now[port.zone] = Secured(name: port.name, bridge: port.guarding.bridge, rules: rules)
      bridges[port.guarding.bridge, default: BridgeRules()].add(flowsOf: rules)
    }
    await installer.keep(bridges: Set(bridges.keys))
    for (bridge, rules) in bridges.sorted(by: { $0.key < $1.key }) {
      guard let error = await installer.install(rules, on: bridge) else { continue }
      failures[bridge] = ConfigError(
        cause: "the rules of its security groups were refused: \(error)", remedy: "free memory and change any setting")
      logger.error("rules of ports were refused", metadata: ["bridge": "\(bridge)", "reason": "\(error)"])
    }
    // What a port's rules allowed is asked again once they allow less, also because another port has left a group that they
    // name; or once the zone is another port's.
    let zones = known.filter { zone, old in
      guard let new = now[zone], new.name == old.name, new.bridge == old.bridge else { return true }
      return !new.rules.contains(flowsOf: old.rules)
    }.keys
    known = now
    if !zones.isEmpty {
      await blocking { [plane] in
        for zone in zones { _ = plane.flushConnections(ConnectionFilter(zone: zone)) }
      }
    }
    return failures
  }
}
