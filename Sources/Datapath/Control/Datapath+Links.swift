// How ports and their links are: what control code tells of them, and what it does when the system says that a link has changed.
// Thread-safe, as the rest of `Datapath`.

import Glibc
import VSwitchCore

extension Datapath {
  /// How configured ports are now.
  func states(of keys: [PortKey], _ state: inout ControlState) -> [PortState] {
    var ownLinks: LinkService?
    return keys.compactMap { key in
      state.wanted[key].map { self.state(of: $0, key, &state, &ownLinks) }
    }
  }

  func state(
    of port: PortConfig, _ key: PortKey, _ state: inout ControlState, _ ownLinks: inout LinkService?
  ) -> PortState {
    var result = PortState(bridge: key.bridge, name: key.name)
    result.error = state.failures[key]
    result.linkResets = state.linkResets[key] ?? 0
    guard let entry = state.ports[key] else { return result }
    result.portNumber = entry.portNumber
    if port.interface.kind.isDeviceless {
      let isGuest = [.vhostUser, .vhostUserClient].contains(port.interface.kind)
      let guest = isGuest ? vhostUser.description(slot: entry.slot) : nil
      result.isAdminUp = true
      result.isLinkUp = guest?.isUp ?? true
      result.mtu = guest?.mtu
      result.status = guest?.status ?? [:]
    } else {
      do throws(LinkError) {
        try link(of: entry, key, &state, &ownLinks).fill(&result)
      } catch {
        if result.error == nil { result.error = error.configError }
      }
    }
    return result
  }

  /// What the system says of a port's link: as it was kept, or asked for now.
  func link(
    of port: OpenPort, _ key: PortKey, _ state: inout ControlState, _ ownLinks: inout LinkService?
  ) throws(LinkError) -> LinkDescription {
    if let kept = state.links[key] { return kept }
    // An event that comes while the link is asked about is read after this, and makes it be asked again.
    let answer = try port.describeLink(engine: engineName, &ownLinks) { (try? links.watch($0)) != nil }
    if answer.isHeard { state.links.keep(answer.description, of: key, isForeign: answer.isForeign) }
    return answer.description
  }

  /// Passes on what concerns a configured port.
  func linkChanged(_ event: LinkEvent) {
    let notice: LinkNotice
    switch event {
    case .added(let link), .changed(let link), .deleted(let link): notice = link
    case .namespaceDeleted, .resync:
      state.withLock { $0.links.forgetAll() }
      eventSource.yield(.linkChanged(name: ""))
      return
    }
    let names = state.withLock { state in
      var names: Set<String> = []
      var ownLinks: LinkService?
      var hasChanged = false
      for key in state.links.forget(after: notice) {
        guard let port = state.ports[key] else { continue }
        names.insert(port.config.interface.name)
        if case .deleted = event { follow(port) }
        // Groups that watch the port do not wait for whoever listens.
        let link = try? link(of: port, key, &state, &ownLinks)
        if state.noteLink(key, isUp: link.map { $0.isAdminUp && $0.isOperational } ?? false) { hasChanged = true }
      }
      if hasChanged { publish(&state) }
      // Perhaps what a port that failed has waited for.
      if state.wants(interface: notice.name) { names.insert(notice.name) }
      return names
    }
    for name in names { eventSource.yield(.linkChanged(name: name)) }
  }

  /// Listens where a port's link lives now, if that is another namespace than the switch's.
  private func follow(_ port: OpenPort) {
    guard let namespace = port.foreignNamespace() else { return }
    defer { close(namespace) }
    _ = try? links.watch(.descriptor(namespace))
  }
}
