// The packets that wait to leave through one port: filled by a burst, emptied by its flush; what the port could not
// take stays at the front. Thread: one worker. Memory: its own, fixed; freed by `deallocate`.

/// Handle of a queue of packet indices: copies name the same queue.
@safe struct TransmitQueue {
  /// Most packets that wait; the next one is dropped (`transmitQueueFull`).
  static var limit: Int { 512 }

  let indices: UnsafeMutablePointer<PacketIndex>
  private let used: UnsafeMutablePointer<Int>

  init() {
    unsafe indices = .allocate(capacity: TransmitQueue.limit)
    unsafe used = .allocate(capacity: 1)
    unsafe used.initialize(to: 0)
  }

  func deallocate() {
    unsafe indices.deallocate()
    unsafe used.deallocate()
  }

  var count: Int { @inline(__always) get { unsafe used.pointee } }

  @inline(__always)
  subscript(_ position: Int) -> PacketIndex { unsafe indices[position] }

  /// - Returns: false if the queue is full.
  @inline(__always)
  func append(_ index: PacketIndex) -> Bool {
    let count = unsafe used.pointee
    guard count < TransmitQueue.limit else { return false }
    unsafe indices[count] = index
    unsafe used.pointee = count &+ 1
    return true
  }

  /// Takes the first `count` away.
  @inline(__always)
  func removeFirst(_ count: Int) {
    let left = unsafe used.pointee &- count
    if left > 0, count > 0 { unsafe indices.update(from: indices + count, count: left) }
    unsafe used.pointee = max(left, 0)
  }
}
