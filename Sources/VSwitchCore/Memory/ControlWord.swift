// A word of control code's own in memory whose other words workers read: a plain stored property there would be
// changed by an access to the whole value, which counts as a race with those reads.

import Synchronization

/// A number of at most 64 bits that one thread reads and writes.
struct ControlWord<Value: FixedWidthInteger>: ~Copyable {
  private let storage: Atomic<UInt>

  init(_ value: Value) { storage = Atomic(UInt(truncatingIfNeeded: value)) }

  @inline(__always) var value: Value { Value(truncatingIfNeeded: storage.load(ordering: .relaxed)) }

  // Functions, as an assignment to a property would be an access to the whole memory, too.
  @inline(__always) func set(_ value: Value) { storage.store(UInt(truncatingIfNeeded: value), ordering: .relaxed) }
  @inline(__always) func add(_ difference: Int) { set(value &+ Value(truncatingIfNeeded: difference)) }
}
