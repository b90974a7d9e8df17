// The split virtqueue, device side: descriptor table, available ring, used ring. Virtio 1.2 §2.7.
//
// Thread and memory: see VringState.swift. What may fail is checked where it is read, once, into private memory; a chain
// that breaks a rule ends the queue, and the chains before it are still served.

import COFlow

/// Bits of a descriptor's flags, the same in both layouts.
enum DescriptorFlag {
  static var next: UInt16 { 1 }
  static var write: UInt16 { 2 }
  static var indirect: UInt16 { 4 }
}

extension Vring {
  static func splitDescriptorsByteCount(size: UInt32) -> UInt64 { UInt64(size) * 16 }
  static func splitDriverAreaByteCount(size: UInt32) -> UInt64 { 6 + UInt64(size) * 2 }
  static func splitDeviceAreaByteCount(size: UInt32) -> UInt64 { 6 + UInt64(size) * 8 }

  @inline(__always)
  var hasAvailableSplit: Bool {
    unsafe coflow_load_acquire_16(state.pointee.driverArea + 2) != state.pointee.cursor.next
  }

  @inline(__always)
  func fetchSplit(_ wanted: Int, into batch: ChainBatch, _ direction: VringDirection) {
    guard unsafe state.pointee.fault == nil else { return }
    let driverArea = unsafe state.pointee.driverArea
    let size = unsafe state.pointee.size
    let mask = size &- 1
    var next = unsafe state.pointee.cursor.next
    let ready = unsafe coflow_load_acquire_16(driverArea + 2) &- next
    guard UInt32(ready) <= size else {
      fail(.availableIndexJumped)
      return
    }
    var left = min(Int(ready), wanted)
    while left > 0, batch.hasRoom {
      let slot = UInt32(next) & mask
      let head = unsafe coflow_load_16(driverArea + 4 + Int(slot &* 2))
      guard UInt32(head) < size else {
        fail(.headOutOfRange)
        break
      }
      guard gatherSplit(head, into: batch, direction) else { break }
      next &+= 1
      left &-= 1
    }
    unsafe state.pointee.cursor.next = next
  }

  /// Copies one chain to the end of `batch`.
  @inline(__always)
  func gatherSplit(_ head: UInt16, into batch: ChainBatch, _ direction: VringDirection) -> Bool {
    let firstSegment = unsafe batch.counts.pointee.segments
    let descriptor = unsafe state.pointee.descriptors + Int(head) &* 16
    let address = unsafe coflow_load_64(descriptor)
    let rest = unsafe coflow_load_64(descriptor + 8)
    let flags = UInt16(truncatingIfNeeded: rest &>> 32)
    let writes = direction == .deviceWrites
    // Most chains are one buffer.
    if flags & ~DescriptorFlag.write == 0 {
      guard flags & DescriptorFlag.write == (writes ? DescriptorFlag.write : 0) else {
        fail(.descriptorDirectionWrong)
        return false
      }
      let byteCount = UInt32(truncatingIfNeeded: rest)
      let added = append(address, byteCount, to: batch, room: ChainBatch.chainSegmentLimit, writes: writes)
      guard added > 0 else {
        if byteCount == 0 { return finish(head, slots: 1, firstSegment, 0, batch) }
        return failUnreachable(batch, firstSegment)
      }
      return finish(head, slots: 1, firstSegment, UInt64(byteCount), batch)
    }
    return gatherLongSplit(head, address, rest, into: batch, writes: writes)
  }

  /// A chain of several descriptors, or an indirect one.
  private func gatherLongSplit(
    _ head: UInt16, _ headAddress: UInt64, _ headRest: UInt64, into batch: ChainBatch, writes: Bool
  ) -> Bool {
    let firstSegment = unsafe batch.counts.pointee.segments
    var table = unsafe state.pointee.descriptors
    var tableSize = unsafe state.pointee.size
    var isIndirect = false
    var address = headAddress
    var rest = headRest
    var seen: UInt32 = 0
    var total: UInt64 = 0
    while true {
      let flags = UInt16(truncatingIfNeeded: rest &>> 32)
      let byteCount = UInt32(truncatingIfNeeded: rest)
      if flags & DescriptorFlag.indirect != 0 {
        guard !isIndirect, flags & DescriptorFlag.next == 0 else {
          return failChain(.nestedIndirect, batch, firstSegment)
        }
        guard let found = unsafe indirectTable(address, byteCount, batch, firstSegment) else { return false }
        unsafe table = found
        tableSize = byteCount / 16
        isIndirect = true
        seen = 0
        unsafe address = coflow_load_64(table)
        unsafe rest = coflow_load_64(table + 8)
        continue
      }
      guard (flags & DescriptorFlag.write != 0) == writes else {
        return failChain(.descriptorDirectionWrong, batch, firstSegment)
      }
      if byteCount > 0 {
        let room = unsafe ChainBatch.chainSegmentLimit &- (batch.counts.pointee.segments &- firstSegment)
        guard room > 0 else { return failChain(.chainTooLong, batch, firstSegment) }
        guard append(address, byteCount, to: batch, room: room, writes: writes) > 0 else {
          return failUnreachable(batch, firstSegment)
        }
        total &+= UInt64(byteCount)
      }
      seen &+= 1
      guard flags & DescriptorFlag.next != 0 else { break }
      // A loop never ends otherwise.
      guard seen < tableSize else { return failChain(.chainTooLong, batch, firstSegment) }
      let next = UInt32(truncatingIfNeeded: rest &>> 48)
      guard next < tableSize else { return failChain(.nextOutOfRange, batch, firstSegment) }
      let descriptor = unsafe table + Int(next) &* 16
      unsafe address = coflow_load_64(descriptor)
      unsafe rest = coflow_load_64(descriptor + 8)
    }
    return finish(head, slots: 1, firstSegment, total, batch)
  }

  /// The table that an indirect descriptor points to, all of it in one place; nil with the fault noted.
  func indirectTable(
    _ address: UInt64, _ byteCount: UInt32, _ batch: ChainBatch, _ firstSegment: Int
  ) -> UnsafeMutableRawPointer? {
    guard unsafe state.pointee.hasIndirect else {
      _ = failChain(.indirectNotNegotiated, batch, firstSegment)
      return nil
    }
    guard byteCount > 0, byteCount & 15 == 0, unsafe byteCount / 16 <= max(state.pointee.size, 256) else {
      _ = failChain(.indirectSizeWrong, batch, firstSegment)
      return nil
    }
    guard let table = unsafe state.pointee.addresses.translate(address, byteCount: UInt64(byteCount), writes: false)
    else {
      if unsafe state.pointee.addresses.iotlb?.isMissing == true {
        unsafe batch.counts.pointee.segments = firstSegment
      } else {
        _ = failChain(.indirectUnreachable, batch, firstSegment)
      }
      return nil
    }
    // Virtio asks for an alignment of 16 in the ring only; a load of 8 bytes works at any address on what we run on.
    return unsafe table
  }

  /// Ends a chain that was put into `batch`.
  @inline(__always)
  func finish(_ identifier: UInt16, slots: Int, _ firstSegment: Int, _ total: UInt64, _ batch: ChainBatch) -> Bool {
    let chain = GuestChain(
      identifier: identifier, slotCount: UInt16(truncatingIfNeeded: slots),
      firstSegment: UInt32(truncatingIfNeeded: firstSegment),
      segmentCount: unsafe UInt32(truncatingIfNeeded: batch.counts.pointee.segments &- firstSegment),
      byteCount: UInt32(truncatingIfNeeded: min(total, UInt64(UInt32.max))))
    unsafe (batch.chains + batch.counts.pointee.chains).initialize(to: chain)
    unsafe batch.counts.pointee.chains &+= 1
    return true
  }

  /// Takes a broken chain out of `batch` again.
  @inline(never)
  func failChain(_ fault: VhostUserFault, _ batch: ChainBatch, _ firstSegment: Int) -> Bool {
    fail(fault)
    unsafe batch.counts.pointee.segments = firstSegment
    return false
  }

  /// A buffer has no translation: a broken rule, or with a virtual IOMMU one that is asked for.
  @inline(never)
  func failUnreachable(_ batch: ChainBatch, _ firstSegment: Int) -> Bool {
    unsafe batch.counts.pointee.segments = firstSegment
    if unsafe state.pointee.addresses.iotlb?.isMissing == true { return false }
    fail(.bufferOutsideMemory)
    return false
  }

  @inline(__always)
  func completeSplit(_ batch: ChainBatch, count: Int) {
    let used = unsafe state.pointee.deviceArea
    let mask = unsafe state.pointee.size &- 1
    var next = unsafe state.pointee.position.next
    for position in 0..<count {
      let chain = unsafe batch.chains + position
      let slot = UInt32(next) & mask
      let element = unsafe UInt64(chain.pointee.identifier) | UInt64(chain.pointee.writtenByteCount) &<< 32
      let place = unsafe used + 4 + Int(slot &* 8)
      // 4-byte alignment is all that virtio promises.
      unsafe coflow_store_32(place, UInt32(truncatingIfNeeded: element))
      unsafe coflow_store_32(place + 4, UInt32(truncatingIfNeeded: element &>> 32))
      next &+= 1
    }
    if let log = unsafe state.pointee.log { logWrites(batch, count: count, log) }
    let hasInflight = unsafe state.pointee.inflight != nil
    if hasInflight { noteInflight(count, to: VringPosition(next: next)) }
    unsafe coflow_store_release_16(used + 2, next)
    if hasInflight { settleInflight(count, VringPosition(next: next)) }
    unsafe state.pointee.position.next = next
    if let log = unsafe state.pointee.log {
      unsafe log.mark(
        state.pointee.deviceAreaAddress, byteCount: Vring.splitDeviceAreaByteCount(size: state.pointee.size))
    }
  }

  @inline(__always)
  func wantsCallSplit() -> Bool {
    // The index is visible before the guest's wish is read.
    coflow_fence()
    let driverArea = unsafe state.pointee.driverArea
    guard unsafe state.pointee.hasEventIndex else { return unsafe coflow_load_16(driverArea) & 1 == 0 }
    let new = unsafe state.pointee.position.next
    let old = unsafe state.pointee.signalledUsed
    unsafe state.pointee.signalledUsed = new
    guard let old else { return true }
    let event = unsafe coflow_load_16(driverArea + 4 + Int(state.pointee.size) &* 2)
    return new &- event &- 1 < new &- old
  }

  func suppressKicksSplit() {
    // With event index the driver looks at `avail_event` alone, which stays where it was.
    if unsafe !state.pointee.hasEventIndex { unsafe coflow_store_16(state.pointee.deviceArea, 1) }
  }

  func requestKicksSplit() {
    if unsafe state.pointee.hasEventIndex {
      unsafe coflow_store_16(
        state.pointee.deviceArea + 4 + Int(state.pointee.size) &* 8, state.pointee.cursor.next)
    } else {
      unsafe coflow_store_16(state.pointee.deviceArea, 0)
    }
    coflow_fence()
  }
}
