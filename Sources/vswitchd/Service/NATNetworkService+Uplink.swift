// Outer addresses that DHCP servers give to NAT networks: asked for from the router's port outside, and kept in the network's row, from
// which routers are made anew. See NATNetworkService.swift.

import OVSDB
import VSwitchCore

extension NATNetworkService {
  func handleUplink(_ punt: Punt) -> [Outgoing] {
    let name = punt.router.name
    guard let network = networks[name], punt.inPort == outerPort(network), var uplink = network.uplink,
      let datagram = UDPDatagram(frame: punt.frame)
    else { return [] }
    let effects = uplink.handle(datagram, time, using: &random)
    networks[name]?.uplink = uplink
    return carryOut(effects, name)
  }

  func tickUplinks() -> [Outgoing] {
    var frames: [Outgoing] = []
    for (name, network) in networks.sorted(by: { $0.key < $1.key }) {
      guard var uplink = network.uplink else { continue }
      let effects = uplink.tick(time, using: &random)
      networks[name]?.uplink = uplink
      frames += carryOut(effects, name)
    }
    return frames
  }

  private func outerPort(_ network: Network) -> PortNumber? {
    network.router.port(network.config.outerPortName)?.number
  }

  private func carryOut(_ effects: [DHCPUplink.Effect], _ name: String) -> [Outgoing] {
    var frames: [Outgoing] = []
    for effect in effects {
      switch effect {
      case .send(let datagram):
        guard let network = networks[name], let port = outerPort(network) else { continue }
        frames.append(Outgoing(router: name, port: port, frame: datagram.frame))
      case .lease(let lease):
        unwrittenUplinks[name] = .some(lease)
        logger.info(
          "outer address", metadata: ["network": "\(name)", "address": "\(lease?.address.description ?? "none")"])
      }
    }
    return frames
  }

  /// Brings the rows to what is known; what could not be written is tried again with the next message or timer.
  func writeUplinks() async {
    let changes = unwrittenUplinks
    guard !changes.isEmpty else { return }
    unwrittenUplinks = [:]
    let operations = changes.sorted { $0.key < $1.key }.map { name, lease in
      Operation.update(
        "NAT_Network", where: [["name", "==", .string(name)]],
        ["uplink_lease": Datum(map: UplinkLeaseColumns.pairs(lease)).json])
    }
    let reply = await store.transact(operations)
    guard let error = reply.error else { return }
    unwrittenUplinks.merge(changes) { newer, _ in newer }
    logger.error("an outer address could not be stored", metadata: ["reason": "\(error)"])
  }
}

/// An outer address as the row of its network has it.
enum UplinkLeaseColumns {
  static func pairs(_ lease: UplinkLease?) -> [(Atom, Atom)] {
    guard let lease else { return [] }
    var pairs = [
      ("address", lease.address.description), ("expires", String(lease.expires)),
      ("server", lease.server.description),
    ]
    if let gateway = lease.gateway { pairs.append(("gateway", gateway.description)) }
    if !lease.dnsServers.isEmpty {
      pairs.append(("dns", lease.dnsServers.map(\.description).joined(separator: ",")))
    }
    return pairs.map { (.string($0.0), .string($0.1)) }
  }

  static func lease(_ row: Row) -> UplinkLease? {
    let texts = row[OpenVSwitch.NATNetwork.uplinkLease]
    guard let address = texts["address"].flatMap({ InterfaceAddress($0) }), !address.address.isIPv6,
      let server = texts["server"].flatMap({ IPAddress($0) }), let expires = texts["expires"].flatMap({ Int64($0) })
    else { return nil }
    var lease = UplinkLease(address: address, server: server, expires: expires)
    lease.gateway = texts["gateway"].flatMap { IPAddress($0) }
    return lease
  }
}
