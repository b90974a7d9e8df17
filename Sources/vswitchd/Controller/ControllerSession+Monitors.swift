// Watching the flow tables for one session: which changes it is told, in full or by their transaction, and a pause when it
// does not read as fast as rules change (OpenFlow 1.5 §7.3.5.19; Open vSwitch's NXST_FLOW_MONITOR).

import Datapath
import OpenFlow
import VSwitchCore

/// What a session watches.
struct FlowMonitors {
  /// Most monitors of a session.
  static let limit = 1024

  var requests: [UInt32: FlowMonitorRequest] = [:]
  /// Changes are left out since then, nanoseconds of the rules' clock; nil: none is.
  var pausedAt: UInt64?

  /// The flags of all monitors that mean a rule and want to know of such a thing; empty if none does.
  func flags(_ rule: RuleDescription, wanting flag: FlowMonitorRequest.Flags) -> FlowMonitorRequest.Flags {
    var flags: FlowMonitorRequest.Flags = []
    for request in requests.values where request.flags.contains(flag) && request.means(rule) {
      flags.formUnion(request.flags)
    }
    return flags
  }
}

extension FlowMonitorRequest {
  /// Whether a rule is one of those watched.
  func means(_ rule: RuleDescription) -> Bool {
    (table == FlowMod.allTables || table == rule.table) && rule.match.isWithin(match)
      && (outPort == .any || rule.instructions.outputs(to: outPort))
      && (outGroup == GroupMod.anyGroup || rule.instructions.usesGroup(outGroup))
  }

  /// The rules that are watched.
  var filter: RuleFilter {
    var filter = RuleFilter()
    filter.table = table == FlowMod.allTables ? nil : table
    filter.match = match
    filter.outPort = outPort
    filter.outGroup = outGroup
    return filter
  }
}

extension Instructions {
  private func contains(_ actions: [Action], where isWanted: (Action) -> Bool) -> Bool {
    actions.contains { action in
      if isWanted(action) { return true }
      if case .clone(let nested) = action { return contains(nested, where: isWanted) }
      return false
    }
  }

  func outputs(to port: PortNumber) -> Bool {
    contains(apply + write) { action in
      switch action {
      case .output(let number, _), .outputTruncated(let number, _), .enqueue(let number, _): number == port
      default: false
      }
    }
  }

  func usesGroup(_ group: UInt32) -> Bool {
    contains(apply + write) { action in if case .group(group) = action { true } else { false } }
  }
}

extension FlowChange {
  init(_ event: Event, _ rule: RuleDescription, withInstructions: Bool) {
    self.init(event)
    table = rule.table
    priority = rule.priority
    idleTimeoutSeconds = rule.idleTimeoutSeconds
    hardTimeoutSeconds = rule.hardTimeoutSeconds
    cookie = rule.cookie
    match = rule.match
    if withInstructions { instructions = rule.instructions }
  }
}

extension ControllerSession {
  /// Adds, changes or ends monitors.
  /// - Returns: the rules there are, as far as they were asked for.
  func monitor(_ requests: [FlowMonitorRequest]) async throws(ErrorCode) -> [FlowUpdate] {
    // All of them first: a refused request changes nothing.
    var known = Set(monitors.requests.keys)
    for request in requests {
      switch request.command {
      case .add:
        guard known.insert(request.id).inserted else { throw .flowMonitorFailedMonitorExists }
        guard known.count <= FlowMonitors.limit else { throw .flowMonitorFailedUnknown }
      case .modify: guard known.contains(request.id) else { throw .flowMonitorFailedUnknownMonitor }
      case .delete: guard known.remove(request.id) != nil else { throw .flowMonitorFailedUnknownMonitor }
      }
      guard request.table == FlowMod.allTables || request.table < FlowTables.tableCount else {
        throw .flowMonitorFailedBadTableID
      }
    }
    for request in requests {
      monitors.requests[request.id] = request.command == .delete ? nil : request
    }
    await bridge.watch(number, isWatching: !monitors.requests.isEmpty)
    var updates: [FlowUpdate] = []
    for request in requests where request.command != .delete && request.flags.contains(.initial) {
      for rule in try await bridge.rules(request.filter) {
        updates.append(
          .change(FlowChange(.initial, rule, withInstructions: request.flags.contains(.instructions))))
      }
    }
    return updates
  }

  func cancelMonitor(_ id: UInt32) async throws(ErrorCode) {
    guard monitors.requests.removeValue(forKey: id) != nil else { throw .flowMonitorFailedUnknownMonitor }
    await bridge.watch(number, isWatching: !monitors.requests.isEmpty)
  }

  /// Tells of changes.
  /// - Parameter ownTransaction: of the session's own message that made them.
  func tell(_ events: [RuleEvent], ownTransaction: UInt32?) {
    guard let connection else { return }
    if connection.isCongested, monitors.pausedAt == nil { pauseMonitors(events) }
    var updates: [FlowUpdate] = []
    var isAbbreviated = false
    for event in events {
      let (kind, rule, flag): (FlowChange.Event, RuleDescription, FlowMonitorRequest.Flags) =
        switch event {
        case .added(let rule): (.added, rule, .added)
        case .modified(let rule): (.modified, rule, .modified)
        case .removed(let rule, _): (.removed, rule, .removed)
        }
      // What is added or changed meanwhile is told when the pause ends; what has gone then can't be.
      if monitors.pausedAt != nil, kind != .removed { continue }
      let flags = monitors.flags(rule, wanting: flag)
      if flags.isEmpty { continue }
      // ovs-ofctl asks for its own changes in full by the flag that the standard calls ONLY_OWN.
      if let ownTransaction, flags.isDisjoint(with: [.noAbbreviation, .onlyOwn]) {
        if !isAbbreviated { updates.append(.abbreviated(xid: ownTransaction)) }
        isAbbreviated = true
        continue
      }
      var change = FlowChange(kind, rule, withInstructions: flags.contains(.instructions))
      if case .removed(_, let reason) = event {
        change.reason = FlowRemoved.Reason(rawValue: reason.rawValue) ?? .delete
      }
      updates.append(.change(change))
    }
    send(updates)
  }

  private func send(_ updates: [FlowUpdate]) {
    guard !updates.isEmpty else { return }
    let form: MessageForm = version < .v14 ? .extension : .standard
    connection?.send(Message(version, .multipartReply(MultipartReply(.flowMonitor(updates), form: form))))
  }

  /// - Parameter events: the first that are left out. They happened before this moment: the pause begins with them.
  private func pauseMonitors(_ events: [RuleEvent]) {
    var since = bridge.plane.flowClock
    for event in events {
      switch event {
      case .added(let rule): since = min(since, rule.createdAt)
      case .modified(let rule): since = min(since, rule.modifiedAt)
      case .removed: break
      }
    }
    monitors.pausedAt = since
    if version < .v14 {
      connection?.send(Message(version, .flowMonitorPaused))
    } else {
      send([.paused])
    }
    Task { [weak self] in
      await self?.connection?.drain()
      await self?.resumeMonitors()
    }
  }

  /// Tells what has come or changed since the pause began.
  private func resumeMonitors() async {
    guard let since = monitors.pausedAt else { return }
    var updates: [FlowUpdate] = []
    if let rules = try? await bridge.rules(RuleFilter()) {
      for rule in rules where rule.createdAt >= since || rule.modifiedAt >= since {
        let kind: FlowChange.Event = rule.createdAt >= since ? .added : .modified
        let flags = monitors.flags(rule, wanting: kind == .added ? .added : .modified)
        if !flags.isEmpty {
          updates.append(.change(FlowChange(kind, rule, withInstructions: flags.contains(.instructions))))
        }
      }
    }
    monitors.pausedAt = nil
    send(updates)
    if version < .v14 {
      connection?.send(Message(version, .flowMonitorResumed))
    } else {
      send([.resumed])
    }
  }
}

extension BridgeAgent {
  /// Notes whether a session watches the tables.
  func watch(_ session: Int, isWatching: Bool) async {
    let had = !watchers.isEmpty
    if isWatching { watchers.insert(session) } else { watchers.remove(session) }
    if had == watchers.isEmpty { await reportFlowEvents() }
  }

  /// Has the tables say what happens to rules while anybody wants to know.
  func reportFlowEvents() async {
    let isOn = !watchers.isEmpty
    await blocking { [plane, name] in plane.reportFlowEvents(bridge: name, isOn) }
  }

  func rules(_ filter: RuleFilter) async throws(ErrorCode) -> [RuleDescription] {
    try await ask { plane, name in plane.rules(bridge: name, filter) }
  }
}
