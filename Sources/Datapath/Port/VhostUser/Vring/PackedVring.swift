// The packed virtqueue, device side: one ring of descriptors that driver and device write in turn. Virtio 1.2 §2.8.
//
// Thread and memory: see VringState.swift. Everything is given back in order and a burst at a time: the first descriptor's
// flags are written last, so that the driver sees all of the burst or nothing. The position before and after is noted in
// `record` around that one store, so that a switch that was killed in between finds out which of the two it was.

import COFlow

/// Bits of a packed descriptor's flags and of the event suppression structures.
enum PackedFlag {
  static var available: UInt16 { 1 << 7 }
  static var used: UInt16 { 1 << 15 }
  static var eventsEnabled: UInt16 { 0 }
  static var eventsDisabled: UInt16 { 1 }
  static var eventsAtDescriptor: UInt16 { 2 }
}

extension VringPosition {
  /// As in SET_VRING_BASE and in the record: slot, wrap counter in bit 15.
  var packedBits: UInt16 { next | (wrap ? 0x8000 : 0) }

  init(packedBits bits: UInt16) { self.init(next: bits & 0x7fff, wrap: bits & 0x8000 != 0) }

  /// Forward by `count` slots, at most `size`.
  @inline(__always)
  mutating func advance(_ count: UInt16, size: UInt32) {
    let end = UInt32(next) &+ UInt32(count)
    if end >= size {
      next = UInt16(truncatingIfNeeded: end &- size)
      wrap.toggle()
    } else {
      next = UInt16(truncatingIfNeeded: end)
    }
  }
}

extension Vring {
  static func packedDescriptorsByteCount(size: UInt32) -> UInt64 { UInt64(size) * 16 }
  static var packedEventByteCount: UInt64 { 4 }

  /// Whether flags say that the driver has made the descriptor available in the lap `wrap`.
  @inline(__always)
  static func isAvailable(_ flags: UInt16, wrap: Bool) -> Bool {
    let available = flags & PackedFlag.available != 0
    let used = flags & PackedFlag.used != 0
    return available == wrap && used != wrap
  }

  @inline(__always)
  var hasAvailablePacked: Bool {
    let cursor = unsafe state.pointee.cursor
    let flags = unsafe coflow_load_acquire_16(state.pointee.descriptors + Int(cursor.next) &* 16 + 14)
    return Vring.isAvailable(flags, wrap: cursor.wrap)
  }

  @inline(__always)
  func fetchPacked(_ wanted: Int, into batch: ChainBatch, _ direction: VringDirection) {
    guard unsafe state.pointee.fault == nil else { return }
    var left = wanted
    while left > 0, batch.hasRoom, gatherPacked(into: batch, direction) { left &-= 1 }
  }

  /// Copies the chain at the cursor to the end of `batch` and moves the cursor past it.
  @inline(__always)
  private func gatherPacked(into batch: ChainBatch, _ direction: VringDirection) -> Bool {
    let cursor = unsafe state.pointee.cursor
    let descriptor = unsafe state.pointee.descriptors + Int(cursor.next) &* 16
    // One acquire load of the flags makes the rest of the chain visible.
    let flags = unsafe coflow_load_acquire_16(descriptor + 14)
    guard Vring.isAvailable(flags, wrap: cursor.wrap) else { return false }
    let writes = direction == .deviceWrites
    let mode = flags & (DescriptorFlag.next | DescriptorFlag.indirect | DescriptorFlag.write)
    if mode & ~DescriptorFlag.write == 0 {
      let firstSegment = unsafe batch.counts.pointee.segments
      let address = unsafe coflow_load_64(descriptor)
      let rest = unsafe coflow_load_64(descriptor + 8)
      guard (mode != 0) == writes else { return failChain(.descriptorDirectionWrong, batch, firstSegment) }
      let byteCount = UInt32(truncatingIfNeeded: rest)
      let identifier = UInt16(truncatingIfNeeded: rest &>> 32)
      if byteCount > 0 {
        guard append(address, byteCount, to: batch, room: ChainBatch.chainSegmentLimit, writes: writes) > 0 else {
          return failUnreachable(batch, firstSegment)
        }
      }
      unsafe state.pointee.cursor.advance(1, size: state.pointee.size)
      return finish(identifier, slots: 1, firstSegment, UInt64(byteCount), batch)
    }
    return gatherLongPacked(flags, into: batch, writes: writes)
  }

  private func gatherLongPacked(_ headFlags: UInt16, into batch: ChainBatch, writes: Bool) -> Bool {
    let firstSegment = unsafe batch.counts.pointee.segments
    let size = unsafe state.pointee.size
    var cursor = unsafe state.pointee.cursor
    var flags = headFlags
    var total: UInt64 = 0
    var slots: UInt32 = 0
    var identifier: UInt16 = 0
    while true {
      let descriptor = unsafe state.pointee.descriptors + Int(cursor.next) &* 16
      let address = unsafe coflow_load_64(descriptor)
      let rest = unsafe coflow_load_64(descriptor + 8)
      let byteCount = UInt32(truncatingIfNeeded: rest)
      // The flags that were checked are the ones that count.
      if slots > 0 { flags = UInt16(truncatingIfNeeded: rest &>> 48) }
      identifier = UInt16(truncatingIfNeeded: rest &>> 32)
      if flags & DescriptorFlag.indirect != 0 {
        guard slots == 0, flags & DescriptorFlag.next == 0 else {
          return failChain(.nestedIndirect, batch, firstSegment)
        }
        guard addPackedTable(address, byteCount, &total, batch, firstSegment, writes) else { return false }
        slots = 1
        cursor.advance(1, size: size)
        break
      }
      guard addPacked(address, byteCount, flags, &total, batch, firstSegment, writes) else { return false }
      slots &+= 1
      cursor.advance(1, size: size)
      guard flags & DescriptorFlag.next != 0 else { break }
      guard slots < size else { return failChain(.chainTooLong, batch, firstSegment) }
    }
    unsafe state.pointee.cursor = cursor
    return finish(identifier, slots: Int(slots), firstSegment, total, batch)
  }

  /// The descriptors of an indirect table.
  func addPackedTable(
    _ address: UInt64, _ byteCount: UInt32, _ total: inout UInt64, _ batch: ChainBatch, _ firstSegment: Int,
    _ writes: Bool
  ) -> Bool {
    guard let table = unsafe indirectTable(address, byteCount, batch, firstSegment) else { return false }
    for entry in 0..<Int(byteCount / 16) {
      let inner = unsafe table + entry &* 16
      let innerAddress = unsafe coflow_load_64(inner)
      let rest = unsafe coflow_load_64(inner + 8)
      let flags = UInt16(truncatingIfNeeded: rest &>> 48)
      guard flags & DescriptorFlag.indirect == 0 else { return failChain(.nestedIndirect, batch, firstSegment) }
      guard addPacked(innerAddress, UInt32(truncatingIfNeeded: rest), flags, &total, batch, firstSegment, writes)
      else { return false }
    }
    return true
  }

  func addPacked(
    _ address: UInt64, _ byteCount: UInt32, _ flags: UInt16, _ total: inout UInt64, _ batch: ChainBatch,
    _ firstSegment: Int, _ writes: Bool
  ) -> Bool {
    guard (flags & DescriptorFlag.write != 0) == writes else {
      return failChain(.descriptorDirectionWrong, batch, firstSegment)
    }
    guard byteCount > 0 else { return true }
    let room = unsafe ChainBatch.chainSegmentLimit &- (batch.counts.pointee.segments &- firstSegment)
    guard room > 0 else { return failChain(.chainTooLong, batch, firstSegment) }
    guard append(address, byteCount, to: batch, room: room, writes: writes) > 0 else {
      return failUnreachable(batch, firstSegment)
    }
    total &+= UInt64(byteCount)
    return true
  }

  @inline(__always)
  func completePacked(_ batch: ChainBatch, count: Int) {
    let descriptors = unsafe state.pointee.descriptors
    let size = unsafe state.pointee.size
    let start = unsafe state.pointee.position
    var position = start
    for index in 0..<count {
      let chain = unsafe batch.chains + index
      let place = unsafe descriptors + Int(position.next) &* 16
      // Buffer length, then identifier; the address stays.
      unsafe coflow_store_32(place + 8, chain.pointee.writtenByteCount)
      unsafe coflow_store_16(place + 12, chain.pointee.identifier)
      if index > 0 { unsafe coflow_store_release_16(place + 14, Vring.usedFlags(chain, wrap: position.wrap)) }
      unsafe position.advance(chain.pointee.slotCount, size: size)
    }
    if let log = unsafe state.pointee.log { logWrites(batch, count: count, log) }
    let before = UInt64(start.packedBits)
    let after = UInt64(position.packedBits)
    if let record = unsafe state.pointee.record {
      unsafe coflow_store_release_64(record, VringRecord.valid | before | after &<< 16)
    }
    let hasInflight = unsafe state.pointee.inflight != nil
    if hasInflight { noteInflight(count, to: position) }
    unsafe coflow_store_release_16(
      descriptors + Int(start.next) &* 16 + 14, Vring.usedFlags(batch.chains, wrap: start.wrap))
    if hasInflight { settleInflight(count, position) }
    if let record = unsafe state.pointee.record {
      unsafe coflow_store_release_64(record, VringRecord.valid | after | after &<< 16)
    }
    unsafe state.pointee.position = position
    if let log = unsafe state.pointee.log {
      unsafe log.mark(state.pointee.descriptorsAddress, byteCount: Vring.packedDescriptorsByteCount(size: size))
      unsafe log.mark(state.pointee.deviceAreaAddress, byteCount: Vring.packedEventByteCount)
    }
  }

  @inline(__always)
  private static func usedFlags(_ chain: UnsafeMutablePointer<GuestChain>, wrap: Bool) -> UInt16 {
    let write = unsafe chain.pointee.writtenByteCount > 0 ? DescriptorFlag.write : 0
    return write | (wrap ? PackedFlag.available | PackedFlag.used : 0)
  }

  @inline(__always)
  func wantsCallPacked(completed count: Int) -> Bool {
    coflow_fence()
    let event = unsafe coflow_load_32(state.pointee.driverArea)
    switch UInt16(truncatingIfNeeded: event &>> 16) & 3 {
    case PackedFlag.eventsDisabled: return false
    case PackedFlag.eventsAtDescriptor:
      guard unsafe state.pointee.hasEventIndex else { return true }
      return isEventReached(VringPosition(packedBits: UInt16(truncatingIfNeeded: event)))
    default: return true
    }
  }

  /// Whether the ring has come past the driver's event since the last question.
  private func isEventReached(_ event: VringPosition) -> Bool {
    let size = unsafe state.pointee.size
    let new = unsafe state.pointee.position
    let old = unsafe state.pointee.signalledUsed.map { VringPosition(packedBits: $0) }
    unsafe state.pointee.signalledUsed = new.packedBits
    guard let old, UInt32(event.next) < size else { return true }
    // Distances on a circle of two laps.
    func place(_ position: VringPosition) -> UInt32 { UInt32(position.next) &+ (position.wrap ? 0 : size) }
    func distance(_ from: UInt32, _ to: UInt32) -> UInt32 { to >= from ? to - from : to &+ 2 &* size &- from }
    let moved = distance(place(old), place(new))
    return distance(place(old), place(event)) < moved
  }

  func suppressKicksPacked() { unsafe coflow_store_16(state.pointee.deviceArea + 2, PackedFlag.eventsDisabled) }

  func requestKicksPacked() {
    if unsafe state.pointee.hasEventIndex {
      unsafe coflow_store_16(state.pointee.deviceArea, state.pointee.cursor.packedBits)
      // The place is visible before the flag that names it.
      unsafe coflow_store_release_16(state.pointee.deviceArea + 2, PackedFlag.eventsAtDescriptor)
    } else {
      unsafe coflow_store_16(state.pointee.deviceArea + 2, PackedFlag.eventsEnabled)
    }
    coflow_fence()
  }
}
