// Packets from controllers: their actions are translated as a rule's are, or their way through the tables goes on where it
// stopped, and the worker runs that between two bursts. Thread-safe; blocks until the worker has done it.

import VSwitchCore

extension Datapath {
  /// Runs actions on a packet that a controller has sent.
  /// - Parameters:
  ///   - inPort: where the packet is to have come in; `PortNumber.controller` for none.
  ///   - pipeline: fields beside the packet's own: registers, metadata, and those of its tunnel and connection.
  ///   - data: the frame; one that is shorter than an Ethernet header goes nowhere.
  package func sendPacket(
    bridge: String, inPort: PortNumber, pipeline: FlowKey, actions: [Action], data: [UInt8]
  ) throws(FlowChangeError) {
    let result: Result<Void, FlowChangeError> = state.withLock { state in
      guard let (flowBridge, owner) = state.flowBridge(bridge) else { return .failure(.noBridge(bridge)) }
      let code: RuleCode
      do {
        code = try RuleCode(Instructions(apply: actions))
      } catch {
        return .failure(.refused(index: 0, .badArgument("\(error)")))
      }
      defer { code.deallocate() }
      let packet = PacketFromController(data: data, inPort: inPort, pipeline: pipeline, code: code)
      state.worker(of: bridge).mailbox.perform { worker in worker.send(packet, flowBridge) }
      withExtendedLifetime(owner) {}
      return .success(())
    }
    try result.get()
  }

  /// Runs actions on a packet that brings nothing but its bytes.
  package func sendPacket(bridge: String, inPort: PortNumber, actions: [Action], data: [UInt8]) throws(FlowChangeError)
  {
    try sendPacket(bridge: bridge, inPort: inPort, pipeline: FlowKey(), actions: actions, data: data)
  }

  /// Lets a packet go on that has waited for a controller.
  /// - Parameters:
  ///   - continuation: as it came with the packet.
  ///   - pipeline: fields beside the packet's own, as they are to be from here on.
  ///   - data: the frame.
  /// - Returns: false if the continuation is not one of this bridge.
  package func resumePacket(bridge: String, _ continuation: Continuation, pipeline: FlowKey, data: [UInt8])
    throws(FlowChangeError) -> Bool
  {
    let result: Result<Bool, FlowChangeError> = state.withLock { state in
      guard let (flowBridge, owner) = state.flowBridge(bridge) else { return .failure(.noBridge(bridge)) }
      guard flowBridge.identifier == continuation.bridge else { return .success(false) }
      let packet = PacketFromController(data: data, pipeline: pipeline, continuation)
      state.worker(of: bridge).mailbox.perform { worker in worker.send(packet, flowBridge) }
      withExtendedLifetime(owner) {}
      return .success(true)
    }
    return try result.get()
  }
}

extension ControlState {
  /// A bridge's tables and ports for the worker; good while the owner lives.
  func flowBridge(_ name: String) -> (FlowBridge, owner: FlowBridgeOwner)? {
    guard let flows = bridges[name]?.flows, let index = bridgeIndex(name) else { return nil }
    let owner = flows.makeBridge(index: index, ports: numberedPorts(of: name))
    return (owner.bridge, owner)
  }
}

/// What a controller has sent.
struct PacketFromController: Sendable {
  var data: [UInt8]
  var inPort: PortNumber
  /// Fields beside the packet's own.
  var pipeline: FlowKey
  /// What to do with it; nil: it goes on where it stopped.
  var code: RuleCode?
  /// Flows that it has come through.
  var resumptions: [Resumption] = []

  init(data: [UInt8], inPort: PortNumber, pipeline: FlowKey, code: RuleCode) {
    self.data = data
    self.inPort = inPort
    self.pipeline = pipeline
    self.code = code
  }

  init(data: [UInt8], pipeline: FlowKey, _ continuation: Continuation) {
    self.data = data
    self.pipeline = pipeline
    resumptions = continuation.resumptions
    inPort = PortNumber(resumptions.first?.key.inPort ?? 0)
  }
}

extension Worker {
  /// Translates and runs what a controller has sent.
  func send(_ packet: PacketFromController, _ bridge: FlowBridge) {
    guard let forwarding = unsafe mailbox.forwarding?.pointee else { return }
    burst.send(packet, bridge, forwarding, now: now)
    processPending()
    transmitDirty()
  }
}

extension Burst {
  func send(_ packet: PacketFromController, _ bridge: FlowBridge, _ forwarding: Forwarding, now: UInt32) {
    let depth = packet.resumptions.count
    guard packet.data.count >= 14, packet.data.count <= PacketPool.frameLimit,
      depth <= PacketTranslation.resumptionLimit, let sender = pool.allocate()
    else { return }
    // It came in nowhere, whatever port it is to have come in by: what becomes of it is counted at no port.
    pool[sender].inPort = Burst.controllerSlot
    defer { release(sender) }
    guard let index = allocateFollower(of: sender) else { return }
    unsafe pool.room(index).copyBytes(from: packet.data)
    pool[index].byteCount = UInt32(truncatingIfNeeded: packet.data.count)
    pool[index].inPort = bridge.slot(of: packet.inPort.rawValue) ?? Burst.controllerSlot
    unsafe controllerPort.pointee.bridge = bridge.index
    var key = FlowKey()
    var layout = PacketLayout()
    let parser = unsafe FlowKeyParser(pool.frame(index), byteCount: packet.data.count)
    guard parser.parse(inPort: packet.inPort.rawValue, into: &key, &layout) else {
      drop(index, .truncated)
      return
    }
    // Not what translation finds by itself: conj_id, actset_output.
    for word in FlowKey.packetWordCount..<36 { key.words[word] = packet.pipeline.words[word] }
    pool[index].mark = key.packetMark
    unsafe state.pointee.now = now
    unsafe state.pointee.nanoseconds = monotonicNanoseconds()
    unsafe flows.keys[depth] = key
    for level in 0..<depth {
      unsafe flows.resumptions[level] = packet.resumptions[level]
      unsafe flows.origins[level] = MegaflowCache.noFlow
    }
    unsafe flows.resumptions[depth].setsPipeline = true
    var context = unsafe ProgramContext(
      forwarding: forwarding, bridge: bridge, version: bridge.tables.version, now: state.pointee.nanoseconds)
    context.layout = layout
    context.depth = depth
    context.isKept = false
    context.actions = packet.code
    translate(index, &context, actions: packet.code)
    // Packets that come from ports find nothing set, and words that they do not bring 0.
    for level in 0...depth { unsafe flows.resumptions[level].setsPipeline = false }
    unsafe flows.keys[depth] = FlowKey()
    settleFlows()
  }
}
