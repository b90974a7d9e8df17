// Where packets with a given Ethernet header went, so that a station's next packet is neither parsed nor looked up.
//
// A decision is kept for known unicast only: entry port, addresses and tags give exit port and new tag. It holds while
// nothing that it was made of changes: the forwarding tables, any MAC table (a station new, moved or gone) and the
// second that it is. Within that second learning its source again would do nothing. Each of those changes begins a new
// epoch, and decisions of earlier epochs are not found: nothing has to be searched or cleared.
// Thread: one worker. Memory: its own, fixed, freed by `deallocate`; lines are touched only once used.
// The hash has no secret: who aims at a slot makes its owner take the slow path, as he could by any new address.

import VSwitchCore

/// Handle of a worker's decisions: copies name the same cache.
@safe struct DecisionCache {
  static var entryCountLog2: UInt64 { 13 }

  /// The bytes of a frame that decide: what lies in memory, not host order.
  struct Header {
    /// Bytes 0 to 7.
    var first: UInt64
    /// Bytes 8 to 13; 8 to 15 if there is a tag.
    var second: UInt64
    /// Bytes 16 to 19 if there is a tag, which may be another tag.
    var third: UInt32

    /// - Parameter frame: 20 readable bytes.
    @inline(__always)
    init(_ frame: UnsafeMutableRawPointer) {
      first = unsafe frame.loadUnaligned(as: UInt64.self)
      second = unsafe frame.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
      // Bytes 12 and 13, not swapped: the two EtherTypes are instead.
      let type = UInt16(truncatingIfNeeded: second &>> 32)
      if type == UInt16(0x8100).bigEndian || type == UInt16(0x88a8).bigEndian {
        third = unsafe frame.loadUnaligned(fromByteOffset: 16, as: UInt32.self)
      } else {
        second &= 0xffff_ffff_ffff
        third = 0
      }
    }

    /// Multiplication carries every bit to the top, where the slot's number is taken; the shift between keeps addresses
    /// that count up on both sides from meeting in few slots.
    @inline(__always)
    var slot: Int {
      var hash = first &* 0x9e37_79b9_7f4a_7c15
      hash = (hash ^ hash &>> 32 ^ second) &* 0xd6e8_feb8_6659_fd93
      return Int(truncatingIfNeeded: hash &>> (64 &- DecisionCache.entryCountLog2))
    }
  }

  /// Half a cache line.
  struct Entry {
    var first: UInt64 = 0
    var second: UInt64 = 0
    var third: UInt32 = 0
    /// 0 is never current.
    var epoch: UInt32 = 0
    var newTag: UInt32 = 0
    var inPort: UInt16 = 0
    /// Slot of the exit port, with the bits below.
    var exit: UInt16 = 0
  }
  /// In `exit`: the frame's tag has to be changed.
  static var changesTag: UInt16 { 0x8000 }
  /// In `exit`: the frame's first tag is the one to be replaced or taken off.
  static var ownsTag: UInt16 { 0x4000 }
  /// In `exit`: the slot, which is below `Burst.portLimit`.
  static var slotMask: UInt16 { 0x3fff }

  struct State {
    var epoch: UInt32 = 1
    var now: UInt32 = 0
    var version: UInt64 = 0
    var changes: UInt64 = 0
  }

  private let entries: UnsafeMutablePointer<Entry>
  private let state: UnsafeMutablePointer<State>

  init() {
    let count = 1 << Int(DecisionCache.entryCountLog2)
    let memory = UnsafeMutableRawPointer.allocate(byteCount: count * MemoryLayout<Entry>.stride, alignment: 64)
    unsafe entries = memory.initializeMemory(as: Entry.self, repeating: Entry(), count: count)
    unsafe state = .allocate(capacity: 1)
    unsafe state.initialize(to: State())
  }

  func deallocate() {
    unsafe entries.deallocate()
    unsafe state.deallocate()
  }

  /// Before packets are looked up: forgets all if something has changed since the last time.
  func begin(_ forwarding: Forwarding, now: UInt32) {
    var changes: UInt64 = 0
    for bridge in 0..<forwarding.bridgeCount {
      changes &+= unsafe forwarding.bridges[bridge].macTable.changeCount
    }
    let isSame = unsafe state.pointee.now == now && state.pointee.version == forwarding.version
    if isSame, unsafe state.pointee.changes == changes { return }
    unsafe state.pointee.now = now
    unsafe state.pointee.version = forwarding.version
    unsafe forget(changes: changes &- state.pointee.changes)
  }

  /// A MAC table has changed, `changes` times.
  @inline(never)
  func forget(changes: UInt64) {
    unsafe state.pointee.changes &+= changes
    let next = unsafe state.pointee.epoch &+ 1
    if next == 0 {
      // Decisions of the same number are four thousand million epochs old.
      for slot in 0..<(1 << Int(DecisionCache.entryCountLog2)) { unsafe entries[slot].epoch = 0 }
    }
    unsafe state.pointee.epoch = max(next, 1)
  }

  /// For tests of what would take days.
  func setEpoch(_ epoch: UInt32) { unsafe state.pointee.epoch = epoch }

  /// The decision for a header, if there is one; else the entry to be overwritten, which does not match.
  @inline(__always)
  func entry(_ header: Header) -> UnsafeMutablePointer<Entry> { unsafe entries + header.slot }

  /// Whether an entry is the decision for a header that came in at `inPort`.
  @inline(__always)
  func isDecision(_ entry: UnsafeMutablePointer<Entry>, _ header: Header, inPort: UInt16) -> Bool {
    let a = unsafe entry.pointee.first ^ header.first
    let b = unsafe entry.pointee.second ^ header.second
    let c = unsafe (entry.pointee.third ^ header.third) | (entry.pointee.epoch ^ state.pointee.epoch)
    let d = unsafe entry.pointee.inPort ^ inPort
    return a | b | UInt64(c) | UInt64(d) == 0
  }

  /// Keeps a decision.
  /// - Parameters:
  ///   - oldTag: the tag that the bridge owns, host order, or 0.
  ///   - newTag: the tag to leave with, or 0.
  func remember(_ header: Header, inPort: UInt16, exit: UInt16, oldTag: UInt32, newTag: UInt32) {
    let entry = unsafe entry(header)
    var exit = exit
    if oldTag != newTag { exit |= DecisionCache.changesTag }
    if oldTag != 0 { exit |= DecisionCache.ownsTag }
    unsafe entry.pointee = unsafe Entry(
      first: header.first, second: header.second, third: header.third, epoch: state.pointee.epoch, newTag: newTag,
      inPort: inPort, exit: exit)
  }
}
