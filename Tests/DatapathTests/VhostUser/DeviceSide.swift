// A device's side of a driver queue, made without a front-end: what the tests of rings share.

import TestSupport
import VirtioDriver

@testable import Datapath

/// Memory and one queue, from both sides.
final class QueuePair {
  let ram: GuestRAM
  let memory: GuestMemory
  let driver: any DriverQueue
  let vring: Vring
  let batch = ChainBatch()
  let isPacked: Bool

  init(
    size: Int, isPacked: Bool, ramByteCount: Int = 4 << 20, eventIndex: Bool = false, firstIndex: UInt16 = 0,
    hasIndirect: Bool = true
  ) throws {
    ram = GuestRAM(byteCount: ramByteCount)
    self.isPacked = isPacked
    memory = try GuestMemory([QueuePair.region(ram)])
    driver =
      isPacked ? PackedDriverQueue(ram, size: size) : SplitDriverQueue(ram, size: size, first: firstIndex)
    vring = QueuePair.device(
      driver, memory, isPacked: isPacked, position: VringPosition(next: isPacked ? 0 : firstIndex),
      eventIndex: eventIndex, hasIndirect: hasIndirect)
  }

  static func region(_ ram: GuestRAM) throws -> GuestRegion {
    try GuestRegion(
      GuestRegionDescription(
        guestAddress: ram.base, byteCount: UInt64(ram.byteCount), userAddress: ram.userBase, fileOffset: 0),
      file: OwnedDescriptor(duplicate(ram.descriptor)))
  }

  /// The device's side of a driver's queue.
  static func device(
    _ driver: any DriverQueue, _ memory: GuestMemory, isPacked: Bool, position: VringPosition,
    eventIndex: Bool = false, hasIndirect: Bool = true
  ) -> Vring {
    let size = UInt32(driver.size)
    let counts =
      isPacked
      ? [Vring.packedDescriptorsByteCount(size: size), 4, 4]
      : [
        Vring.splitDescriptorsByteCount(size: size), Vring.splitDriverAreaByteCount(size: size),
        Vring.splitDeviceAreaByteCount(size: size),
      ]
    let addresses = [driver.descriptors, driver.driverArea, driver.deviceArea]
    var parts: [UnsafeMutableRawPointer] = unsafe []
    for (address, count) in zip(addresses, counts) {
      guard let host = unsafe memory.view.translate(address, byteCount: count) else { continue }
      unsafe parts.append(host)
    }
    var state = unsafe VringState(
      descriptors: parts[0], driverArea: parts[1], deviceArea: parts[2], size: size,
      addresses: GuestAddressSpace(memory: memory.view))
    state.isPacked = isPacked
    state.hasEventIndex = eventIndex
    state.hasIndirect = hasIndirect
    state.position = position
    return Vring(state)
  }

  deinit {
    batch.deallocate()
    vring.deallocate()
  }

  /// The bytes of a fetched chain.
  func bytes(_ chain: Int) -> [UInt8] {
    let chain = unsafe batch.chains[chain]
    var result: [UInt8] = []
    for position in 0..<Int(chain.segmentCount) {
      let segment = unsafe batch.segments[Int(chain.firstSegment) + position]
      unsafe result += UnsafeRawBufferPointer(start: segment.host, count: Int(segment.byteCount))
    }
    return result
  }
}
