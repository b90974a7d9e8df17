// A bridge's ports: how they are described, what controllers set on them, and who is told when one comes, goes or changes
// (OpenFlow 1.5 §7.2.1, §7.3.4.3, §7.4.3).

import Datapath
import OpenFlow
import VSwitchCore

/// What is known of a bridge's ports.
struct AgentPorts {
  /// As they were told last.
  var described: [PortNumber: PortDescription] = [:]
  /// Their numbers by the names that they have in the database.
  var numbers: [String: PortNumber] = [:]
  /// What controllers have set, but for `down`, which is the link's own where there is a link.
  var settings: [PortNumber: PortDescription.Configuration] = [:]
  /// When each was first seen, nanoseconds of the rules' clock.
  var since: [PortNumber: UInt64] = [:]
}

extension BridgeAgent {
  /// Takes note of all ports as they are now, and tells sessions what is new.
  private func noteAll(_ states: [PortState], changedBy source: ControllerSession) async {
    var news = PortNews(changed: states.filter { $0.bridge == name })
    news.gone = Set(ports.numbers.keys.lazy.map { QualifiedPort(self.name, $0) })
      .subtracting(news.changed.lazy.map { QualifiedPort($0) })
    await note(news, changedBy: source)
  }

  /// Takes note of what is new of the bridge's ports, and tells sessions.
  func note(_ news: PortNews, changedBy source: ControllerSession? = nil) async {
    var now: [PortNumber: PortDescription] = [:]
    var numbers: [String: PortNumber] = [:]
    for state in news.changed {
      guard let port = describe(state) else { continue }
      now[port.number] = port
      numbers[state.name] = port.number
    }
    // What was known of these ports, and of those whose numbers they have now.
    var before: [PortNumber: PortDescription] = [:]
    for place in news.places {
      if let number = ports.numbers[place.port] { before[number] = ports.described[number] }
    }
    for number in now.keys { before[number] = ports.described[number] }
    for place in news.places { ports.numbers[place.port] = numbers[place.port] }
    for number in before.keys { ports.described[number] = nil }
    for (number, port) in now { ports.described[number] = port }
    await tell(before, now, changedBy: source)
  }

  /// Tells sessions how some ports have changed.
  private func tell(
    _ before: [PortNumber: PortDescription], _ now: [PortNumber: PortDescription], changedBy source: ControllerSession?
  ) async {
    let clock = plane.flowClock
    var changes: [PortStatus] = []
    for (number, port) in before where now[number] == nil {
      changes.append(PortStatus(.delete, port))
      ports.since[number] = nil
      // What was set was set on that port, not on the next of its number.
      if let settings = ports.settings.removeValue(forKey: number), !settings.isEmpty { await apply([], to: number) }
    }
    for (number, port) in now {
      guard let known = before[number] else {
        ports.since[number] = clock
        changes.append(PortStatus(.add, port))
        continue
      }
      if known.name != port.name {
        changes.append(PortStatus(.delete, known))
        changes.append(PortStatus(.add, port))
      } else if known != port {
        changes.append(PortStatus(.modify, port))
      }
    }
    for change in changes {
      for session in sessions.values { await session.tell(change, isOwn: session === source) }
    }
  }

  private func describe(_ state: PortState) -> PortDescription? {
    guard var port = PortDescription(state) else { return nil }
    port.configuration.formUnion(ports.settings[port.number] ?? [])
    if port.configuration.contains(.down) { port.state.remove(.live) }
    return port
  }

  private func currentPorts() async -> [PortDescription] {
    await blocking { [plane] in plane.portStates() }.filter { $0.bridge == name }.compactMap(describe)
  }

  func portDescriptions(_ wanted: PortNumber) async -> [PortDescription] {
    await currentPorts().filter { wanted == .any || $0.number == wanted }.sorted { $0.number < $1.number }
  }

  func portStatistics(_ wanted: PortNumber) async -> [PortStatistics] {
    let counters = await blocking { [plane, name] in plane.counters().filter { $0.bridge == name } }
    let now = plane.flowClock
    return counters.map { port in
      var statistics = PortStatistics(number: port.portNumber, port.counters)
      statistics.duration = ElapsedTime(nanoseconds: now &- (ports.since[statistics.port] ?? now))
      return statistics
    }
    .filter { wanted == .any || $0.port == wanted }
  }

  /// Whether the bridge has a port of a number; `PortNumber.any` counts as one.
  func hasPort(_ number: PortNumber) -> Bool { number == .any || ports.described[number] != nil }

  /// Changes a port as a controller asks.
  func modify(_ change: PortMod, by source: ControllerSession) async throws(ErrorCode) {
    guard let port = await currentPorts().first(where: { $0.number == change.port }) else {
      throw .portModFailedBadPort
    }
    guard port.hardwareAddress == change.hardwareAddress else { throw .portModFailedBadHardwareAddress }
    let known = ports.settings[port.number] ?? []
    var settings = known.subtracting(change.mask).union(change.configuration.intersection(change.mask))
    if change.mask.contains(.down) {
      let isUp = !change.configuration.contains(.down)
      let hasLink = await blocking { [plane, name] in plane.setPortLink(bridge: name, number: port.number, isUp: isUp) }
      if hasLink { settings.remove(.down) }
    }
    if settings != known {
      ports.settings[port.number] = settings.isEmpty ? nil : settings
      await apply(settings, to: port.number)
    }
    await noteAll(await blocking { [plane] in plane.portStates() }, changedBy: source)
  }

  private func apply(_ configuration: PortDescription.Configuration, to number: PortNumber) async {
    var settings: PipelinePort = []
    if configuration.contains(.down) { settings.insert(.isDown) }
    if configuration.contains(.noReceive) { settings.insert(.noReceive) }
    if configuration.contains(.noForward) { settings.insert(.noForward) }
    if configuration.contains(.noFlood) { settings.insert(.noFlood) }
    if configuration.contains(.noPacketIn) { settings.insert(.noPacketIn) }
    await blocking { [plane, name, settings] in plane.setPort(bridge: name, number: number, settings) }
  }
}
