// Where cached flows keep their programs: blocks of units of one step's size, by powers of two. Thread: one worker. Memory: one
// mapping, resident as used. Invariant: a block is either in use or in the free list of its size.

import Glibc
import VSwitchCore

/// Handle of a pool: copies name the same.
@safe struct StepPool {
  private static var classCount: Int { 17 }
  private static var none: UInt32 { .max }
  /// Hits that fit into one unit.
  private static var hitsPerUnit: Int { MemoryLayout<ActionStep>.stride / MemoryLayout<UInt32>.stride }

  private let units: UnsafeMutablePointer<ActionStep>
  private let freeLists: UnsafeMutablePointer<UInt32>
  private let used: UnsafeMutablePointer<Int>
  private let unitCount: Int

  init?(unitCount: Int) {
    let byteCount = unitCount * MemoryLayout<ActionStep>.stride
    guard let mapped = unsafe LazyPages.map(byteCount: byteCount) else { return nil }
    unsafe units = mapped.bindMemory(to: ActionStep.self, capacity: unitCount)
    unsafe freeLists = .allocate(capacity: StepPool.classCount)
    unsafe freeLists.initialize(repeating: StepPool.none, count: StepPool.classCount)
    unsafe used = .allocate(capacity: 1)
    unsafe used.initialize(to: 0)
    self.unitCount = unitCount
  }

  func deallocate() {
    unsafe LazyPages.unmap(units, byteCount: unitCount * MemoryLayout<ActionStep>.stride)
    unsafe freeLists.deallocate()
    unsafe used.deallocate()
  }

  /// Copies a program and its hits.
  /// - Returns: where; nil if there is no room.
  func store(_ steps: UnsafeBufferPointer<ActionStep>, _ hits: UnsafeBufferPointer<UInt32>) -> UInt32? {
    let needed = StepPool.unitCount(stepCount: steps.count, hitCount: hits.count)
    guard needed > 0 else { return 0 }
    let size = StepPool.sizeClass(needed)
    guard size < StepPool.classCount, let start = block(size) else { return nil }
    for index in 0..<steps.count { unsafe (units + Int(start) + index).initialize(to: steps[index]) }
    let place = unsafe hitPlace(start, stepCount: steps.count)
    for index in 0..<hits.count { unsafe place[index] = hits[index] }
    return start
  }

  func free(_ start: UInt32, stepCount: Int, hitCount: Int) {
    let needed = StepPool.unitCount(stepCount: stepCount, hitCount: hitCount)
    guard needed > 0 else { return }
    let size = StepPool.sizeClass(needed)
    unsafe (units + Int(start)).withMemoryRebound(to: UInt32.self, capacity: 1) { unsafe $0.pointee = freeLists[size] }
    unsafe freeLists[size] = start
  }

  /// The steps of a stored program.
  @inline(__always)
  func steps(_ start: UInt32, count: Int) -> UnsafeBufferPointer<ActionStep> {
    unsafe UnsafeBufferPointer(start: units + Int(start), count: count)
  }

  /// The hits stored behind a program's steps.
  @inline(__always)
  func hits(_ start: UInt32, stepCount: Int, count: Int) -> UnsafeBufferPointer<UInt32> {
    unsafe UnsafeBufferPointer(start: hitPlace(start, stepCount: stepCount), count: count)
  }

  private func hitPlace(_ start: UInt32, stepCount: Int) -> UnsafeMutablePointer<UInt32> {
    unsafe UnsafeMutableRawPointer(units + Int(start) + stepCount).assumingMemoryBound(to: UInt32.self)
  }

  private func block(_ size: Int) -> UInt32? {
    let free = unsafe freeLists[size]
    if free != StepPool.none {
      unsafe freeLists[size] = unsafe (units + Int(free)).withMemoryRebound(to: UInt32.self, capacity: 1) {
        unsafe $0.pointee
      }
      return free
    }
    let start = unsafe used.pointee
    guard unitCount &- start >= 1 &<< size else { return nil }
    unsafe used.pointee = start &+ 1 &<< size
    return UInt32(truncatingIfNeeded: start)
  }

  private static func unitCount(stepCount: Int, hitCount: Int) -> Int {
    stepCount &+ (hitCount &+ hitsPerUnit &- 1) / hitsPerUnit
  }

  /// The power of two that holds so many units.
  private static func sizeClass(_ count: Int) -> Int {
    count <= 1 ? 0 : Int.bitWidth &- (count &- 1).leadingZeroBitCount
  }
}
