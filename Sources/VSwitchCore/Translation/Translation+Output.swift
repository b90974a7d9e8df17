// Where packets are sent: ports, the reserved ones, controllers. Thread and memory: as `Translation`.
// Standard: OpenFlow 1.5 §4.5 (reserved ports), §7.2.1.1 (port configuration).

extension Translation {
  /// - Parameter cut: length that the packet is cut to; 0 for none.
  mutating func output(to port: PortNumber, cut: UInt64) {
    let inPort = state.key.inPort
    switch port {
    case .inPort: send(to: inPort, cut: cut)
    case .table:
      lookup(table: 0, inPort: inPort, isResubmit: false, withTuple: false)
    case .normal: append(ActionStep(.normal, number: inPort), low: cut)
    case .flood: append(ActionStep(.flood, number: inPort), low: cut)
    case .all: append(ActionStep(.all, number: inPort), low: cut)
    case .controller:
      let table = unsafe top.pointee.table
      let cookie = unsafe top.pointee.cookie
      controller(
        reason: controllerReason, id: 0, table: table, cookie: cookie, meter: nil, userData: nil)
    case .any, .unset: break
    default:
      guard port.rawValue != inPort else {
        record(.remark(.outputToInPort(inPort)))
        reason = .samePort
        return
      }
      send(to: port.rawValue, cut: cut)
    }
  }

  private mutating func append(_ step: ActionStep, low: UInt64) {
    var step = step
    step.low = low
    append(step)
  }

  private mutating func send(to number: UInt32, cut: UInt64) {
    result.dependencies.usesPorts = true
    let port = reader.port(PortNumber(number))
    if !port.contains(.exists) {
      record(.remark(.noSuchPort(number)))
      reason = .noSuchPort
    } else if port.contains(.isDown) {
      record(.remark(.portDown(number)))
      reason = .portDown
    } else if port.contains(.noForward) {
      record(.remark(.portDoesNotForward(number)))
      reason = .portDoesNotForward
    } else {
      append(ActionStep(.output, number: number), low: cut)
    }
  }

  mutating func enqueue(_ port: PortNumber, queue: UInt32) {
    let inPort = state.key.inPort
    let number = port == .inPort ? inPort : port.rawValue
    guard port == .inPort || number != inPort else {
      record(.remark(.outputToInPort(inPort)))
      reason = .samePort
      return
    }
    append(ActionStep(.setQueue, number: queue))
    send(to: number, cut: 0)
    if let before = state.queue {
      append(ActionStep(.setQueue, number: before))
    } else {
      append(ActionStep(.popQueue))
    }
  }

  // MARK: Controllers

  private var controllerReason: ControllerAction.Reason {
    if isPacketOut { return .packetOut }
    if bucketDepth > 0 { return .group }
    if isInActionSet { return .actionSet }
    return unsafe top.pointee.isTableMiss ? .noMatch : .action
  }

  /// The controller action of Open vSwitch.
  mutating func controller(_ step: CodeStep) {
    let argument = step.argument
    var reason = ControllerAction.Reason(rawValue: UInt8(truncatingIfNeeded: argument >> 16)) ?? .action
    if reason == .action { reason = controllerReason }
    let pauses = argument & 1 << 24 != 0
    if pauses, comesBack() { return }
    let table = unsafe top.pointee.table
    let cookie = unsafe top.pointee.cookie
    controller(
      reason: reason, id: UInt16(truncatingIfNeeded: argument), table: table, cookie: cookie,
      meter: argument & 1 << 25 != 0 ? UInt32(truncatingIfNeeded: step[1] >> 32) : nil, userData: step,
      pausesAt: pauses ? nextPoint &- 1 : nil)
    if pauses {
      leave(at: nextPoint &- 1, .continuesAfterController)
      suspend()
    }
  }

  /// The whole packet is sent whatever `max_len` says: nothing is kept here that a controller could ask for (OpenFlow 1.5
  /// §6.1.2).
  /// - Parameters:
  ///   - cookie: all ones if there is no rule.
  ///   - userData: the code step that has it.
  ///   - pausesAt: the point where the packet goes on when the controller says so.
  mutating func controller(
    reason: ControllerAction.Reason, id: UInt16, table: UInt8, cookie: UInt64, meter: UInt32?, userData: CodeStep?,
    pausesAt: UInt32? = nil
  ) {
    guard !isReplaying else { return }
    let index = program.count
    var step = ActionStep(.controller, number: state.key.inPort, half: id, field: reason.rawValue)
    step.low = cookie
    step.high = UInt64(table) << 32 | UInt64(meter ?? 0)
    step.maskLow = userData?[2] ?? 0
    step.maskHigh = pausesAt.map { UInt64($0) &+ 1 } ?? 0
    append(step)
    if let userData {
      var position = 3
      while position < userData.wordCount {
        var data = ActionStep(.data)
        data.high = userData[position]
        if position &+ 1 < userData.wordCount { data.low = userData[position &+ 1] }
        if position &+ 2 < userData.wordCount { data.maskHigh = userData[position &+ 2] }
        if position &+ 3 < userData.wordCount { data.maskLow = userData[position &+ 3] }
        append(data)
        position &+= 4
      }
    }
    // What the packet brought and no action has set the worker takes from the packet.
    for word in 15..<36 {
      let fromPacket = state.own.words[word]
      let value = state.key.words[word] & ~fromPacket
      guard fromPacket != .max, value != 0 || PipelineState.isPacketWord(word) else { continue }
      var pipeline = ActionStep(.setPipeline, number: UInt32(word))
      pipeline.low = value
      pipeline.high = fromPacket
      append(pipeline)
    }
    program.closeBlock(at: index)
  }
}
