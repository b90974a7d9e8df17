// What has to be closed, kept and opened to get from the state that is to the one that is wanted.

import VSwitchCore

/// The difference between open ports and a configuration.
struct Change {
  /// Ports to close: no longer wanted, of another kind now, or with a device that is gone.
  var closing: [PortKey] = []
  /// Those of `closing` that are to be opened again because their device had gone.
  var reopening: Set<PortKey> = []
  /// Packets may have to pass between bridges between which they did not before.
  var mayJoinBridges: Bool {
    isWhole || wanted.contains { $0.port.interface.kind == .patch || $0.port.guarding != nil }
  }
  private var isWhole = false
  /// Ports wanted: all that there are to be, or those of a change.
  var wanted: [(key: PortKey, port: PortConfig)] = []

  /// From all open ports to a whole configuration.
  init(from state: ControlState, to config: SwitchConfig) {
    isWhole = true
    var kept: Set<PortKey> = []
    for bridge in config.bridges {
      for port in bridge.ports {
        let key = PortKey(bridge: bridge.name, name: port.name)
        if want(port, key, state) { kept.insert(key) }
      }
    }
    closing = state.ports.keys.filter { !kept.contains($0) }
  }

  /// From some ports to what is wanted of them now.
  init(from state: ControlState, to changes: [PortChange]) {
    for change in changes {
      let key = PortKey(bridge: change.bridge, name: change.port)
      let isKept = if let port = change.config { want(port, key, state) } else { false }
      if !isKept, state.ports[key] != nil { closing.append(key) }
    }
  }

  /// - Returns: whether the port is open and can take over the configuration.
  private mutating func want(_ port: PortConfig, _ key: PortKey, _ state: ControlState) -> Bool {
    wanted.append((key, port))
    guard let open = state.ports[key], !Change.needsReopen(open.config.interface, port.interface) else { return false }
    // While a description stands no event has told that the device has gone.
    guard state.links[key] == nil, open.isDeviceGone() else { return true }
    reopening.insert(key)
    return false
  }

  /// Whether an open port can't just take over another configuration.
  static func needsReopen(_ old: InterfaceConfig, _ new: InterfaceConfig) -> Bool {
    old.kind != new.kind || old.name != new.name || old.options != new.options
  }
}
