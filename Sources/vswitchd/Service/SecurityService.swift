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
  private var known: [SecuredPort] = []

  init(plane: any RouterPlane, logger: Logger) {
    self.plane = plane
    installer = RuleInstaller(plane: plane)
    self.logger = logger
  }

  func follow(_ ports: [SecuredPort]) async -> [String: ConfigError] {
    var failures: [String: ConfigError] = [:]
    let bridges = Dictionary(grouping: ports, by: \.guarding.bridge)
    await installer.keep(bridges: Set(bridges.keys))
    for (bridge, members) in bridges.sorted(by: { $0.key < $1.key }) {
      let rules = SecurityCompiler.rules(of: members, among: ports)
      guard let error = await installer.install(rules, on: bridge) else { continue }
      failures[bridge] = ConfigError(
        cause: "the rules of its security groups were refused: \(error)", remedy: "free memory and change any setting")
      logger.error("rules of ports were refused", metadata: ["bridge": "\(bridge)", "reason": "\(error)"])
    }
    await forgetConnections(now: ports)
    known = ports
    return failures
  }

  /// What a port's rules allowed is asked again once they allow less, or are another port's.
  private func forgetConnections(now ports: [SecuredPort]) async {
    let new = Dictionary(ports.map { ($0.zone, $0) }, uniquingKeysWith: { first, _ in first })
    let zones = known.filter { old in
      guard let now = new[old.zone], now.name == old.name, now.guarding.bridge == old.guarding.bridge else {
        return true
      }
      return now != old && !SecurityCompiler.allowsAll(of: old, among: known, now, amongNow: ports)
    }.map(\.zone)
    if zones.isEmpty { return }
    await blocking { [plane] in
      for zone in zones { _ = plane.flushConnections(ConnectionFilter(zone: zone)) }
    }
  }
}
