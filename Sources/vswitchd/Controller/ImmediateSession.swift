// What a session does without waiting for anything: changes of single rules, and what is put into bundles. It has its own
// state behind a lock, so that the connection's event loop does it where the bytes come in, and no other thread is woken for a
// rule. Whatever might take longer, or has to be told to others, goes to the actor (ControllerSession.swift).
//
// Threads: the connection's event loop, or the actor while the event loop has handed on what it read and waits for it:
// never both at a time, so that messages keep their order.

import Datapath
import OpenFlow
import Synchronization
import VSwitchCore

/// A session's part on the event loop.
final class ImmediateSession: ImmediateOpenFlowHandler {
  private struct State {
    var mayChange = true
    /// The bridge knows already that this controller has taken up its work.
    var isAdmitted: Bool
    var bundles = Bundles()
  }

  private let bridge: BridgeAgent
  private let state: Mutex<State>

  init(_ bridge: BridgeAgent, isService: Bool) {
    self.bridge = bridge
    state = Mutex(State(isAdmitted: isService))
  }

  func setMayChange(_ mayChange: Bool) { state.withLock { $0.mayChange = mayChange } }
  func setIsAdmitted() { state.withLock { $0.isAdmitted = true } }

  /// The first message by which a controller commands is told to the bridge, on the long way.
  var isReady: Bool { state.withLock { $0.isAdmitted } }

  // MARK: changes

  func change(_ flowMods: [FlowMod]) -> [FlowModRefusal]? {
    guard state.withLock({ $0.mayChange }), !bridge.watchesVacancy.load(ordering: .acquiring) else {
      return nil
    }
    return bridge.plane.changeFlowsAtOnce(bridge: bridge.name, flowMods.map { .flow($0) })?.map { refused in
      FlowModRefusal(index: refused.index, code: ErrorCode(refused.error))
    }
  }

  // MARK: bundles

  func handle(_ control: BundleControl) throws(ErrorCode) -> Bundle? {
    let result: Result<Bundle?, ErrorCode> = state.withLock { state in
      do throws(ErrorCode) { return .success(try state.bundles.handle(control)) } catch { return .failure(error) }
    }
    return try result.get()
  }

  func add(_ add: BundleAdd) throws(ErrorCode) {
    if case .packetOut(let packet) = add.message.body {
      try self.add(to: add.bundle, add.flags) { bundle throws(ErrorCode) in
        guard bundle.packets.count < Bundle.packetLimit else { throw .bundleFailedMessageTooMany }
        bundle.packets.append(packet)
      }
      return
    }
    try self.add(to: add.bundle, add.flags) { bundle throws(ErrorCode) in
      bundle.changes.append(try TableChange(add.message.body), tag: add.message.xid)
    }
  }

  func add(_ mod: FlowMod, xid: UInt32, to bundle: UInt32, _ flags: BundleFlags) throws(ErrorCode) {
    try add(to: bundle, flags) { bundle throws(ErrorCode) in bundle.changes.append(mod, tag: xid) }
  }

  private func add(to id: UInt32, _ flags: BundleFlags, _ change: (inout Bundle) throws(ErrorCode) -> Void)
    throws(ErrorCode)
  {
    let result: Result<Void, ErrorCode> = state.withLock { state in
      do throws(ErrorCode) { return .success(try state.bundles.add(to: id, flags, change)) } catch {
        return .failure(error)
      }
    }
    try result.get()
  }
}
