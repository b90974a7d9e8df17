// Which port has most learned stations: a binary heap, so that a full MAC table finds whom to evict from in a few steps
// whatever the number of ports.
//
// Thread: that of its MAC table. Memory: one block each for heap, positions and counts, freed by `deallocate`.
// Invariants: no port is below one that has less, or as many and a higher number; a port enters with its first station
// and stays, so that position 0 of `positions` (1 is the top) means that it never had one.

import Glibc

/// Handle of a heap: copies name the same one.
@safe @usableFromInline struct PortHeap: @unchecked Sendable {
  private let heap: UnsafeMutablePointer<UInt32>
  private let positions: UnsafeMutablePointer<UInt32>
  private let counts: UnsafeMutablePointer<UInt32>
  private let used: UnsafeMutablePointer<Int>

  init(portLimit: Int) {
    unsafe heap = zeroedMemory(portLimit + 1)
    unsafe positions = zeroedMemory(portLimit)
    unsafe counts = zeroedMemory(portLimit)
    unsafe used = .allocate(capacity: 1)
    unsafe used.initialize(to: 0)
  }

  func deallocate() {
    unsafe free(heap)
    unsafe free(positions)
    unsafe free(counts)
    unsafe used.deallocate()
  }

  /// The port with most stations, of several the one with the lowest number; nil if no port has any.
  var top: UInt16? {
    guard unsafe used.pointee > 0 else { return nil }
    let port = unsafe heap[1]
    return unsafe counts[Int(port)] == 0 ? nil : UInt16(truncatingIfNeeded: port)
  }

  /// Changes a port's count.
  /// - Parameter port: below the limit.
  func add(_ difference: Int32, to port: UInt16) {
    let number = UInt32(port)
    let count = unsafe counts[Int(port)]
    unsafe counts[Int(port)] = count &+ UInt32(bitPattern: difference)
    if difference > 0 {
      var position = unsafe Int(positions[Int(port)])
      if position == 0 {
        unsafe used.pointee &+= 1
        position = unsafe used.pointee
      }
      rise(number, from: position)
    } else {
      sink(number, from: unsafe Int(positions[Int(port)]))
    }
  }

  /// Whether `a` belongs above `b`.
  @inline(__always)
  private func isAbove(_ a: UInt32, _ b: UInt32) -> Bool {
    let first = unsafe counts[Int(a)]
    let second = unsafe counts[Int(b)]
    return first > second || (first == second && a < b)
  }

  @inline(__always)
  private func put(_ port: UInt32, at position: Int) {
    unsafe heap[position] = port
    unsafe positions[Int(port)] = UInt32(truncatingIfNeeded: position)
  }

  private func rise(_ port: UInt32, from start: Int) {
    var position = start
    while position > 1 {
      let parent = unsafe heap[position &>> 1]
      guard isAbove(port, parent) else { break }
      put(parent, at: position)
      position &>>= 1
    }
    put(port, at: position)
  }

  private func sink(_ port: UInt32, from start: Int) {
    let end = unsafe used.pointee
    var position = start
    while position &* 2 <= end {
      var child = position &* 2
      if child < end, isAbove(unsafe heap[child &+ 1], unsafe heap[child]) { child &+= 1 }
      let below = unsafe heap[child]
      guard isAbove(below, port) else { break }
      put(below, at: position)
      position = child
    }
    put(port, at: position)
  }
}
