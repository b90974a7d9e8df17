// What a bridge does while none of its controllers answers (column `fail_mode`). In mode `standalone` it forwards by itself, as
// NORMAL, when none has answered for three times the inactivity probe; its rules stay and count again when one commands.
// In mode `secure` they count all the time. As Open vSwitch does (ovs-vswitchd.conf.db(5), Bridge).

import Logging
import OpenFlow

/// Who of the controllers commands, and since when none does.
struct StandIn {
  /// Sessions of controllers that have asked for something.
  var admitted: Set<Int> = []
  var lastAdmitted = ContinuousClock.now
  var isActive = false
  var hadControllers = false
  var task: Task<Void, Never>?
}

extension BridgeAgent {
  /// A controller commands.
  func admitted(_ number: Int) async {
    guard standIn.admitted.insert(number).inserted else { return }
    await watchControllers()
  }

  /// A session has ended.
  func lost(_ number: Int) async {
    guard standIn.admitted.remove(number) != nil else { return }
    if standIn.admitted.isEmpty { standIn.lastAdmitted = .now }
    await watchControllers()
  }

  /// How long controllers may be silent.
  private var patience: Duration {
    let probes = plan.controllers.values.filter { !$0.settings.isService }.map { $0.probeMilliseconds ?? 5000 }
    return .milliseconds(3 * (probes.max() ?? 5000))
  }

  /// Sees to it that the bridge forwards by itself when it has to, and then only.
  func watchControllers() async {
    standIn.task?.cancel()
    standIn.task = nil
    if plan.hasControllers, !standIn.hadControllers { standIn.lastAdmitted = .now }
    standIn.hadControllers = plan.hasControllers
    guard plan.hasControllers, !plan.isSecure, standIn.admitted.isEmpty else {
      await setStandIn(false)
      return
    }
    let moment = standIn.lastAdmitted + patience
    standIn.task = Task { [weak self] in
      guard (try? await ContinuousClock().sleep(until: moment, tolerance: .milliseconds(100))) != nil else { return }
      await self?.setStandIn(true)
    }
  }

  private func setStandIn(_ isActive: Bool) async {
    guard standIn.isActive != isActive, !isActive || standIn.admitted.isEmpty else { return }
    standIn.isActive = isActive
    let logger = Logger(label: "openflow")
    logger.warning(
      isActive ? "no controller answers: the bridge forwards by itself" : "the bridge forwards by its rules again",
      metadata: ["bridge": "\(name)"])
    await blocking { [plane, name] in plane.setStandalone(bridge: name, isActive) }
  }
}
