// The driver's side of a virtqueue, split and packed, plain and readable: what the device side is tested and measured
// against. Thread: one. Memory: rings and indirect tables in a GuestRAM, bookkeeping its own.
// Standard: virtio 1.2 §2.7, §2.8.

import CTestSupport

/// One buffer of a chain.
package struct DriverBuffer: Equatable, Sendable {
  package var address: UInt64
  package var byteCount: UInt32
  /// For the device to write.
  package var isWritable: Bool

  package init(_ address: UInt64, _ byteCount: UInt32, isWritable: Bool = false) {
    self.address = address
    self.byteCount = byteCount
    self.isWritable = isWritable
  }
}

/// A chain that the device has given back.
package struct UsedChain: Equatable, Sendable {
  package var identifier: UInt16
  package var writtenByteCount: UInt32

  package init(identifier: UInt16, writtenByteCount: UInt32) {
    self.identifier = identifier
    self.writtenByteCount = writtenByteCount
  }
}

/// The driver's side of a virtqueue.
package protocol DriverQueue: AnyObject {
  var size: Int { get }
  /// Guest addresses of the three parts.
  var descriptors: UInt64 { get }
  var driverArea: UInt64 { get }
  var deviceArea: UInt64 { get }
  /// Makes a chain available; `publish` shows it to the device.
  /// - Returns: the chain's identifier; nil if the ring has no room.
  func add(_ buffers: [DriverBuffer], indirect: Bool) -> UInt16?
  func publish()
  /// The next chain that the device has given back.
  func takeUsed() -> UsedChain?
  /// The device asks to be told of what is made available.
  var wantsKick: Bool { get }
  /// Asks the device to tell of what it gives back, or not to.
  func setCalls(_ isOn: Bool)
}

/// A split virtqueue.
@safe package final class SplitDriverQueue: DriverQueue {
  package let size: Int
  package let descriptors: UInt64
  package let driverArea: UInt64
  package let deviceArea: UInt64
  private let ram: GuestRAM
  private var free: [UInt16]
  /// Descriptors of each chain, by its head.
  private var chains: [[UInt16]]
  /// The next index to publish.
  package var availableIndex: UInt16 = 0
  private var usedIndex: UInt16 = 0
  private var tables: [UInt64]

  /// - Parameter first: where both indices begin, as after a restart.
  package init(_ ram: GuestRAM, size: Int, first: UInt16 = 0) {
    self.ram = ram
    self.size = size
    descriptors = ram.allocate(16 * size, alignment: 4096)
    driverArea = ram.allocate(6 + 2 * size)
    deviceArea = ram.allocate(6 + 8 * size)
    free = (0..<UInt16(size)).reversed()
    chains = Array(repeating: [], count: size)
    tables = Array(repeating: 0, count: size)
    availableIndex = first
    usedIndex = first
    publish()
    unsafe ctest_store_release_16(ram.pointer(deviceArea) + 2, first)
  }

  package func writeDescriptor(
    _ table: UInt64, _ slot: Int, _ address: UInt64, _ byteCount: UInt32, flags: UInt16, next: UInt16
  ) {
    let place = unsafe ram.pointer(table) + 16 * slot
    unsafe place.storeBytes(of: address, as: UInt64.self)
    unsafe place.storeBytes(of: byteCount, toByteOffset: 8, as: UInt32.self)
    unsafe place.storeBytes(of: flags, toByteOffset: 12, as: UInt16.self)
    unsafe place.storeBytes(of: next, toByteOffset: 14, as: UInt16.self)
  }

  /// Puts a head into the available ring, whatever it is.
  package func pushHead(_ head: UInt16) {
    unsafe (ram.pointer(driverArea) + 4 + 2 * (Int(availableIndex) % size)).storeBytes(of: head, as: UInt16.self)
    availableIndex &+= 1
  }

  package func add(_ buffers: [DriverBuffer], indirect: Bool) -> UInt16? {
    if indirect {
      guard let head = free.popLast() else { return nil }
      if tables[Int(head)] == 0 { tables[Int(head)] = ram.allocate(16 * size, alignment: 16) }
      let table = tables[Int(head)]
      for (position, buffer) in buffers.enumerated() {
        let isLast = position == buffers.count - 1
        writeDescriptor(
          table, position, buffer.address, buffer.byteCount, flags: (isLast ? 0 : 1) | (buffer.isWritable ? 2 : 0),
          next: UInt16(isLast ? 0 : position + 1))
      }
      writeDescriptor(descriptors, Int(head), table, UInt32(16 * buffers.count), flags: 4, next: 0)
      chains[Int(head)] = [head]
      pushHead(head)
      return head
    }
    guard free.count >= buffers.count else { return nil }
    let slots = buffers.map { _ in free.removeLast() }
    for (position, buffer) in buffers.enumerated() {
      let isLast = position == buffers.count - 1
      writeDescriptor(
        descriptors, Int(slots[position]), buffer.address, buffer.byteCount,
        flags: (isLast ? 0 : 1) | (buffer.isWritable ? 2 : 0), next: isLast ? 0 : slots[position + 1])
    }
    chains[Int(slots[0])] = slots
    pushHead(slots[0])
    return slots[0]
  }

  package func publish() { unsafe ctest_store_release_16(ram.pointer(driverArea) + 2, availableIndex) }

  package func takeUsed() -> UsedChain? {
    guard unsafe ctest_load_acquire_16(ram.pointer(deviceArea) + 2) != usedIndex else { return nil }
    let place = unsafe ram.pointer(deviceArea) + 4 + 8 * (Int(usedIndex) % size)
    let identifier = unsafe UInt16(truncatingIfNeeded: place.loadUnaligned(as: UInt32.self))
    let written = unsafe place.loadUnaligned(fromByteOffset: 4, as: UInt32.self)
    usedIndex &+= 1
    if Int(identifier) < size {
      free += chains[Int(identifier)].reversed()
      chains[Int(identifier)] = []
    }
    return UsedChain(identifier: identifier, writtenByteCount: written)
  }

  package var wantsKick: Bool {
    ctest_fence()
    return unsafe ctest_load_acquire_16(ram.pointer(deviceArea)) & 1 == 0
  }

  package func setCalls(_ isOn: Bool) { unsafe ctest_store_release_16(ram.pointer(driverArea), isOn ? 0 : 1) }
}

/// A packed virtqueue.
@safe package final class PackedDriverQueue: DriverQueue {
  package let size: Int
  package let descriptors: UInt64
  package let driverArea: UInt64
  package let deviceArea: UInt64
  private let ram: GuestRAM
  private var free: [UInt16]
  private var chainSlots: [Int]
  private var next = 0
  private var wrap = true
  private var usedNext = 0
  private var usedWrap = true
  private var freeSlots: Int
  private var tables: [UInt64]
  /// Flags of heads that `publish` writes.
  private var unpublished: [(slot: Int, flags: UInt16)] = []

  package init(_ ram: GuestRAM, size: Int) {
    self.ram = ram
    self.size = size
    descriptors = ram.allocate(16 * size, alignment: 4096)
    driverArea = ram.allocate(4)
    deviceArea = ram.allocate(4)
    free = (0..<UInt16(size)).reversed()
    chainSlots = Array(repeating: 0, count: size)
    tables = Array(repeating: 0, count: size)
    freeSlots = size
  }

  private func write(_ table: UInt64, _ slot: Int, _ address: UInt64, _ byteCount: UInt32, _ identifier: UInt16) {
    let place = unsafe ram.pointer(table) + 16 * slot
    unsafe place.storeBytes(of: address, as: UInt64.self)
    unsafe place.storeBytes(of: byteCount, toByteOffset: 8, as: UInt32.self)
    unsafe place.storeBytes(of: identifier, toByteOffset: 12, as: UInt16.self)
  }

  private func writeFlags(_ table: UInt64, _ slot: Int, _ flags: UInt16) {
    unsafe ctest_store_release_16(ram.pointer(table) + 16 * slot + 14, flags)
  }

  private var lapFlags: UInt16 { wrap ? 1 << 7 : 1 << 15 }

  package func add(_ buffers: [DriverBuffer], indirect: Bool) -> UInt16? {
    let needed = indirect ? 1 : buffers.count
    guard freeSlots >= needed, let identifier = free.popLast() else { return nil }
    freeSlots -= needed
    chainSlots[Int(identifier)] = needed
    if indirect {
      if tables[Int(identifier)] == 0 { tables[Int(identifier)] = ram.allocate(16 * size, alignment: 16) }
      let table = tables[Int(identifier)]
      for (position, buffer) in buffers.enumerated() {
        write(table, position, buffer.address, buffer.byteCount, 0)
        writeFlags(table, position, buffer.isWritable ? 2 : 0)
      }
      write(descriptors, next, table, UInt32(16 * buffers.count), identifier)
      unpublished.append((next, lapFlags | 4))
      advance()
      return identifier
    }
    for (position, buffer) in buffers.enumerated() {
      write(descriptors, next, buffer.address, buffer.byteCount, identifier)
      let flags = lapFlags | (buffer.isWritable ? 2 : 0) | (position == buffers.count - 1 ? 0 : 1)
      // The head's flags come last of the chain.
      if position == 0 { unpublished.append((next, flags)) } else { writeFlags(descriptors, next, flags) }
      advance()
    }
    return identifier
  }

  private func advance() {
    next += 1
    if next == size {
      next = 0
      wrap.toggle()
    }
  }

  package func publish() {
    for head in unpublished { writeFlags(descriptors, head.slot, head.flags) }
    unpublished.removeAll(keepingCapacity: true)
  }

  package func takeUsed() -> UsedChain? {
    let place = unsafe ram.pointer(descriptors) + 16 * usedNext
    let flags = unsafe ctest_load_acquire_16(place + 14)
    guard (flags & 1 << 7 != 0) == usedWrap, (flags & 1 << 15 != 0) == usedWrap, freeSlots < size else { return nil }
    let identifier = unsafe place.loadUnaligned(fromByteOffset: 12, as: UInt16.self)
    let written = unsafe flags & 2 != 0 ? place.loadUnaligned(fromByteOffset: 8, as: UInt32.self) : 0
    guard Int(identifier) < size else { return UsedChain(identifier: identifier, writtenByteCount: written) }
    usedNext += chainSlots[Int(identifier)]
    freeSlots += chainSlots[Int(identifier)]
    chainSlots[Int(identifier)] = 0
    free.append(identifier)
    if usedNext >= size {
      usedNext -= size
      usedWrap.toggle()
    }
    return UsedChain(identifier: identifier, writtenByteCount: written)
  }

  package var wantsKick: Bool {
    ctest_fence()
    return unsafe ctest_load_acquire_16(ram.pointer(deviceArea) + 2) & 3 != 1
  }

  package func setCalls(_ isOn: Bool) { unsafe ctest_store_release_16(ram.pointer(driverArea) + 2, isOn ? 0 : 1) }
}
