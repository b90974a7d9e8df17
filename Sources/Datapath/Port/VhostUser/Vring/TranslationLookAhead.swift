// With a virtual IOMMU: finds out which translations the chains in a ring lack, when the first of them could not be taken, so that
// the front-end is asked for all at once. What is read here is only asked for: chains are read again, and checked, when they are taken.
//
// Thread: the worker. Invariant: bounded by the ring's size, by `chainLimit` descriptors of a chain and by the room for questions.

import COFlow

extension Vring {
  /// Descriptors of one chain that are looked at.
  private static var chainLimit: Int { 64 }

  /// Notes what is unknown of the buffers and tables of up to `wanted` chains that could not be fetched: of no more, as what is asked
  /// for too early has often been taken away again before it is used.
  @inline(never)
  func noteMisses(_ wanted: Int) {
    guard let iotlb = unsafe state.pointee.addresses.iotlb, iotlb.isMissing, unsafe state.pointee.fault == nil else {
      return
    }
    if unsafe state.pointee.isPacked { noteMissesPacked(iotlb, wanted) } else { noteMissesSplit(iotlb, wanted) }
  }

  private func noteMissesSplit(_ iotlb: IOTLB, _ wanted: Int) {
    let size = unsafe state.pointee.size
    let driverArea = unsafe state.pointee.driverArea
    var next = unsafe state.pointee.cursor.next
    let ready = unsafe min(UInt32(coflow_load_acquire_16(driverArea + 2) &- next), size)
    for _ in 0..<min(Int(ready), max(wanted, 0)) where iotlb.hasQuestionRoom {
      let head = unsafe coflow_load_16(driverArea + 4 + Int(UInt32(next) & (size &- 1)) &* 2)
      unsafe noteChain(iotlb, state.pointee.descriptors, size, from: UInt32(head))
      next &+= 1
    }
  }

  /// A chain of a table of descriptors in the split ring's form.
  private func noteChain(_ iotlb: IOTLB, _ table: UnsafeMutableRawPointer, _ size: UInt32, from head: UInt32) {
    var index = head
    for _ in 0..<Vring.chainLimit {
      guard index < size else { return }
      let descriptor = unsafe table + Int(index) &* 16
      let address = unsafe coflow_load_64(descriptor)
      let rest = unsafe coflow_load_64(descriptor + 8)
      let flags = UInt16(truncatingIfNeeded: rest &>> 32)
      let byteCount = UInt32(truncatingIfNeeded: rest)
      if flags & DescriptorFlag.indirect != 0 {
        // One table in another is broken; it is told when the chain is taken.
        guard unsafe table == state.pointee.descriptors, let inner = unsafe knownTable(iotlb, address, byteCount) else {
          return
        }
        return unsafe noteChain(iotlb, inner, byteCount / 16, from: 0)
      }
      iotlb.noteAll(address, byteCount: UInt64(byteCount), writes: flags & DescriptorFlag.write != 0)
      guard flags & DescriptorFlag.next != 0 else { return }
      index = UInt32(truncatingIfNeeded: rest &>> 48)
    }
  }

  private func noteMissesPacked(_ iotlb: IOTLB, _ wanted: Int) {
    let size = unsafe state.pointee.size
    var cursor = unsafe state.pointee.cursor
    for _ in 0..<min(Int(size), max(wanted, 0)) where iotlb.hasQuestionRoom {
      let descriptor = unsafe state.pointee.descriptors + Int(cursor.next) &* 16
      guard unsafe Vring.isAvailable(coflow_load_acquire_16(descriptor + 14), wrap: cursor.wrap) else { return }
      let address = unsafe coflow_load_64(descriptor)
      let rest = unsafe coflow_load_64(descriptor + 8)
      let flags = UInt16(truncatingIfNeeded: rest &>> 48)
      let byteCount = UInt32(truncatingIfNeeded: rest)
      if flags & DescriptorFlag.indirect == 0 {
        iotlb.noteAll(address, byteCount: UInt64(byteCount), writes: flags & DescriptorFlag.write != 0)
      } else if let inner = unsafe knownTable(iotlb, address, byteCount) {
        for entry in 0..<min(Int(byteCount / 16), Vring.chainLimit) {
          let part = unsafe coflow_load_64(inner + entry &* 16 + 8)
          let writes = UInt16(truncatingIfNeeded: part &>> 48) & DescriptorFlag.write != 0
          unsafe iotlb.noteAll(
            coflow_load_64(inner + entry &* 16), byteCount: UInt64(UInt32(truncatingIfNeeded: part)), writes: writes)
        }
      }
      cursor.advance(1, size: size)
    }
  }

  /// An indirect table, if all of it is known; else it is noted.
  private func knownTable(_ iotlb: IOTLB, _ address: UInt64, _ byteCount: UInt32) -> UnsafeMutableRawPointer? {
    guard byteCount > 0, byteCount <= 65536 else { return nil }
    if case .found(let host, let known) = iotlb.find(address, wanted: UInt64(byteCount), writes: false),
      known >= UInt64(byteCount)
    {
      return unsafe host
    }
    iotlb.noteAll(address, byteCount: UInt64(byteCount), writes: false)
    return nil
  }
}
