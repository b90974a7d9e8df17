// What a worker knows of a bridge that has flow tables: the tables, the ports by number, the caches. Made by control code,
// published with the forwarding tables. Thread: read by workers. Memory: of `FlowBridgeOwner`.

import VSwitchCore

/// What stands behind a `FlowBridge`.
@safe struct FlowBridgeRecord {
  /// Index of the bridge in the forwarding tables.
  var index: UInt16
  /// Number of the bridge in records for control code; never given to another.
  var identifier: UInt32
  /// What translation asks.
  var pipeline: BridgePipeline
  var exactMatch: ExactMatchCache
  var megaflows: MegaflowCache
  var events: EventRing
  /// Slots by port number, for numbers below `numberLimit`; the bridge's own port apart.
  var slots: UnsafePointer<UInt16>
  var numberLimit: UInt32
  var localSlot: UInt16
  /// Port numbers by slot.
  var numbers: UnsafePointer<UInt32>
  var slotLimit: Int
  /// Raised when a port comes, goes or changes.
  var portsVersion: UInt64
}

/// A bridge's flow tables as a worker sees them: copies name the same, and retain nothing.
@safe struct FlowBridge: @unchecked Sendable {
  private let record: UnsafePointer<FlowBridgeRecord>

  /// - Parameter record: stays where it is, and as it is, while the forwarding tables that name it are in use.
  init(_ record: UnsafePointer<FlowBridgeRecord>) { unsafe self.record = record }

  static var noSlot: UInt16 { .max }

  var index: UInt16 { unsafe record.pointee.index }
  var identifier: UInt32 { unsafe record.pointee.identifier }
  var pipeline: BridgePipeline { @inline(__always) get { unsafe record.pointee.pipeline } }
  var tables: FlowTablesReader { @inline(__always) get { unsafe record.pointee.pipeline.tables } }
  var exactMatch: ExactMatchCache { @inline(__always) get { unsafe record.pointee.exactMatch } }
  var megaflows: MegaflowCache { @inline(__always) get { unsafe record.pointee.megaflows } }
  var events: EventRing { unsafe record.pointee.events }
  var portsVersion: UInt64 { @inline(__always) get { unsafe record.pointee.portsVersion } }

  /// The slot of a port; nil if there is none.
  func slot(of number: UInt32) -> UInt16? {
    let slot: UInt16
    if unsafe number < record.pointee.numberLimit {
      slot = unsafe record.pointee.slots[Int(number)]
    } else {
      slot = number == PortNumber.local.rawValue ? unsafe record.pointee.localSlot : FlowBridge.noSlot
    }
    return slot == FlowBridge.noSlot ? nil : slot
  }

  /// The number of the port in a slot; `PortNumber.any` if it is no port of this bridge.
  func number(of slot: UInt16) -> UInt32 {
    unsafe Int(slot) < record.pointee.slotLimit ? record.pointee.numbers[Int(slot)] : PortNumber.any.rawValue
  }

  /// The number of a port that takes part in flooding.
  func floodNumber(of slot: UInt16, withoutNoFlood: Bool) -> UInt32? {
    let number = number(of: slot)
    let flags = pipeline.port(PortNumber(number))
    guard flags.contains(.exists), !flags.contains(.isDown), !flags.contains(.noForward) else { return nil }
    return withoutNoFlood && flags.contains(.noFlood) ? nil : number
  }

  // MARK: what comes back

  /// Counts a hit of a rule, group or bucket.
  func count(_ slot: UInt32, packetCount: UInt64, byteCount: UInt64, now: UInt64) {
    tables.count(CounterSlot(index: slot), worker: 0, packetCount: packetCount, byteCount: byteCount, now: now)
  }

  /// What a meter says of one packet; without such a meter it passes.
  func judge(meter id: UInt32, byteCount: UInt32, now: UInt64) -> MeterVerdict {
    guard let meter = tables.meter(id, version: tables.version) else { return .pass }
    return tables.apply(meter, worker: 0, byteCount: UInt64(byteCount), now: now)
  }

  /// The bucket of a select group that a packet belongs to: each of those alive by its weight, always the same for a hash.
  /// - Returns: its place in the group; nil if none is alive.
  func chooseBucket(group id: UInt32, key: UnsafePointer<FlowKey>, hash: UInt32) -> UInt32? {
    guard let group = tables.group(id, version: tables.version) else { return nil }
    var hash = hash
    if let fields = group.hashFields {
      var sum = group.selectionParameter
      for word in 0..<FlowKey.wordCount where fields.words[word] != 0 {
        sum = unsafe (sum ^ key.pointee.words[word] & fields.words[word]) &* 0x9e37_79b9_7f4a_7c15
        sum ^= sum &>> 32
      }
      hash = UInt32(truncatingIfNeeded: (sum &* 0xd6e8_feb8_6659_fd93) &>> 32)
    }
    var total: UInt64 = 0
    for index in 0..<group.bucketCount {
      if let bucket = group.bucket(index), bucket.isAlive { total &+= UInt64(bucket.weight) }
    }
    guard total > 0 else { return nil }
    var place = (UInt64(hash) &* total) &>> 32
    for index in 0..<group.bucketCount {
      guard let bucket = group.bucket(index), bucket.isAlive else { continue }
      if place < UInt64(bucket.weight) { return UInt32(truncatingIfNeeded: index) }
      place &-= UInt64(bucket.weight)
    }
    return nil
  }

  /// Sends a rule to be learned to control code.
  func tellLearn(_ step: ActionStep, _ block: UnsafeBufferPointer<ActionStep>) {
    let stride = MemoryLayout<ActionStep>.stride
    guard events.begin(byteCount: 8 &+ stride &* (1 &+ block.count)) else { return }
    events.put(EventKind.learn)
    events.put(identifier)
    var head = step
    unsafe withUnsafeBytes(of: &head) { unsafe events.put($0) }
    // The size of a value may be smaller than its stride.
    putPadding(stride &- MemoryLayout<ActionStep>.size)
    for position in 0..<block.count {
      var part = unsafe block[position]
      unsafe withUnsafeBytes(of: &part) { unsafe events.put($0) }
      putPadding(stride &- MemoryLayout<ActionStep>.size)
    }
    events.end()
  }

  private func putPadding(_ count: Int) {
    var zero: UInt64 = 0
    unsafe withUnsafeBytes(of: &zero) { unsafe events.put(UnsafeRawBufferPointer(rebasing: $0[..<min(count, 8)])) }
  }

  /// Sends new timeouts of a rule to control code.
  func tellFinTimeout(_ step: ActionStep) {
    guard events.begin(byteCount: 16) else { return }
    events.put(EventKind.finTimeout)
    events.put(identifier)
    events.put(UInt32(truncatingIfNeeded: step.low))
    events.put(step.number)
    events.end()
  }
}
