// Makes a ring of what the front-end said of it, and finds out where it stands: by the front-end's word, by its record of buffers
// in flight, or by our own record, which outlives the process (Docs/decisions/005-where-a-packed-ring-stood.md). Thread: the
// session's. Standard: virtio 1.2 §2.7, §2.8.

import COFlow
import VSwitchCore

extension VhostUserSession {
  /// - Returns: nil if a virtual IOMMU has not told yet where the ring is.
  mutating func makeVring(
    _ index: Int, _ addresses: VringAddresses, _ memory: GuestMemory
  ) throws(VhostUserFault) -> Vring? {
    let size = rings[index].size
    let isPacked = features.contains(.packedRing)
    guard isPacked || size & (size - 1) == 0 else { throw .ringSizeWrong }
    guard let found = try locate(addresses, memory, size: size, isPacked: isPacked) else { return nil }
    var state = unsafe VringState(
      descriptors: found.descriptors, driverArea: found.driverArea, deviceArea: found.deviceArea, size: size,
      addresses: GuestAddressSpace(memory: memory.view, iotlb: iotlb))
    state.isPacked = isPacked
    state.hasIndirect = features.contains(.indirectDescriptors)
    state.hasEventIndex = features.contains(.eventIndex)
    state.descriptorsAddress = found.descriptorsAddress
    state.deviceAreaAddress = found.deviceAreaAddress
    if features.contains(.logAll) { state.log = log?.view }
    let place = unsafe RingPlace(
      descriptors: found.descriptors, deviceArea: found.deviceArea, address: found.descriptorsAddress, size: size,
      isPacked: isPacked)
    let (position, chains) = try standing(index, place)
    state.position = position
    state.inflight = inflight?.record(queue: index, isPacked: isPacked)
    if isPacked, let record {
      record.begin(
        queue: index, ringAddress: place.address, size: size, base: rings[index].toldBase, position: position)
      unsafe state.record = record.word(queue: index)
    }
    let vring = Vring(state)
    vring.resubmit(chains)
    return vring
  }

  /// Where a ring's parts are.
  /// - Returns: nil if a virtual IOMMU has not told yet; what is missing is noted.
  mutating func locate(
    _ addresses: VringAddresses, _ memory: GuestMemory, size: UInt32, isPacked: Bool
  ) throws(VhostUserFault) -> VringPlace? {
    var found: [(host: UnsafeMutableRawPointer, guestAddress: UInt64)] = unsafe []
    var isComplete = true
    for part in VringPart.all(addresses, size: size, isPacked: isPacked) {
      guard part.address % part.alignment == 0 else { throw .ringMisaligned }
      if let iotlb {
        switch iotlb.find(part.address, wanted: part.byteCount, writes: true) {
        case .unknown(let miss):
          if ringMisses[miss] == nil { ringMisses[miss] = false }
          isComplete = false
        case .found(let host, let known):
          guard known >= part.byteCount, let guestAddress = iotlb.guestAddress(part.address) else {
            throw .ringOutsideMemory
          }
          unsafe found.append((host, guestAddress))
        }
      } else {
        guard let guestAddress = memory.guestAddress(user: part.address),
          let host = unsafe memory.view.translate(guestAddress, byteCount: part.byteCount),
          UInt64(UInt(bitPattern: host)) % min(part.alignment, 8) == 0
        else { throw .ringOutsideMemory }
        unsafe found.append((host, guestAddress))
      }
    }
    guard isComplete else { return nil }
    return unsafe VringPlace(
      descriptors: found[0].host, driverArea: found[1].host, deviceArea: found[2].host,
      descriptorsAddress: found[0].guestAddress, deviceAreaAddress: found[2].guestAddress)
  }

  /// Whether some part of a ring lies in a range of I/O virtual addresses.
  /// - Parameter byteCount: 0 stands for all that follow.
  func isRing(_ index: Int, in address: UInt64, byteCount: UInt64) -> Bool {
    guard let addresses = rings[index].addresses else { return false }
    // Whole pages are taken away.
    let pageMask = UInt64(1) << IOTLB.pageByteCountLog2 - 1
    let first = address & ~pageMask
    let (sum, overflow) = address.addingReportingOverflow(byteCount &- 1)
    let last = (overflow || byteCount == 0 ? UInt64.max : sum) | pageMask
    let parts = VringPart.all(addresses, size: rings[index].size, isPacked: features.contains(.packedRing))
    return parts.contains { part in
      let (end, overflow) = part.address.addingReportingOverflow(part.byteCount - 1)
      return part.address <= last && (overflow ? UInt64.max : end) >= first
    }
  }

  /// Where a ring stands, and what was taken from it and not given back.
  private func standing(
    _ index: Int, _ place: RingPlace
  ) throws(VhostUserFault) -> (position: VringPosition, chains: [Resubmission]) {
    guard let record = inflight?.record(queue: index, isPacked: place.isPacked) else {
      return (try position(index, place), [])
    }
    guard record.capacity >= Int(place.size) else { throw .inflightRecordWrong }
    let usedIndex = unsafe coflow_load_acquire_16(place.deviceArea + 2)
    if let found = unsafe try record.recover(
      size: place.size, descriptors: place.descriptors, usedIndex: place.isPacked ? 0 : usedIndex)
    {
      return found
    }
    let position = try position(index, place)
    record.begin(size: place.size, position)
    return (position, [])
  }

  private func position(_ index: Int, _ place: RingPlace) throws(VhostUserFault) -> VringPosition {
    let base = rings[index].base
    guard place.isPacked else {
      guard base <= 0xffff else { throw .ringPositionWrong }
      return VringPosition(next: UInt16(base))
    }
    // Low half: next to take, high half: next to give back, which is where it stands. DPDK leaves the high half out.
    let high = UInt16(base >> 16)
    let position = VringPosition(packedBits: high == 0 ? UInt16(base & 0xffff) : high)
    guard UInt32(position.next) < place.size else { throw .ringPositionWrong }
    // After a lost connection QEMU says again what it said before; only for a new ring that is so.
    guard rings[index].isBaseTold,
      unsafe VringRecord.isRingUsed(descriptors: place.descriptors, size: place.size)
    else { return position }
    if let recovered = unsafe record?.recover(
      queue: index, ringAddress: place.address, size: place.size, base: base, descriptors: place.descriptors)
    {
      return recovered
    }
    guard position == VringPosition() else { return position }
    // It may really stand there (a guest that came from another host); if its first descriptor was given back in this
    // lap it does not, and serving it again would hand out old buffers.
    let flags = unsafe coflow_load_16(place.descriptors + 14)
    guard flags & PackedFlag.used == 0 else { throw .ringPositionUnknown }
    return position
  }
}

/// A ring in our address space.
@safe private struct RingPlace {
  var descriptors: UnsafeMutableRawPointer
  var deviceArea: UnsafeMutableRawPointer
  /// Guest-physical address of the descriptors.
  var address: UInt64
  var size: UInt32
  var isPacked: Bool
}

/// One of a ring's three parts, in the front-end's addresses.
private struct VringPart {
  var address: UInt64
  var byteCount: UInt64
  var alignment: UInt64

  /// Descriptors, driver area, device area.
  static func all(_ addresses: VringAddresses, size: UInt32, isPacked: Bool) -> [VringPart] {
    if isPacked {
      let event = Vring.packedEventByteCount
      return [
        VringPart(
          address: addresses.descriptors, byteCount: Vring.packedDescriptorsByteCount(size: size), alignment: 16),
        VringPart(address: addresses.driverArea, byteCount: event, alignment: 4),
        VringPart(address: addresses.deviceArea, byteCount: event, alignment: 4),
      ]
    }
    return [
      VringPart(address: addresses.descriptors, byteCount: Vring.splitDescriptorsByteCount(size: size), alignment: 16),
      VringPart(address: addresses.driverArea, byteCount: Vring.splitDriverAreaByteCount(size: size), alignment: 2),
      VringPart(address: addresses.deviceArea, byteCount: Vring.splitDeviceAreaByteCount(size: size), alignment: 4),
    ]
  }
}
