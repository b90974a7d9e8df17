// What the database asks for of OpenFlow, bridge by bridge: tables Controller and SSL, and the columns `protocols` and
// `fail_mode` of Bridge. Pure. Meaning of columns: ovs-vswitchd.conf.db(5).

import OVSDB
import OpenFlow

/// A row of Controller.
struct ControllerPlan: Equatable, Sendable {
  /// What a session of the row is granted.
  struct Settings: Equatable, Sendable {
    /// A program that asks and changes, and is told nothing unless it wants to be; not what the bridge depends on.
    var isService = true
    /// `enable_async_messages`: false tells it nothing before it asks.
    var isTold = true
    /// `controller_rate_limit`, packets in a second; nil: as many as there are.
    var packetsPerSecond: Int?
    /// `controller_burst_limit`: how many may come at once after a pause.
    var burstLimit = 0
    /// `controller_queue_size`: packets that may wait until the controller reads.
    var queueLimit = 100
  }
  var target: String
  var settings = Settings()
  /// Nil: never probed.
  var probeMilliseconds: Int64?
  var backoffLimitMilliseconds: Int64 = 8000
  /// Private key, certificate and CA certificate; nil where table SSL has no row, or the target needs none.
  var tlsFiles: [String]?
  var wantsBootstrap = false

  var isListener: Bool { ["ptcp:", "pssl:", "punix:"].contains(where: target.hasPrefix) }
}

/// A row of Queue. Nothing is shaped: controllers are told of it, and packets that rules send by it are counted.
struct QueuePlan: Equatable, Sendable {
  /// Bits a second; nil: none.
  var minimumRate: UInt64?
  var maximumRate: UInt64?
}

/// A bridge's OpenFlow side.
struct BridgePlan: Equatable, Sendable {
  var name: String
  var versions = VersionSet.all
  var isSecure = false
  var datapathID: UInt64 = 0
  var controllers: [RowUUID: ControllerPlan] = [:]
  /// Queues by interface and number: column `qos` of Port.
  var queues: [String: [UInt32: QueuePlan]] = [:]

  /// Whether the bridge depends on controllers.
  var hasControllers: Bool { controllers.values.contains { !$0.settings.isService } }
}

extension BridgePlan {
  private typealias Bridge = OpenVSwitch.Bridge
  private typealias Controller = OpenVSwitch.Controller
  private typealias SSL = OpenVSwitch.SSL

  /// - Parameter row: of table Bridge.
  init(_ row: Row, _ database: DatabaseSnapshot) {
    name = row.name
    isSecure = row[Bridge.failMode] == "secure"
    versions = Self.versions(row[Bridge.protocols])
    let keys = database.only("Open_vSwitch")?[OpenVSwitch.Root.ssl].flatMap { database.row("SSL", $0) }
    for controller in database.rows("Controller", row[Bridge.controller]) {
      controllers[controller.uuid] = Self.plan(controller, keys)
    }
    guard !database.rows("QoS").isEmpty else { return }
    for port in database.rows("Port", row[Bridge.ports]) {
      guard let policy = port[OpenVSwitch.Port.qos].flatMap({ database.row("QoS", $0) }) else { continue }
      var plans: [UInt32: QueuePlan] = [:]
      for (number, uuid) in policy[OpenVSwitch.QoS.queues] {
        guard let number = UInt32(exactly: number), let queue = database.row("Queue", uuid) else { continue }
        let settings = queue[OpenVSwitch.Queue.otherConfig]
        plans[number] = QueuePlan(
          minimumRate: settings["min-rate"].flatMap { UInt64($0) },
          maximumRate: settings["max-rate"].flatMap { UInt64($0) })
      }
      for interface in database.rows("Interface", port[OpenVSwitch.Port.interfaces]) { queues[interface.name] = plans }
    }
  }

  /// Of column `protocols`: none means all; those that are not spoken here do not count.
  private static func versions(_ names: [String]) -> VersionSet {
    if names.isEmpty { return .all }
    let spoken: [String: OpenFlowVersion] = [
      "OpenFlow10": .v10, "OpenFlow13": .v13, "OpenFlow14": .v14, "OpenFlow15": .v15,
    ]
    return VersionSet(names.compactMap { spoken[$0] })
  }

  private static func plan(_ row: Row, _ keys: Row?) -> ControllerPlan {
    let target = row[Controller.target]
    var plan = ControllerPlan(target: target)
    let isListener = plan.isListener
    plan.settings.isService = row[Controller.type].map { $0 == "service" } ?? isListener
    plan.settings.isTold = row[Controller.enableAsyncMessages] ?? true
    plan.settings.packetsPerSecond = row[Controller.controllerRateLimit].map(Int.init(clamping:))
    plan.settings.burstLimit =
      row[Controller.controllerBurstLimit].map(Int.init(clamping:)) ?? (plan.settings.packetsPerSecond ?? 0) / 4
    plan.settings.queueLimit = row[Controller.controllerQueueSize].map(Int.init(clamping:)) ?? 100
    // Who comes to us by a listener is probed only if asked for, as in Open vSwitch.
    let probe = min(row[Controller.inactivityProbe] ?? (isListener ? 0 : 5000), 86_400_000)
    plan.probeMilliseconds = probe > 0 ? probe : nil
    plan.backoffLimitMilliseconds = min(max(row[Controller.maxBackoff] ?? 8000, 1000), 86_400_000)
    if target.hasPrefix("ssl:") || target.hasPrefix("pssl:"), let keys {
      plan.tlsFiles = [keys[SSL.privateKey], keys[SSL.certificate], keys[SSL.caCertificate]]
      plan.wantsBootstrap = keys[SSL.bootstrapCACertificate]
    }
    return plan
  }
}
