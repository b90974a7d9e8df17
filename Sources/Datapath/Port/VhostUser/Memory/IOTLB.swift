// What a device with a virtual IOMMU knows of its I/O virtual addresses: a cache of 4 KB pages, filled by the front-end's
// answers to misses and emptied by its invalidations.
//
// Thread: one worker; control code changes it by commands that the worker runs between two bursts. Memory: fixed, made by
// `init`, freed by `deallocate`. Invariant: an entry's pointer was made by `GuestMemoryView.translate` for its whole page
// range; entries of another table of regions are removed before its memory goes.
// Standard: QEMU docs/interop/vhost-user.rst, "IOMMU support".

/// Handle of a cache: copies name the same one.
@safe struct IOTLB: Sendable {
  static var pageByteCountLog2: UInt64 { 12 }
  private static var entryCountLog2: UInt64 { 15 }
  /// Pages of one answer that are kept; of larger ones the front-end is asked again.
  private static var answerPageLimit: UInt64 { 512 }

  struct Permission: OptionSet {
    let rawValue: UInt8
    static var read: Self { Self(rawValue: 1) }
    static var write: Self { Self(rawValue: 2) }
  }

  @safe struct Entry {
    /// Page number + 1; 0 for a free entry.
    var key: UInt64 = 0
    var guestAddress: UInt64 = 0
    var host: UnsafeMutableRawPointer?
    var permission: UInt8 = 0
  }

  /// Translations that are asked for at a time.
  static var questionLimit: Int { 64 }
  /// A question that was not answered for so long may be asked again: the front-end says nothing where it has no answer.
  static var answerSeconds: UInt32 { 1 }

  /// A translation that is wanted: the first address of a page.
  struct Miss: Hashable, Sendable {
    var address: UInt64
    var writes: Bool
  }

  /// A miss that a queue has met.
  struct Question {
    var miss: Miss
    /// When the front-end was asked; nil: not yet.
    var askedSeconds: UInt32?
  }

  struct State {
    var used = 0
    var questionCount = 0
    var hasNewQuestions = false
  }

  /// What a search for an address gives.
  @safe enum Finding {
    /// A pointer, and for how many bytes it holds.
    case found(host: UnsafeMutableRawPointer, byteCount: UInt64)
    case unknown(Miss)
  }

  private nonisolated(unsafe) let entries: UnsafeMutablePointer<Entry>
  nonisolated(unsafe) let questions: UnsafeMutablePointer<Question>
  nonisolated(unsafe) let state: UnsafeMutablePointer<State>

  init() {
    let count = 1 << Int(IOTLB.entryCountLog2)
    unsafe entries = .allocate(capacity: count)
    unsafe entries.initialize(repeating: Entry(), count: count)
    unsafe questions = .allocate(capacity: IOTLB.questionLimit)
    unsafe state = .allocate(capacity: 1)
    unsafe state.initialize(to: State())
  }

  func deallocate() {
    unsafe entries.deallocate()
    unsafe questions.deallocate()
    unsafe state.deallocate()
  }

  /// Pages that are known.
  var count: Int { unsafe state.pointee.used }

  /// Where the search for a page begins.
  private static func home(_ page: UInt64) -> Int {
    Int(truncatingIfNeeded: (page &* 0x9e37_79b9_7f4a_7c15) >> (64 - entryCountLog2))
  }

  private func slot(_ page: UInt64) -> Int {
    var slot = IOTLB.home(page)
    let mask = (1 << Int(IOTLB.entryCountLog2)) - 1
    while unsafe entries[slot].key != 0, unsafe entries[slot].key != page &+ 1 { slot = (slot + 1) & mask }
    return slot
  }

  /// Looks for what begins at an address.
  /// - Parameter wanted: bytes; the answer may be longer or shorter.
  func find(_ address: UInt64, wanted: UInt64, writes: Bool) -> Finding {
    let pageByteCount: UInt64 = 1 << IOTLB.pageByteCountLog2
    let needed = writes ? Permission.write.rawValue : Permission.read.rawValue
    let first = unsafe entries[slot(address >> IOTLB.pageByteCountLog2)]
    guard first.key != 0, first.permission & needed != 0, let host = unsafe first.host else {
      return .unknown(Miss(address: address & ~(pageByteCount - 1), writes: writes))
    }
    let offset = address & (pageByteCount - 1)
    var byteCount = pageByteCount - offset
    // Pages that lie behind each other in our address space are one piece.
    while byteCount < wanted {
      let (next, overflow) = address.addingReportingOverflow(byteCount)
      guard !overflow else { break }
      let entry = unsafe entries[slot(next >> IOTLB.pageByteCountLog2)]
      guard entry.key != 0, entry.permission & needed != 0, let nextHost = unsafe entry.host else {
        return .unknown(Miss(address: next, writes: writes))
      }
      guard unsafe nextHost == host + Int(offset &+ byteCount) else { break }
      byteCount &+= pageByteCount
    }
    return unsafe .found(host: host + Int(offset), byteCount: byteCount)
  }

  /// A pointer to what begins at an address, and for how many bytes it holds; nil, with a question noted, if unknown.
  func translatePrefix(
    _ address: UInt64, wanted: UInt64, writes: Bool
  ) -> (host: UnsafeMutableRawPointer, byteCount: UInt64)? {
    switch find(address, wanted: wanted, writes: writes) {
    case .found(let host, let byteCount): return unsafe (host, byteCount)
    case .unknown(let miss):
      note(miss)
      return nil
    }
  }

  /// The guest-physical address behind an address; nil if unknown.
  func guestAddress(_ address: UInt64) -> UInt64? {
    let entry = unsafe entries[slot(address >> IOTLB.pageByteCountLog2)]
    guard entry.key != 0 else { return nil }
    return entry.guestAddress + (address & ((1 << IOTLB.pageByteCountLog2) - 1))
  }

  /// Takes the front-end's answer: pages from `address`, which are guest-physical from `guestAddress`.
  func insert(
    address: UInt64, byteCount: UInt64, guestAddress: UInt64, permission: Permission, _ memory: GuestMemoryView
  ) {
    let pageByteCount: UInt64 = 1 << IOTLB.pageByteCountLog2
    guard !address.addingReportingOverflow(byteCount).overflow,
      !guestAddress.addingReportingOverflow(byteCount).overflow
    else { return }
    // A large answer is kept from the first page on that somebody waits for.
    let asked = unsafe (0..<state.pointee.questionCount).map { unsafe questions[$0].miss.address }
    let skipped = asked.filter { $0 >= address && $0 - address < byteCount }.min().map { $0 - address } ?? 0
    var offset = skipped & ~(pageByteCount - 1)
    let end = offset + min(byteCount - offset, IOTLB.answerPageLimit * pageByteCount)
    while offset < end {
      // A page of which a part is not memory stays unknown.
      guard let host = unsafe memory.translate(guestAddress + offset, byteCount: min(pageByteCount, byteCount - offset))
      else { break }
      if unsafe state.pointee.used >= (3 << Int(IOTLB.entryCountLog2)) / 4 { removeAll() }
      let page = (address + offset) >> IOTLB.pageByteCountLog2
      let slot = slot(page)
      if unsafe entries[slot].key == 0 { unsafe state.pointee.used += 1 }
      unsafe entries[slot] = unsafe Entry(
        key: page &+ 1, guestAddress: (guestAddress + offset) & ~(pageByteCount - 1),
        host: host - Int((guestAddress + offset) & (pageByteCount - 1)), permission: permission.rawValue)
      offset += pageByteCount
    }
    // Of a larger answer than is kept the rest is asked for again when it is met.
    removeQuestions(address: address, byteCount: byteCount)
  }

  /// Forgets pages.
  /// - Parameter byteCount: 0 stands for all that follow, as 2^64 does not fit.
  func remove(address: UInt64, byteCount: UInt64) {
    let first = address >> IOTLB.pageByteCountLog2
    let (end, overflow) = address.addingReportingOverflow(byteCount &- 1)
    let last = (overflow || byteCount == 0 ? UInt64.max : end) >> IOTLB.pageByteCountLog2
    // Questions stay: as messages keep their order, whatever is not answered yet will be answered as things are now.
    guard unsafe state.pointee.used > 0 else { return }
    if first == 0, last == UInt64.max >> IOTLB.pageByteCountLog2 {
      unsafe entries.update(repeating: Entry(), count: 1 << Int(IOTLB.entryCountLog2))
      unsafe state.pointee.used = 0
    } else if last - first < UInt64(1) << (IOTLB.entryCountLog2 - 3) {
      for page in first...last { remove(page: page) }
    } else {
      removeMany(first, last)
    }
  }

  /// Open addressing has no holes: those behind that may lie in the place move up.
  private func remove(page: UInt64) {
    var hole = slot(page)
    guard unsafe entries[hole].key != 0 else { return }
    let mask = (1 << Int(IOTLB.entryCountLog2)) - 1
    var next = hole
    while true {
      next = (next + 1) & mask
      let entry = unsafe entries[next]
      guard entry.key != 0 else { break }
      // How far an entry is from where its search begins tells whether the hole lies on that way.
      let distance = (next - IOTLB.home(entry.key - 1)) & mask
      if distance >= (next - hole) & mask {
        unsafe entries[hole] = entry
        hole = next
      }
    }
    unsafe entries[hole] = Entry()
    unsafe state.pointee.used -= 1
  }

  private func removeMany(_ first: UInt64, _ last: UInt64) {
    var kept: [Entry] = []
    for slot in 0..<(1 << Int(IOTLB.entryCountLog2)) {
      let entry = unsafe entries[slot]
      guard entry.key != 0, !(first...last).contains(entry.key - 1) else { continue }
      kept.append(entry)
    }
    guard unsafe kept.count < state.pointee.used else { return }
    unsafe entries.update(repeating: Entry(), count: 1 << Int(IOTLB.entryCountLog2))
    for position in kept.indices {
      let entry = kept[position]
      unsafe entries[slot(entry.key - 1)] = entry
    }
    unsafe state.pointee.used = kept.count
  }

  /// Forgets everything.
  func removeAll() {
    unsafe entries.update(repeating: Entry(), count: 1 << Int(IOTLB.entryCountLog2))
    unsafe state.pointee.used = 0
    unsafe state.pointee.questionCount = 0
    unsafe state.pointee.hasNewQuestions = false
  }
}
