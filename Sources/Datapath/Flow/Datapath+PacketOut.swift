// Packets from controllers: their actions are translated as a rule's are, and run by the worker between two bursts.
// Thread-safe; blocks until the worker has done it.

import VSwitchCore

extension Datapath {
  /// Runs actions on a packet that a controller has sent.
  /// - Parameters:
  ///   - inPort: where the packet is to have come in; `PortNumber.controller` for none.
  ///   - data: the frame; one that is shorter than an Ethernet header goes nowhere.
  package func sendPacket(bridge: String, inPort: PortNumber, actions: [Action], data: [UInt8]) throws(FlowChangeError)
  {
    let result: Result<Void, FlowChangeError> = state.withLock { state in
      guard let flows = state.bridges[bridge]?.flows, let index = state.bridgeIndex(bridge) else {
        return .failure(.noBridge(bridge))
      }
      let code: RuleCode
      do {
        code = try RuleCode(Instructions(apply: actions))
      } catch {
        return .failure(.refused(index: 0, .badArgument("\(error)")))
      }
      defer { code.deallocate() }
      let owner = flows.makeBridge(index: index, ports: state.numberedPorts(of: bridge))
      let flowBridge = owner.bridge
      worker.mailbox.perform { worker in worker.send(data, from: inPort, code, flowBridge) }
      withExtendedLifetime(owner) {}
      return .success(())
    }
    try result.get()
  }
}

extension Worker {
  /// Translates and runs a controller's actions.
  func send(_ data: [UInt8], from inPort: PortNumber, _ code: RuleCode, _ bridge: FlowBridge) {
    guard let forwarding = unsafe mailbox.forwarding?.pointee else { return }
    burst.sendFromController(data, from: inPort, code, bridge, forwarding, now: now)
    processPending()
    transmitDirty()
  }
}

extension Burst {
  func sendFromController(
    _ data: [UInt8], from inPort: PortNumber, _ code: RuleCode, _ bridge: FlowBridge, _ forwarding: Forwarding,
    now: UInt32
  ) {
    guard data.count >= 14, data.count <= PacketPool.frameLimit, let index = pool.allocate() else { return }
    unsafe pool.room(index).copyBytes(from: data)
    pool[index].byteCount = UInt32(truncatingIfNeeded: data.count)
    // It came in nowhere: what becomes of it is counted at no port.
    pool[index].inPort = bridge.slot(of: inPort.rawValue) ?? Burst.controllerSlot
    unsafe controllerPort.pointee.bridge = bridge.index
    var key = FlowKey()
    var layout = PacketLayout()
    let parser = unsafe FlowKeyParser(pool.frame(index), byteCount: data.count)
    guard parser.parse(inPort: inPort.rawValue, into: &key, &layout) else {
      pool.recycle(index)
      return
    }
    unsafe state.pointee.now = now
    unsafe state.pointee.nanoseconds = monotonicNanoseconds()
    unsafe flows.keys.pointee = key
    var context = unsafe ProgramContext(
      forwarding: forwarding, bridge: bridge, version: bridge.tables.version, now: state.pointee.nanoseconds)
    context.layout = layout
    context.actions = code
    translate(index, &context, actions: code)
    settleFlows()
  }
}
