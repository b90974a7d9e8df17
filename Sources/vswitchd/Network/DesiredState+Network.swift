// What routers add to the desired state: a bridge for each, and on it and on the user's bridges the two ends of a patch for each
// of its ports. They are in no row of Bridge, Port or Interface.

import OVSDB
import VSwitchCore

extension DesiredState {
  /// Adds the routers' bridges and ports, as yet without numbers.
  mutating func attach(_ network: NetworkState) {
    for router in network.routers {
      guard bridges[router.name] == nil else { continue }
      var config = BridgeConfig(name: router.name)
      // Nothing passes before its rules.
      config.isSecure = true
      config.isRouter = true
      var bridge = Bridge(row: RowUUID(high: 0, low: 0), config: config)
      for port in router.ports {
        if port.isHostDevice {
          bridge.ports[port.name] = Self.device(port.name, VLANConfig())
          continue
        }
        guard bridges[port.bridge]?.ports[port.name] == nil, bridges[port.bridge] != nil else { continue }
        // Frames have a tag on the bridge, none at the router.
        bridges[port.bridge]?.ports[port.name] = Self.end(of: port, Self.access(port.tag))
        var inner = Self.end(of: port, VLANConfig())
        inner.config?.interface.hardwareAddress = port.hardwareAddress
        bridge.ports[port.name] = inner
      }
      bridges[router.name] = bridge
    }
    for port in network.hostPorts where bridges[port.bridge]?.ports[port.name] == nil {
      bridges[port.bridge]?.ports[port.name] = Self.device(port.name, Self.access(port.tag))
    }
  }

  private static func access(_ tag: UInt16?) -> VLANConfig {
    var vlan = VLANConfig()
    if let tag {
      vlan.mode = .access
      vlan.tag = tag
    }
    return vlan
  }

  /// A device of this host.
  private static func device(_ name: String, _ vlan: VLANConfig) -> Port {
    var port = Port(name: name)
    var config = PortConfig(name: name, interface: InterfaceConfig(name: name, kind: .internal))
    config.vlan = vlan
    port.config = config
    port.wish = PortNumbering.Wish(port: name, isLocal: false, request: nil, previous: nil)
    return port
  }

  /// One end of a router's port; both have its name, and so name each other by it.
  private static func end(of port: RouterPort, _ vlan: VLANConfig) -> Port {
    var end = Port(name: port.name)
    // The interface is nobody's device: its name only has to be another one than a port's.
    var interface = InterfaceConfig(name: "\(port.name)/patch", kind: .patch)
    interface.options = ["peer": port.name]
    var config = PortConfig(name: port.name, interface: interface)
    config.vlan = vlan
    end.config = config
    end.wish = PortNumbering.Wish(port: port.name, isLocal: false, request: nil, previous: nil)
    return end
  }

  /// The routers with the numbers that their ports have.
  func numbered(_ routers: [RouterConfig]) -> [RouterConfig] {
    routers.map { router in
      var router = router
      for i in router.ports.indices {
        let port = bridges[router.name]?.ports[router.ports[i].name]
        if let number = port?.config?.interface.portNumberRequest {
          router.ports[i].number = PortNumber(openFlow10: number)
        }
      }
      router.ports.removeAll { $0.number == .any }
      return router
    }
  }
}
