// A back-end that is not ours: gives chains back in any order and keeps the record of buffers in flight step by step as the
// specification says it (QEMU docs/interop/vhost-user.rst, "Inflight I/O tracking"), until it dies at a given step.

import TestSupport
import VirtioDriver

@testable import Datapath

@safe final class OtherBackEnd {
  private struct Taken {
    /// Split: head. Packed: entry of the record.
    var entry: UInt16
    var identifier: UInt16
    var slots: Int
  }
  private let ram: GuestRAM
  private let driver: any DriverQueue
  private let isPacked: Bool
  private let record: UnsafeMutableRawPointer
  private let size: Int
  private var available: VringPosition
  private var used: VringPosition
  private var counter: UInt64 = 1
  private var taken: [Taken] = []

  init(_ ram: GuestRAM, _ driver: any DriverQueue, isPacked: Bool, _ record: UnsafeMutableRawPointer) {
    self.ram = ram
    self.driver = driver
    self.isPacked = isPacked
    unsafe self.record = record
    size = driver.size
    if isPacked {
      available = VringPosition(
        next: unsafe record.load(fromByteOffset: 16, as: UInt16.self),
        wrap: unsafe record.load(fromByteOffset: 20, as: UInt8.self) == 1)
    } else {
      available = VringPosition(next: unsafe ram.pointer(driver.deviceArea).load(fromByteOffset: 2, as: UInt16.self))
    }
    used = available
  }

  private func load<T: BitwiseCopyable>(_ offset: Int, as: T.Type) -> T {
    unsafe record.loadUnaligned(fromByteOffset: offset, as: T.self)
  }
  private func store<T: BitwiseCopyable>(_ value: T, _ offset: Int) {
    unsafe record.storeBytes(of: value, toByteOffset: offset, as: T.self)
  }
  private func entry(_ index: UInt16) -> Int { (isPacked ? 32 : 16) + Int(index) * (isPacked ? 32 : 16) }

  func take(_ count: Int) { for _ in 0..<count { if !(isPacked ? takePacked() : takeSplit()) { return } } }

  private func takeSplit() -> Bool {
    let ring = unsafe ram.pointer(driver.driverArea)
    guard unsafe ring.load(fromByteOffset: 2, as: UInt16.self) != available.next else { return false }
    let head = unsafe ring.load(fromByteOffset: 4 + 2 * (Int(available.next) % size), as: UInt16.self)
    available.next &+= 1
    store(counter, entry(head) + 8)
    counter += 1
    store(UInt8(1), entry(head))
    taken.append(Taken(entry: head, identifier: head, slots: 1))
    return true
  }

  private func takePacked() -> Bool {
    let ring = unsafe ram.pointer(driver.descriptors)
    func flags(_ slot: UInt16) -> UInt16 { unsafe ring.load(fromByteOffset: 16 * Int(slot) + 14, as: UInt16.self) }
    guard Vring.isAvailable(flags(available.next), wrap: available.wrap) else { return false }
    let head = load(14, as: UInt16.self)
    store(UInt16(0), entry(head) + 6)
    store(counter, entry(head) + 8)
    counter += 1
    store(UInt8(1), entry(head))
    var slots = 0
    while true {
      let place = unsafe ring + 16 * Int(available.next)
      let free = load(12, as: UInt16.self)
      let current = flags(available.next)
      let isLast = current & 1 == 0
      if isLast { store(free, entry(head) + 4) }
      store(load(entry(head) + 6, as: UInt16.self) + 1, entry(head) + 6)
      unsafe store(place.load(as: UInt64.self), entry(free) + 24)
      unsafe store(place.load(fromByteOffset: 8, as: UInt32.self), entry(free) + 20)
      store(current, entry(free) + 18)
      let identifier = unsafe place.load(fromByteOffset: 12, as: UInt16.self)
      store(identifier, entry(free) + 16)
      store(load(entry(free) + 2, as: UInt16.self), 12)
      available.advance(1, size: UInt32(size))
      slots += 1
      if isLast {
        store(load(12, as: UInt16.self), 14)
        taken.append(Taken(entry: head, identifier: identifier, slots: slots))
        return true
      }
    }
  }

  /// Gives some chains back, any of them.
  /// - Parameter dying: the step after which it dies: 0 before the driver sees anything, 1 right after it has, 2 with a part of the
  ///   marks gone; more: not at all.
  func giveBack(_ count: Int, dying: Int, using random: inout SeededGenerator) {
    var batch: [Taken] = []
    for _ in 0..<min(count, taken.count) {
      batch.append(taken.remove(at: Int.random(in: 0..<taken.count, using: &random)))
    }
    guard !batch.isEmpty else { return }
    if isPacked { givePacked(batch, dying) } else { giveSplit(batch, dying) }
  }

  private func giveSplit(_ batch: [Taken], _ dying: Int) {
    let ring = unsafe ram.pointer(driver.deviceArea)
    for chain in batch {
      store(load(12, as: UInt16.self), entry(chain.entry) + 6)
      store(chain.entry, 12)
      let place = unsafe ring + 4 + 8 * (Int(used.next) % size)
      unsafe place.storeBytes(of: UInt32(chain.identifier), as: UInt32.self)
      unsafe place.storeBytes(of: 0, toByteOffset: 4, as: UInt32.self)
      used.next &+= 1
    }
    if dying == 0 { return }
    unsafe ring.storeBytes(of: used.next, toByteOffset: 2, as: UInt16.self)
    if dying == 1 { return }
    for (position, chain) in batch.enumerated() where dying != 2 || position % 2 == 0 {
      store(UInt8(0), entry(chain.entry))
    }
    if dying == 2 { return }
    store(used.next, 14)
  }

  private func givePacked(_ batch: [Taken], _ dying: Int) {
    let ring = unsafe ram.pointer(driver.descriptors)
    let first = used
    for (position, chain) in batch.enumerated() {
      store(load(12, as: UInt16.self), entry(load(entry(chain.entry) + 4, as: UInt16.self)) + 2)
      store(chain.entry, 12)
      let place = unsafe ring + 16 * Int(used.next)
      unsafe place.storeBytes(of: 0, toByteOffset: 8, as: UInt32.self)
      unsafe place.storeBytes(of: chain.identifier, toByteOffset: 12, as: UInt16.self)
      // The first one's flags show the whole batch.
      if position > 0 {
        unsafe place.storeBytes(of: used.wrap ? 0x8080 : 0, toByteOffset: 14, as: UInt16.self)
      }
      used.advance(UInt16(chain.slots), size: UInt32(size))
    }
    store(used.next, 16)
    store(UInt8(used.wrap ? 1 : 0), 20)
    if dying == 0 { return }
    unsafe (ring + 16 * Int(first.next)).storeBytes(of: first.wrap ? 0x8080 : 0, toByteOffset: 14, as: UInt16.self)
    if dying == 1 { return }
    for (position, chain) in batch.enumerated() where dying != 2 || position % 2 == 0 {
      store(UInt8(0), entry(chain.entry))
    }
    if dying == 2 { return }
    store(load(12, as: UInt16.self), 14)
    store(used.next, 18)
    store(UInt8(used.wrap ? 1 : 0), 21)
  }
}
