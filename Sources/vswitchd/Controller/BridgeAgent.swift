// One bridge as controllers see it: who is connected, which of them is primary, and the bridge's tables and ports in
// OpenFlow's words. An actor; the datapath is called on a thread of its own, one call after the other, so that changes keep
// their order. Standard: OpenFlow 1.5 §6.3 (connections and roles), §7.3.

import Datapath
import Logging
import OVSDB
import OpenFlow
import Synchronization
import VSwitchCore

/// The OpenFlow side of a bridge.
actor BridgeAgent {
  nonisolated let name: String
  /// Who listens in on the controllers' sessions.
  nonisolated let snoop = SnoopHub()
  nonisolated let plane: any FlowPlane
  /// Somebody is to be told when a table is nearly full, and so each change has to be looked at.
  nonisolated let watchesVacancy = Atomic(false)
  let blocking = BlockingCalls()
  private(set) var plan: BridgePlan
  var sessions: [Int: ControllerSession] = [:]
  private var nextSession = 0
  /// The last election of a primary; nil before the first.
  private var generationID: UInt64?
  var remotes: [RowUUID: ControllerRemote] = [:]
  var standIn = StandIn()
  var ports = AgentPorts()
  var tableSettings: [UInt8: TableDescription] = [:]
  /// Whether a table with vacancy events was last told to be nearly full.
  var vacancyIsLow: [UInt8: Bool] = [:]
  var fragmentHandling = SwitchConfiguration.FragmentHandling.normal
  /// Sessions that watch the flow tables.
  var watchers: Set<Int> = []

  init(_ plan: BridgePlan, plane: any FlowPlane) {
    name = plan.name
    self.plan = plan
    self.plane = plane
  }

  /// Takes over what the database asks for now; who is connected under other terms has to come again.
  func follow(_ plan: BridgePlan) async {
    let old = self.plan
    self.plan = plan
    if old.versions != plan.versions || old.datapathID != plan.datapathID {
      for session in sessions.values { await session.connection?.close() }
    }
    await watchControllers()
  }

  // MARK: sessions

  /// Serves a connection until it ends.
  /// - Parameters:
  ///   - onConnected: called when a version is agreed on, with the session's number.
  ///   - onEnded: called in the end.
  func serve(
    _ connection: OpenFlowConnection, _ settings: ControllerPlan.Settings,
    onConnected: @escaping @Sendable (Int, ControllerSession) -> Void = { _, _ in },
    onEnded: @escaping @Sendable (Int) -> Void = { _ in }
  ) async {
    let number = nextSession
    nextSession += 1
    let session = ControllerSession(self, number: number, settings, onConnected: onConnected)
    await connection.serve(plan.versions, session)
    sessions[number] = nil
    if watchers.remove(number) != nil { await reportFlowEvents() }
    onEnded(number)
    await lost(number)
    if !settings.isService { await tellControllerStatus(.channelStatus) }
  }

  /// A session has agreed on a version: from now on it is told what it wants to know.
  func began(_ session: ControllerSession, number: Int) async {
    sessions[number] = session
    await tellControllerStatus(.channelStatus, except: number)
  }

  /// Gives a session the role that it asks for (OpenFlow 1.5 §6.3.7).
  func grant(_ wanted: RoleMessage, to session: ControllerSession) async throws(ErrorCode) -> RoleMessage {
    if wanted.role == .primary || wanted.role == .secondary {
      // Distances on a circle: a newer election has a greater number, also after a wrap.
      if let known = generationID, Int64(bitPattern: wanted.generationID &- known) < 0 { throw .roleRequestFailedStale }
      generationID = wanted.generationID
    }
    if wanted.role == .primary {
      for other in sessions.values where other !== session {
        if await other.role == .primary { await other.demote(generationID: wanted.generationID) }
      }
    }
    if wanted.role != .noChange {
      await session.become(wanted.role)
      await tellControllerStatus(.role)
    }
    return RoleMessage(await session.role, generationID: generationID ?? .max)
  }

  /// A packet that rules have sent to controllers.
  func tell(_ packet: ControllerPacket) async {
    let now = plane.flowClock
    for session in sessions.values { await session.tell(packet, now: now) }
  }

  /// Tells the others of a group or meter change (OpenFlow 1.4 §7.4.5).
  func forward(_ request: Message, from source: ControllerSession) async {
    for session in sessions.values where session !== source { await session.tell(RequestForward(request)) }
  }

  // MARK: controllers' state

  /// How each controller stands (OpenFlow 1.5 §7.3.5.20).
  func controllerStatuses() async -> [ControllerStatus] {
    var statuses: [ControllerStatus] = []
    for remote in remotes.sorted(by: { $0.key < $1.key }) { statuses += await remote.value.statuses() }
    return statuses
  }

  private func tellControllerStatus(_ reason: ControllerStatus.Reason, except: Int? = nil) async {
    for (number, session) in sessions where number != except {
      guard await session.wantsControllerStatus(reason) else { continue }
      for status in await controllerStatuses() { await session.tell(status, reason) }
    }
  }

  // MARK: changes

  /// Who made a change: the session and the message's transaction.
  struct Cause: Sendable {
    var session: Int
    var xid: UInt32
  }

  /// Why changes were refused, and which of them.
  struct Refusal: Error {
    var index: Int
    var code: ErrorCode
  }

  /// Makes changes at one step, or none.
  func change(_ changes: TableChangeList, _ cause: Cause) async throws(Refusal) {
    let result = await blocking { [plane, name] () -> Result<FlowChangeOutcome, FlowChangeError> in
      do throws(FlowChangeError) {
        return .success(try plane.changeFlows(bridge: name, changes))
      } catch {
        return .failure(error)
      }
    }
    switch result {
    case .success(let outcome):
      if !outcome.removed.isEmpty || !outcome.events.isEmpty { await tell(outcome, cause) }
      if tableSettings.values.contains(where: \.sendsVacancyEvents) { await tellVacancies() }
    case .failure(.refused(let index, let error)): throw Refusal(index: index, code: ErrorCode(error))
    case .failure(.noBridge): throw Refusal(index: 0, code: .badRequestUnknown)
    }
  }

  /// Whether a session is told of each change of a rule.
  var isWatched: Bool { !watchers.isEmpty }

  /// Makes changes one after the other, each by itself.
  /// - Returns: those that were refused, in order.
  func changeEach(_ changes: [TableChange]) async -> [Refusal] {
    let result = await blocking { [plane, name] in plane.changeFlowsEach(bridge: name, changes) }
    guard let (outcome, refused) = result else {
      return changes.indices.map { Refusal(index: $0, code: .badRequestUnknown) }
    }
    if !outcome.removed.isEmpty || !outcome.events.isEmpty { await tell(outcome) }
    if tableSettings.values.contains(where: \.sendsVacancyEvents) { await tellVacancies() }
    return refused.map { Refusal(index: $0.index, code: ErrorCode($0.error)) }
  }

  /// Tells sessions what happened to rules.
  func tell(_ outcome: FlowChangeOutcome, _ cause: Cause? = nil) async {
    for rule in outcome.removed where rule.rule.flags.contains(.sendFlowRemoved) {
      let message = FlowRemoved(rule)
      for session in sessions.values { await session.tell(message) }
    }
    guard !outcome.events.isEmpty else { return }
    for number in watchers.sorted() {
      await sessions[number]?.tell(outcome.events, ownTransaction: cause?.session == number ? cause?.xid : nil)
    }
  }

  func send(_ packet: PacketOut) async throws(ErrorCode) {
    let error = await blocking { [plane, name] () -> FlowChangeError? in
      do throws(FlowChangeError) {
        try plane.sendPacket(
          bridge: name, inPort: packet.inPort, pipeline: packet.metadata.key, actions: packet.actions,
          data: packet.data)
        return nil
      } catch {
        return error
      }
    }
    switch error {
    case .refused(_, let error): throw ErrorCode(error)
    case .noBridge: throw .badRequestUnknown
    case nil: break
    }
  }

  /// Lets a packet go on that has waited for its controller.
  func resume(_ packet: PacketIn) async throws(ErrorCode) {
    guard let bytes = packet.continuation, let continuation = Continuation(bytes) else { throw .niciraResumeStale }
    let isOfThisBridge = await blocking { [plane, name] in
      try? plane.resumePacket(bridge: name, continuation, pipeline: packet.metadata.key, data: packet.data)
    }
    guard isOfThisBridge == true else { throw .niciraResumeStale }
  }
}
