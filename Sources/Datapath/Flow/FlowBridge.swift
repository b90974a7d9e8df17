// What a worker knows of a bridge that has flow tables: the tables, the ports by number, the caches. Made by control code,
// published with the forwarding tables. Thread: read by workers. Memory: `FlowBridgeTables` owns all of it.

import VSwitchCore

/// A bridge's flow tables as a worker sees them. Plain data: copying it retains nothing.
@safe struct FlowBridge: @unchecked Sendable {
  /// Index of the bridge in the forwarding tables.
  let index: UInt16
  /// Number of the bridge in records for control code; never given to another.
  let identifier: UInt32
  let tables: FlowTablesReader
  let exactMatch: ExactMatchCache
  let megaflows: MegaflowCache
  let events: EventRing
  /// Slots and flags by port number, for numbers below `numberLimit`; the bridge's own port apart.
  private let slots: UnsafePointer<UInt16>
  private let ports: UnsafePointer<PipelinePort>
  private let numberLimit: UInt32
  private let localSlot: UInt16
  private let localPort: PipelinePort
  /// Port numbers by slot.
  private let numbers: UnsafePointer<UInt32>
  private let slotLimit: Int
  /// Raised when a port comes, goes or changes.
  let portsVersion: UInt64
  let fragmentHandling: FragmentHandling
  let missBehaviour: MissBehaviour

  static var noSlot: UInt16 { .max }

  init(
    index: UInt16, identifier: UInt32, tables: FlowTablesReader, exactMatch: ExactMatchCache, megaflows: MegaflowCache,
    events: EventRing, ports: FlowPorts, portsVersion: UInt64, fragmentHandling: FragmentHandling,
    missBehaviour: MissBehaviour
  ) {
    self.index = index
    self.identifier = identifier
    self.tables = tables
    self.exactMatch = exactMatch
    self.megaflows = megaflows
    self.events = events
    unsafe slots = UnsafePointer(ports.slots)
    unsafe self.ports = UnsafePointer(ports.flags)
    numberLimit = ports.numberLimit
    localSlot = ports.localSlot
    localPort = ports.localPort
    unsafe numbers = UnsafePointer(ports.numbers)
    slotLimit = ports.slotLimit
    self.portsVersion = portsVersion
    self.fragmentHandling = fragmentHandling
    self.missBehaviour = missBehaviour
  }

  /// The slot of a port; nil if there is none.
  func slot(of number: UInt32) -> UInt16? {
    let slot: UInt16
    if number < numberLimit {
      slot = unsafe slots[Int(number)]
    } else {
      slot = number == PortNumber.local.rawValue ? localSlot : FlowBridge.noSlot
    }
    return slot == FlowBridge.noSlot ? nil : slot
  }

  /// The number of the port in a slot; `PortNumber.any` if it is no port of this bridge.
  func number(of slot: UInt16) -> UInt32 {
    Int(slot) < slotLimit ? unsafe numbers[Int(slot)] : PortNumber.any.rawValue
  }

  /// The number of a port that takes part in flooding.
  func floodNumber(of slot: UInt16, withoutNoFlood: Bool) -> UInt32? {
    let number = number(of: slot)
    let flags = port(PortNumber(number))
    guard flags.contains(.exists), !flags.contains(.isDown), !flags.contains(.noForward) else { return nil }
    return withoutNoFlood && flags.contains(.noFlood) ? nil : number
  }

  func port(_ number: PortNumber) -> PipelinePort {
    if number.rawValue < numberLimit { return unsafe ports[Int(number.rawValue)] }
    return number == .local ? localPort : []
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

/// Ports of a bridge by number and by slot, as `FlowBridge` reads them. Made by control code, never changed; lives as long as
/// the forwarding tables that it was made for. Memory: its own; freed with it.
@safe final class FlowPorts {
  let slots: UnsafeMutablePointer<UInt16>
  let flags: UnsafeMutablePointer<PipelinePort>
  let numbers: UnsafeMutablePointer<UInt32>
  let numberLimit: UInt32
  let slotLimit: Int
  let localSlot: UInt16
  let localPort: PipelinePort

  init(_ ports: [(number: PortNumber, slot: UInt16, flags: PipelinePort)]) {
    numberLimit = (ports.lazy.map(\.number).filter { $0 != .local }.map(\.rawValue).max() ?? 0) + 1
    slotLimit = Int(ports.map(\.slot).max() ?? 0) + 1
    unsafe slots = .allocate(capacity: Int(numberLimit))
    unsafe slots.initialize(repeating: FlowBridge.noSlot, count: Int(numberLimit))
    unsafe flags = .allocate(capacity: Int(numberLimit))
    unsafe flags.initialize(repeating: [], count: Int(numberLimit))
    unsafe numbers = .allocate(capacity: slotLimit)
    unsafe numbers.initialize(repeating: PortNumber.any.rawValue, count: slotLimit)
    let local = ports.first { $0.number == .local }
    localSlot = local?.slot ?? FlowBridge.noSlot
    localPort = local?.flags ?? []
    for port in ports {
      unsafe numbers[Int(port.slot)] = port.number.rawValue
      if port.number != .local {
        unsafe slots[Int(port.number.rawValue)] = port.slot
        unsafe flags[Int(port.number.rawValue)] = port.flags
      }
    }
  }

  deinit {
    unsafe slots.deallocate()
    unsafe flags.deallocate()
    unsafe numbers.deallocate()
  }
}
