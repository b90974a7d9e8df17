// One queue's record of buffers in flight, in the specification's layouts for split and packed rings.
//
// This switch gives everything back in order before a burst ends, so for its own part a record only says where the ring stands: a
// chain that was taken and not given back is the next one that the ring makes available. Other back-ends take chains out of order;
// what they had taken when they died is read here (`recover`), served first (Resubmission.swift) and then noted as done.
//
// Thread: control code begins and recovers, the worker notes. Memory: the area's. Every number that is read may be any.
// Standard: QEMU docs/interop/vhost-user.rst, "Inflight I/O tracking".

import COFlow

/// Handle of a record: copies name the same memory.
@safe struct InflightRecord: Sendable {
  private static let version: UInt16 = 1
  /// Offsets in the record.
  private enum Place {
    static var version: Int { 8 }
    static var descriptorCount: Int { 10 }
    // Split.
    static var lastBatchHead: Int { 12 }
    static var usedIndex: Int { 14 }
    // Packed. The word is: used index, the old one, used wrap counter, the old one, two bytes of padding.
    static var freeHead: Int { 12 }
    static var oldFreeHead: Int { 14 }
    static var usedWord: Int { 16 }
  }
  private static func headerByteCount(isPacked: Bool) -> Int { isPacked ? 32 : 16 }
  private static func entryByteCount(isPacked: Bool) -> Int { isPacked ? 32 : 16 }

  static func byteCount(size: UInt64, isPacked: Bool) -> UInt64 {
    UInt64(headerByteCount(isPacked: isPacked)) + size * UInt64(entryByteCount(isPacked: isPacked))
  }

  private nonisolated(unsafe) let start: UnsafeMutableRawPointer
  private let isPacked: Bool
  /// Descriptors that it has room for.
  let capacity: Int

  init(_ start: UnsafeMutableRawPointer, byteCount: UInt64, isPacked: Bool) {
    unsafe self.start = start
    self.isPacked = isPacked
    let rest = Int(byteCount) - InflightRecord.headerByteCount(isPacked: isPacked)
    capacity = max(0, rest / InflightRecord.entryByteCount(isPacked: isPacked))
  }

  private func entry(_ index: Int) -> UnsafeMutableRawPointer {
    unsafe start + InflightRecord.headerByteCount(isPacked: isPacked)
      + index &* InflightRecord.entryByteCount(isPacked: isPacked)
  }
  private func isInFlight(_ index: Int) -> Bool { unsafe coflow_load_16(entry(index)) & 0xff == 1 }
  private func setDone(_ index: Int) { unsafe entry(index).storeBytes(of: 0, as: UInt8.self) }
  private func counter(_ index: Int) -> UInt64 { unsafe coflow_load_64(entry(index) + 8) }
  /// Split: the list of the last batch. Packed: the free list, or the chain's next entry.
  private func next(_ index: Int) -> Int {
    unsafe Int(coflow_load_16(entry(index) + (isPacked ? 2 : 6)))
  }
  private func setNext(_ index: Int, _ next: UInt16) {
    unsafe coflow_store_16(entry(index) + (isPacked ? 2 : 6), next)
  }

  private static func word(_ used: VringPosition, old: VringPosition) -> UInt64 {
    UInt64(used.next) | UInt64(old.next) << 16 | (used.wrap ? 1 << 32 : 0) | (old.wrap ? 1 << 40 : 0)
  }

  // MARK: control code

  /// Makes a record of a ring that has nothing in flight.
  func begin(size: UInt32, _ position: VringPosition) {
    for index in 0..<Int(size) {
      unsafe entry(index).initializeMemory(
        as: UInt8.self, repeating: 0, count: InflightRecord.entryByteCount(isPacked: isPacked))
      if isPacked { setNext(index, UInt16(truncatingIfNeeded: index + 1)) }
    }
    unsafe coflow_store_16(start + Place.descriptorCount, UInt16(truncatingIfNeeded: size))
    unsafe coflow_store_16(start + Place.freeHead, 0)
    if isPacked {
      unsafe coflow_store_16(start + Place.oldFreeHead, 0)
      unsafe coflow_store_64(start + Place.usedWord, InflightRecord.word(position, old: position))
    } else {
      unsafe coflow_store_16(start + Place.usedIndex, position.next)
    }
    unsafe coflow_store_release_16(start + Place.version, InflightRecord.version)
  }

  /// The ring was stopped with nothing in flight; where it stands the front-end knows.
  func end() { unsafe coflow_store_release_16(start + Place.version, 0) }

  /// Where the ring stands, and what was taken from it and not given back.
  /// - Parameters:
  ///   - descriptors: the packed ring.
  ///   - usedIndex: the split ring's.
  /// - Returns: nil if the record is a new one.
  func recover(
    size: UInt32, descriptors: UnsafeMutableRawPointer, usedIndex: UInt16
  ) throws(VhostUserFault) -> (position: VringPosition, chains: [Resubmission])? {
    let version = unsafe coflow_load_acquire_16(start + Place.version)
    if version == 0 { return nil }
    guard version == InflightRecord.version else { throw .inflightRecordWrong }
    return isPacked
      ? unsafe try recoverPacked(Int(size), descriptors) : try recoverSplit(Int(size), usedIndex)
  }

  private func recoverSplit(
    _ size: Int, _ usedIndex: UInt16
  ) throws(VhostUserFault) -> (position: VringPosition, chains: [Resubmission]) {
    // The used index had moved already, the marks of that batch had not.
    let batch = unsafe Int(usedIndex &- coflow_load_16(start + Place.usedIndex))
    guard batch <= size else { throw .inflightRecordWrong }
    var head = unsafe Int(coflow_load_16(start + Place.lastBatchHead))
    for _ in 0..<batch where head < size {
      setDone(head)
      head = next(head)
    }
    unsafe coflow_store_16(start + Place.usedIndex, usedIndex)
    let heads = (0..<size).filter { isInFlight($0) }.map { (head: $0, counter: counter($0)) }
    return (
      VringPosition(next: usedIndex),
      heads.sorted { $0.counter < $1.counter }.map { Resubmission(entry: UInt16(truncatingIfNeeded: $0.head)) }
    )
  }

  private func recoverPacked(
    _ size: Int, _ descriptors: UnsafeMutableRawPointer
  ) throws(VhostUserFault) -> (position: VringPosition, chains: [Resubmission]) {
    let word = unsafe coflow_load_64(start + Place.usedWord)
    let used = VringPosition(next: UInt16(truncatingIfNeeded: word), wrap: word >> 32 & 1 == 1)
    let old = VringPosition(next: UInt16(truncatingIfNeeded: word >> 16), wrap: word >> 40 & 1 == 1)
    guard Int(used.next) < size, Int(old.next) < size else { throw .inflightRecordWrong }
    // Died while a batch was given back: the one store that decides has happened, or not.
    var isCommitted = false
    if used != old {
      let flags = unsafe coflow_load_acquire_16(descriptors + Int(old.next) * 16 + 14)
      isCommitted = !Vring.isAvailable(flags, wrap: old.wrap)
    }
    let position = isCommitted ? used : old
    let freeHead = unsafe coflow_load_16(start + (isCommitted ? Place.freeHead : Place.oldFreeHead))
    unsafe coflow_store_16(start + Place.freeHead, freeHead)
    unsafe coflow_store_16(start + Place.oldFreeHead, freeHead)
    unsafe coflow_store_64(start + Place.usedWord, InflightRecord.word(position, old: position))
    var free = Int(freeHead)
    for _ in 0..<size where free < size {
      setDone(free)
      free = next(free)
    }
    var chains: [Resubmission] = []
    var slots = 0
    let heads = (0..<size).filter { isInFlight($0) }.map { (head: $0, counter: counter($0)) }
    for head in heads.sorted(by: { $0.counter < $1.counter }) {
      let chain = try packedChain(head.head, size)
      slots += chain.descriptors.count
      guard slots <= size else { throw .inflightRecordWrong }
      chains.append(chain)
    }
    return (position, chains)
  }

  private func packedChain(_ head: Int, _ size: Int) throws(VhostUserFault) -> Resubmission {
    let count = unsafe Int(coflow_load_16(entry(head) + 6))
    let last = unsafe coflow_load_16(entry(head) + 4)
    guard count > 0, count <= size, Int(last) < size else { throw .inflightRecordWrong }
    var chain = Resubmission(entry: UInt16(truncatingIfNeeded: head), lastEntry: last)
    var index = head
    for _ in 0..<count {
      guard index < size else { throw .inflightRecordWrong }
      let place = unsafe entry(index)
      // Buffer identifier and flags, length, address.
      let first = unsafe coflow_load_64(place + 16)
      chain.identifier = UInt16(truncatingIfNeeded: first)
      unsafe chain.descriptors.append(
        Resubmission.Descriptor(
          address: coflow_load_64(place + 24), byteCount: UInt32(truncatingIfNeeded: first >> 32),
          flags: UInt16(truncatingIfNeeded: first >> 16)))
      index = next(index)
    }
    return chain
  }

  // MARK: the worker

  /// Before the store by which a burst is given back: the chains of `given`, which were in flight, belong to it.
  func note(_ given: ArraySlice<Resubmission>, from: VringPosition, to: VringPosition) {
    let list = isPacked ? Place.freeHead : Place.lastBatchHead
    for chain in given {
      unsafe setNext(Int(isPacked ? chain.lastEntry : chain.entry), coflow_load_16(start + list))
      unsafe coflow_store_16(start + list, chain.entry)
    }
    if isPacked { unsafe coflow_store_release_64(start + Place.usedWord, InflightRecord.word(to, old: from)) }
  }

  /// After it: they are in flight no more.
  func settle(_ given: ArraySlice<Resubmission>, _ position: VringPosition) {
    for chain in given { setDone(Int(chain.entry)) }
    if isPacked {
      unsafe coflow_store_16(start + Place.oldFreeHead, coflow_load_16(start + Place.freeHead))
      unsafe coflow_store_release_64(start + Place.usedWord, InflightRecord.word(position, old: position))
    } else {
      unsafe coflow_store_release_16(start + Place.usedIndex, position.next)
    }
  }
}
