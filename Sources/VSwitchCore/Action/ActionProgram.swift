// What translation gives to the datapath: steps in memory that the caller provides. Thread: one worker's. Memory: the
// buffer's owner frees it; a cache copies `steps` of a program that it keeps.
// Invariant: `count <= capacity`; blocks nest (`blockCount` never leads past `count`).

/// A list of steps that is being made or run. Copies name the same memory.
@safe public struct ActionProgram {
  @usableFromInline let buffer: UnsafeMutablePointer<ActionStep>
  /// Most steps.
  public let capacity: Int
  public private(set) var count = 0
  /// A step did not fit: the program may not be run.
  public private(set) var isOverfull = false

  /// - Parameters:
  ///   - memory: for all steps; stays the caller's.
  ///   - capacity: how many steps have room there.
  public init(_ memory: UnsafeMutablePointer<ActionStep>, capacity: Int) {
    unsafe buffer = memory
    self.capacity = capacity
  }

  /// The steps.
  @inlinable public var steps: UnsafeBufferPointer<ActionStep> {
    unsafe UnsafeBufferPointer(start: buffer, count: count)
  }

  /// - Parameter index: below `count`.
  @inlinable public subscript(index: Int) -> ActionStep { unsafe buffer[index] }

  /// Forgets all steps.
  public mutating func removeAll() {
    count = 0
    isOverfull = false
  }

  /// Forgets the steps from a position on.
  mutating func truncate(to newCount: Int) { count = min(count, newCount) }

  /// Adds a step; in a full program nothing is added and `isOverfull` is set.
  mutating func append(_ step: ActionStep) {
    guard count < capacity else {
      isOverfull = true
      return
    }
    unsafe (buffer + count).initialize(to: step)
    count &+= 1
  }

  /// Makes all steps behind the one at `index` its own.
  mutating func closeBlock(at index: Int) {
    guard index < count else { return }
    unsafe buffer[index].blockCount = UInt32(truncatingIfNeeded: count &- index &- 1)
  }

  /// Forgets changes of the packet that nothing follows.
  /// - Parameter start: steps before it stay.
  mutating func removeTrailingEdits(from start: Int) {
    while count > start, unsafe buffer[count &- 1].isEdit { count &-= 1 }
  }

  /// Takes out the step at `index`; those behind it move up. Blocks around it are still open.
  mutating func remove(at index: Int) {
    guard index < count else { return }
    for i in index..<(count &- 1) { unsafe buffer[i] = buffer[i &+ 1] }
    count &-= 1
  }

  /// Whether some step from `start` on changes the packet or what is done with it later.
  func changesPacket(from start: Int) -> Bool {
    for i in start..<max(start, count) where unsafe !buffer[i].leavesPacketAsItIs { return true }
    return false
  }

  /// Sets the lower half of the value of the step at `index`.
  mutating func setLow(_ value: UInt64, at index: Int) {
    guard index < count else { return }
    unsafe buffer[index].low = value
  }

  /// Sets the higher half of the value of the step at `index`.
  mutating func setHigh(_ value: UInt64, at index: Int) {
    guard index < count else { return }
    unsafe buffer[index].high = value
  }
}
