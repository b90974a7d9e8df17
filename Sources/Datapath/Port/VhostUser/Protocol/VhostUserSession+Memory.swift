// What the messages about a guest's memory do: its regions, the log of pages that the switch changed, the translations of a virtual
// IOMMU. Thread: the session's. Standard: QEMU docs/interop/vhost-user.rst, "Migration", "IOMMU support".

extension VhostUserSession {
  mutating func setMemoryTable(_ message: VhostUserMessage) throws(VhostUserFault) {
    var regions: [GuestRegion] = []
    for (position, description) in try message.memoryTable().enumerated() {
      regions.append(try GuestRegion(description, file: message.descriptors[position]))
    }
    try replaceMemory(regions)
  }

  mutating func addRegion(_ message: VhostUserMessage) throws(VhostUserFault) {
    guard let file = message.descriptors.first else { throw .messageDescriptorCountWrong }
    let new = message.memoryRegion
    var regions = memory?.regions ?? []
    // Every queue pair of QEMU's sends the same regions again.
    if regions.contains(where: { $0.description == new }) { return }
    regions.append(try GuestRegion(new, file: file))
    try replaceMemory(regions)
  }

  mutating func removeRegion(_ description: GuestRegionDescription) throws(VhostUserFault) {
    var regions = memory?.regions ?? []
    let before = regions.count
    regions.removeAll {
      $0.description.guestAddress == description.guestAddress && $0.description.userAddress == description.userAddress
        && $0.description.byteCount == description.byteCount
    }
    guard regions.count == before - 1 else { throw .regionUnknown }
    try replaceMemory(regions)
  }

  /// Begins or goes on with the log of changed pages.
  mutating func setLog(_ message: VhostUserMessage) throws(VhostUserFault) {
    let (byteCount, offset) = message.logBase
    guard let file = message.descriptors.first else { throw .messageDescriptorCountWrong }
    let log = try DirtyLog(file: file, byteCount: byteCount, offset: offset)
    rebuild { $0.log = log }
  }

  private mutating func replaceMemory(_ regions: [GuestRegion]) throws(VhostUserFault) {
    let memory = try GuestMemory(regions)
    rebuild { session in
      if let iotlb = session.iotlb { iotlb.removeAll() }
      session.memory = memory
    }
  }

  mutating func updateIOTLB(_ message: VhostUserMessage) throws(VhostUserFault) {
    guard let entry = message.iotlb, let iotlb, let memory else { throw .noTranslation }
    switch entry.kind {
    case .update:
      let (_, overflow) = entry.userAddress.addingReportingOverflow(entry.byteCount)
      guard !overflow, let guestAddress = memory.guestAddress(user: entry.userAddress) else {
        throw .bufferOutsideMemory
      }
      let view = memory.view
      device.pause {
        iotlb.insert(
          address: entry.address, byteCount: entry.byteCount, guestAddress: guestAddress,
          permission: IOTLB.Permission(rawValue: entry.permission), view)
      }
      // Rings whose own pages were missing: what they lack still is noted again, and asked for if it was not yet.
      ringMisses = ringMisses.filter { miss, _ in
        miss.address < entry.address || miss.address - entry.address >= entry.byteCount
      }
      for index in rings.indices where rings[index].fault == nil {
        if rings[index].isSuspended { resume(index) } else if rings[index].running == nil { start(index) }
      }
    case .invalidate:
      // Answered after this: the worker has run it, and so is done with all that it had translated before.
      ringMisses = [:]
      let suspended = rings.indices.filter {
        rings[$0].running != nil && isRing($0, in: entry.address, byteCount: entry.byteCount)
      }
      let queues = suspended.compactMap { rings[$0].running }
      device.pause {
        iotlb.remove(address: entry.address, byteCount: entry.byteCount)
        for queue in queues { queue.vring.suspend() }
      }
      // Their pages are asked for at once: packets wait for them.
      for index in suspended { rings[index].isSuspended = true }
      for index in rings.indices where rings[index].isSuspended { resume(index) }
    case .miss, .accessFailure: break
    }
  }

  /// Lets a suspended ring go on if all of its pages are known; notes those that are not.
  private mutating func resume(_ index: Int) {
    guard let queue = rings[index].running, let addresses = rings[index].addresses, let memory else { return }
    do throws(VhostUserFault) {
      let isPacked = features.contains(.packedRing)
      guard let place = try locate(addresses, memory, size: rings[index].size, isPacked: isPacked) else { return }
      rings[index].isSuspended = false
      device.pause { queue.vring.move(place) }
    } catch {
      stop(index)
      rings[index].fault = error
    }
  }
}
