// What controllers set on a bridge beside its rules: settings of ports and tables, fragments; and what is done while none of
// them answers. Thread-safe; returns when the worker forwards by it.

import VSwitchCore

extension Datapath {
  /// Forwards everything as NORMAL whatever the rules say (`fail_mode=standalone` without a controller), or no longer.
  package func setStandalone(bridge: String, _ isStandalone: Bool) {
    state.withLock { state in
      guard let flows = state.bridges[bridge]?.flows, flows.isStandalone != isStandalone else { return }
      flows.isStandalone = isStandalone
      publish(&state)
    }
  }

  /// Settings of a port (OpenFlow 1.5 §7.2.1.1, OFPPC_…); `isDown` stops a port that has no link of the kernel's.
  package func setPort(bridge: String, number: PortNumber, _ settings: PipelinePort) {
    state.withLock { state in
      guard let flows = state.bridges[bridge]?.flows else { return }
      flows.portSettings[number] = settings.isEmpty ? nil : settings
      _ = flows.noteRules()
      publish(&state)
    }
  }

  /// Sets a port's link up or down.
  /// - Returns: whether there is such a link and that could be done.
  package func setPortLink(bridge: String, number: PortNumber, isUp: Bool) -> Bool {
    let port = state.withLock { state in
      state.ports.values.first { $0.bridge == bridge && $0.number == number }
    }
    guard let port, !port.config.interface.kind.isDeviceless else { return false }
    do throws(LinkError) {
      try port.withLinks { links throws(LinkError) in
        try links.setAdminUp(isUp, index: try links.link(named: port.linkName).index)
      }
      // Its event comes later than whoever asks next.
      state.withLock { $0.links.forget(PortKey(bridge: bridge, name: port.config.name)) }
      return true
    } catch { return false }
  }

  /// What is done with IP fragments.
  package func setFragmentHandling(bridge: String, _ handling: FragmentHandling) {
    state.withLock { state in
      guard let flows = state.bridges[bridge]?.flows, flows.fragmentHandling != handling else { return }
      flows.fragmentHandling = handling
      publish(&state)
    }
  }

  /// Whether a full table evicts rules.
  package func setEviction(bridge: String, table: UInt8, _ evicts: Bool) {
    state.withLock { state in state.bridges[bridge]?.flows?.setEviction(table: table, evicts) }
  }

  /// Whether changes are to be told with all that happened to rules (`FlowChangeOutcome.events`).
  package func reportFlowEvents(bridge: String, _ isOn: Bool) {
    state.withLock { state in state.bridges[bridge]?.flows?.tables.reportsEvents = isOn }
  }

  /// Calls `body` for each rule, at one moment; the tables do not change before it returns.
  /// - Returns: false if there is no such bridge.
  package func visitRules(bridge: String, _ filter: RuleFilter, _ body: (RuleDescription) -> Void) -> Bool {
    state.withLock { state in
      guard let tables = state.bridges[bridge]?.flows?.tables else { return false }
      tables.forEachRule(filter, body)
      return true
    }
  }

  /// Empties a bridge's tables, and gives it the rule that it begins with.
  func emptyTables(_ bridge: BridgeConfig, _ state: inout ControlState) {
    guard let flows = state.bridges[bridge.name]?.flows else { return }
    let now = monotonicNanoseconds()
    var everything = FlowMod()
    everything.command = .delete
    everything.table = FlowMod.allTables
    var changes: [TableChange] = [.flow(everything)]
    if bridge.beginsAsNormal { changes.append(.flow(BridgeFlows.normalRule)) }
    var outcome = FlowChangeOutcome()
    outcome.events = (try? flows.tables.apply(bundle: changes, now: now)) ?? []
    outcome.removed = settle(flows, of: state.worker(of: bridge.name), &state)
    tell(outcome, of: flows.identifier, state)
  }
}
