// What has to be closed, kept and opened to get from the state that is to the one that is wanted.

import VSwitchCore

/// The difference between open ports and a configuration.
struct Change {
  /// Ports to close: no longer wanted, of another kind now, or with a device that is gone.
  var closing: [PortKey] = []
  /// Those of `closing` that are to be opened again because their device had gone.
  var reopening: Set<PortKey> = []
  /// All ports wanted, in the order of the configuration.
  var wanted: [(bridge: String, port: PortConfig)] = []

  init(from state: ControlState, to config: SwitchConfig) {
    var kept: Set<PortKey> = []
    for bridge in config.bridges {
      for port in bridge.ports {
        let key = PortKey(bridge: bridge.name, name: port.name)
        wanted.append((bridge.name, port))
        guard let open = state.ports[key] else { continue }
        if !Change.needsReopen(open.config.interface, port.interface) {
          // While a description stands no event has told that the device has gone.
          if state.links[key] == nil, open.isDeviceGone() { reopening.insert(key) } else { kept.insert(key) }
        }
      }
    }
    closing = state.ports.keys.filter { !kept.contains($0) }
  }

  /// Whether an open port can't just take over another configuration.
  static func needsReopen(_ old: InterfaceConfig, _ new: InterfaceConfig) -> Bool {
    old.kind != new.kind || old.name != new.name || old.options != new.options
  }
}
