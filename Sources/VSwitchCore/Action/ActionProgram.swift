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

  /// Sets the lower half of the value of the step at `index`.
  mutating func setLow(_ value: UInt64, at index: Int) {
    guard index < count else { return }
    unsafe buffer[index].low = value
  }
}
