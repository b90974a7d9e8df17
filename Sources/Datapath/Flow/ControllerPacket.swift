// A packet on its way to controllers, as the worker writes it into the event ring and control code reads it.
// Layout of the record: `ControllerPacket.headerByteCount` bytes of fields, then pairs of a key's word and its value, user
// data, the flows that a packet which waits has come through (`Continuation`), and the packet's bytes.

import VSwitchCore

/// A packet that rules have sent to controllers.
package struct ControllerPacket: Equatable, Sendable {
  /// Number of the bridge, as `Datapath` gave it.
  package var bridge: UInt32
  /// As the pipeline says: an action may have set it.
  package var inPort: UInt32
  package var reason: ControllerAction.Reason
  package var controllerID: UInt16
  package var table: UInt8
  /// Nil: none was asked for.
  package var meter: UInt32?
  /// Of the rule; all ones without one.
  package var cookie: UInt64
  /// Bytes of the packet before it was cut to `data`.
  package var totalByteCount: Int
  /// The pipeline's fields, as they were, and those of the packet's tunnel and connection; with the latter the EtherType.
  package var pipeline = FlowKey()
  /// The packet waits for the controller, and goes on here; nil: it does not wait.
  package var continuation: Continuation?
  package var userData: [UInt8] = []
  package var data: [UInt8] = []

  static var headerByteCount: Int { 48 }

  /// Reads a record; nil if it is not whole.
  init?(_ record: [UInt8]) {
    guard record.count >= ControllerPacket.headerByteCount else { return nil }
    func number(_ offset: Int) -> UInt32 {
      (0..<4).reduce(0) { $0 | UInt32(record[offset + $1]) << UInt32(8 * $1) }
    }
    func wide(_ offset: Int) -> UInt64 { UInt64(number(offset)) | UInt64(number(offset + 4)) << 32 }
    bridge = number(4)
    inPort = number(8)
    reason = ControllerAction.Reason(rawValue: UInt8(truncatingIfNeeded: number(12))) ?? .action
    controllerID = UInt16(truncatingIfNeeded: number(16))
    table = UInt8(truncatingIfNeeded: number(20))
    meter = number(24) == 0 ? nil : number(24)
    cookie = wide(28)
    totalByteCount = Int(number(36))
    let pairCount = Int(number(40) & 0xffff)
    let userDataCount = Int(number(40) >> 16)
    let continuationByteCount = Int(number(44))
    var offset = ControllerPacket.headerByteCount
    guard record.count >= offset + pairCount * 12 + userDataCount + continuationByteCount else { return nil }
    for _ in 0..<pairCount {
      let word = Int(number(offset))
      if word < FlowKey.wordCount { pipeline.words[word] = wide(offset + 4) }
      offset += 12
    }
    userData = Array(record[offset..<offset + userDataCount])
    offset += userDataCount
    if continuationByteCount > 0 {
      continuation = Continuation(record: record[offset..<offset + continuationByteCount])
    }
    data = Array(record[(offset + continuationByteCount)...])
  }
}

extension Burst {
  /// Writes a packet into the event ring, with its checksum made.
  /// - Parameter block: the steps that belong to the controller step: user data, then the pipeline's fields.
  @inline(never)
  func tellController(
    _ index: PacketIndex, _ step: ActionStep, _ block: UnsafeBufferPointer<ActionStep>, _ context: ProgramContext
  ) {
    let slot = pool[index].inPort
    guard flows.mayTellController(slot: slot, now: unsafe state.pointee.now), let copy = copy(index) else {
      if pool[index].outcome == Packet.undecided { pool[index].outcome = DropReason.controllerBusy.rawValue }
      return
    }
    defer { release(copy) }
    if pool[copy].offload.flags & OffloadMetadata.needsChecksum != 0 {
      // What comes back from a controller has no metadata.
      _ = unsafe finishChecksum(frame: pool.bytes(copy), metadata: &pool[copy].offload)
    }
    let frame = unsafe UnsafeRawBufferPointer(pool.bytes(copy))
    let continuationByteCount = step.maskHigh == 0 ? 0 : self.continuationByteCount(context)
    // A message of OpenFlow has 64 KB.
    let byteCount = min(frame.count, 65_000 &- 2 &* continuationByteCount)
    let userDataCount = min(Int(truncatingIfNeeded: step.maskLow & 0xffff), block.count &* 32)
    let fields = unsafe pipelineFields(block, context)
    var pairCount = 0
    for word in 0..<FlowKey.wordCount where fields.words[word] != 0 { pairCount &+= 1 }
    let total =
      ControllerPacket.headerByteCount &+ 12 &* pairCount &+ userDataCount &+ continuationByteCount &+ byteCount
    guard context.bridge.events.begin(byteCount: total) else {
      pool[copy].outcome = DropReason.controllerBusy.rawValue
      return
    }
    let ring = context.bridge.events
    ring.put(EventKind.controllerPacket)
    ring.put(context.bridge.identifier)
    ring.put(step.number)
    ring.put(UInt32(step.field))
    ring.put(UInt32(step.half))
    ring.put(UInt32(truncatingIfNeeded: step.high &>> 32))
    ring.put(UInt32(truncatingIfNeeded: step.high))
    ring.put(step.low)
    ring.put(UInt32(truncatingIfNeeded: frame.count))
    ring.put(UInt32(truncatingIfNeeded: pairCount) | UInt32(truncatingIfNeeded: userDataCount) &<< 16)
    ring.put(UInt32(truncatingIfNeeded: continuationByteCount))
    for word in 0..<FlowKey.wordCount where fields.words[word] != 0 {
      ring.put(UInt32(truncatingIfNeeded: word))
      ring.put(fields.words[word])
    }
    unsafe putData(ring, block, count: userDataCount)
    if continuationByteCount > 0 {
      putContinuation(ring, context, point: UInt32(truncatingIfNeeded: step.maskHigh &- 1))
    }
    unsafe ring.put(UnsafeRawBufferPointer(rebasing: frame[..<byteCount]))
    ring.end()
    pool[copy].outcome = Packet.delivered
  }

  /// The fields that a controller is told with a packet: the pipeline's, and those of its tunnel and connection.
  private func pipelineFields(_ block: UnsafeBufferPointer<ActionStep>, _ context: ProgramContext) -> FlowKey {
    let key = unsafe flows.keys + context.depth
    var fields = FlowKey()
    for word in 15..<36 where word < 18 || word >= 26 { fields.words[word] = unsafe key.pointee.words[word] }
    for position in 0..<block.count where unsafe block[position].operation == .setPipeline {
      let step = unsafe block[position]
      let word = Int(step.number)
      guard word < FlowKey.wordCount else { continue }
      fields.words[word] = step.low | fields.words[word] & step.high
    }
    // What is said of a connection is read by the kind of packet.
    if fields.words[29] != 0 { fields.words[1] = unsafe UInt64(key.pointee.etherType) }
    return fields
  }

  /// Bytes of `data` steps: 32 in each, the first in the lowest bits of `high`, then `low`, `maskHigh`, `maskLow`.
  private func putData(_ ring: EventRing, _ block: UnsafeBufferPointer<ActionStep>, count: Int) {
    var left = count
    for position in 0..<block.count where left > 0 {
      let step = unsafe block[position]
      guard step.operation == .data else { continue }
      var words: InlineArray<4, UInt64> = [step.high, step.low, step.maskHigh, step.maskLow]
      let part = min(left, 32)
      unsafe withUnsafeBytes(of: &words) { unsafe ring.put(UnsafeRawBufferPointer(rebasing: $0[..<part])) }
      left &-= part
    }
  }
}

/// The first word of every record.
enum EventKind {
  static var controllerPacket: UInt32 { 1 }
  static var learn: UInt32 { 2 }
  static var finTimeout: UInt32 { 3 }
}
