// From one worker to control code: packets for controllers and what rules ask for (learn, timeouts), as records of bytes in a
// ring. When it is full a record is dropped and counted; the worker never waits.
//
// Threads: one writer (the worker), one reader (control code, one call of `read` at a time). Memory: fixed, freed by
// `deallocate`. A handle of pointers, so that passing it retains nothing.
// Positions only grow; they are masked into the buffer. A record is a length of 4 bytes and so many bytes, each record
// begins at a multiple of 4.

import COFlow
import Glibc
import Synchronization
import VSwitchCore

/// Handle of a bounded ring of records for one writer and one reader: copies name the same ring.
@safe struct EventRing: @unchecked Sendable {
  private struct State: ~Copyable {
    let written = Atomic<Int>(0)
    let taken = Atomic<Int>(0)
    let lost = Atomic<UInt64>(0)
    let isReaderAsleep = Atomic<Bool>(true)
    // The record that is being written: writer only.
    var position = 0
    var limit = 0
  }

  private let memory: UnsafeMutableRawPointer
  private let byteCount: Int
  private let state: UnsafeMutablePointer<State>
  /// An eventfd that tells the reader of the first record after it found none.
  let bell: Int32

  /// - Parameter byteCountLog2: size of the ring.
  init(byteCountLog2: Int) throws(ConfigError) {
    bell = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK))
    guard bell >= 0 else {
      throw ConfigError(cause: "no descriptor for the worker's events", remedy: "raise the limit of open files")
    }
    byteCount = 1 << byteCountLog2
    unsafe memory = .allocate(byteCount: byteCount, alignment: 64)
    unsafe state = .allocate(capacity: 1)
    unsafe state.initialize(to: State())
  }

  func deallocate() {
    close(bell)
    unsafe memory.deallocate()
    unsafe state.deinitialize(count: 1)
    unsafe state.deallocate()
  }

  /// Records that found no room so far.
  var lostCount: UInt64 { unsafe state.pointee.lost.load(ordering: .relaxed) }

  // MARK: the writer

  /// Begins a record.
  /// - Returns: false, and the loss is counted, if there is no room for so many bytes.
  func begin(byteCount count: Int) -> Bool {
    let start = unsafe state.pointee.written.load(ordering: .relaxed)
    let used = unsafe start &- state.pointee.taken.load(ordering: .acquiring)
    let needed = 4 &+ (count &+ 3) & ~3
    guard needed <= byteCount &- used else {
      unsafe state.pointee.lost.wrappingAdd(1, ordering: .relaxed)
      return false
    }
    unsafe state.pointee.position = start
    unsafe state.pointee.limit = start &+ 4 &+ count
    put(UInt32(truncatingIfNeeded: count))
    return true
  }

  func put(_ value: UInt32) {
    var value = value
    unsafe withUnsafeBytes(of: &value) { unsafe put($0) }
  }

  func put(_ value: UInt64) {
    var value = value
    unsafe withUnsafeBytes(of: &value) { unsafe put($0) }
  }

  /// Bytes past the announced count are left out.
  func put(_ bytes: UnsafeRawBufferPointer) {
    let count = unsafe min(bytes.count, state.pointee.limit &- state.pointee.position)
    guard count > 0, let source = bytes.baseAddress else { return }
    let offset = unsafe state.pointee.position & (byteCount &- 1)
    let first = min(count, byteCount &- offset)
    unsafe (memory + offset).copyMemory(from: source, byteCount: first)
    if count > first { unsafe memory.copyMemory(from: source + first, byteCount: count &- first) }
    unsafe state.pointee.position &+= count
  }

  /// Gives the record to the reader.
  func end() {
    let start = unsafe state.pointee.written.load(ordering: .relaxed)
    unsafe state.pointee.written.store(
      start &+ (state.pointee.limit &- start &+ 3) & ~3, ordering: .sequentiallyConsistent)
    if unsafe state.pointee.isReaderAsleep.load(ordering: .sequentiallyConsistent),
      unsafe state.pointee.isReaderAsleep.exchange(false, ordering: .relaxed)
    {
      var one: UInt64 = 1
      _ = unsafe write(bell, &one, 8)
    }
  }

  // MARK: the reader

  /// The next record; nil if there is none, and the bell will ring for the next.
  func read() -> [UInt8]? {
    var start = unsafe state.pointee.taken.load(ordering: .relaxed)
    if unsafe start == state.pointee.written.load(ordering: .acquiring) {
      var count: UInt64 = 0
      _ = unsafe Glibc.read(bell, &count, 8)
      unsafe state.pointee.isReaderAsleep.store(true, ordering: .sequentiallyConsistent)
      // One that came meanwhile did not ring.
      if unsafe start == state.pointee.written.load(ordering: .sequentiallyConsistent) { return nil }
    }
    var length: UInt32 = 0
    unsafe withUnsafeMutableBytes(of: &length) { unsafe take(start, into: $0) }
    start &+= 4
    let count = min(Int(length), byteCount)
    let record = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      unsafe take(start, into: UnsafeMutableRawBufferPointer(start: buffer.baseAddress, count: count))
      filled = count
    }
    unsafe state.pointee.taken.store(start &+ (count &+ 3) & ~3, ordering: .releasing)
    return record
  }

  private func take(_ start: Int, into bytes: UnsafeMutableRawBufferPointer) {
    guard let target = bytes.baseAddress, bytes.count > 0 else { return }
    let offset = start & (byteCount &- 1)
    let first = min(bytes.count, byteCount &- offset)
    unsafe target.copyMemory(from: memory + offset, byteCount: first)
    if bytes.count > first { unsafe (target + first).copyMemory(from: memory, byteCount: bytes.count &- first) }
  }
}
