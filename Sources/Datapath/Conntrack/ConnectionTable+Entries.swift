// The entries of a table's buckets, and the chains of those for which a bucket had no room.
//
// An entry is a record's number twice, plus 1 for its original tuple, 2 for that of the answers; 0 is none. Thread: one worker.

extension ConnectionTable {
  /// The bucket of a hash.
  @inline(__always)
  func bucket(_ hash: UInt32) -> UnsafeMutablePointer<ConnectionBucket> {
    unsafe buckets + Int(hash) & (ConnectionTable.bucketCount &- 1)
  }

  @inline(__always)
  private func record(of entry: UInt32) -> UnsafeMutablePointer<TrackedConnection> {
    unsafe record((entry &- 1) &>> 1)
  }

  /// Whether an entry is that of a tuple.
  @inline(__always)
  func isEntry(_ entry: UInt32, of tuple: ConnectionTuple, _ hash: UInt32) -> Bool {
    let connection = unsafe record(of: entry)
    return unsafe entry & 1 == 0
      ? connection.pointee.replyHash == hash && connection.pointee.reply == tuple
      : connection.pointee.originalHash == hash && connection.pointee.original == tuple
  }

  /// The next entry of a chain; 0: none.
  @inline(__always)
  func next(_ entry: UInt32) -> UInt32 {
    let connection = unsafe record(of: entry)
    return unsafe entry & 1 == 0 ? connection.pointee.nextReply : connection.pointee.nextOriginal
  }

  @inline(__always)
  private func setNext(_ entry: UInt32, _ next: UInt32) {
    let connection = unsafe record(of: entry)
    if entry & 1 == 0 {
      unsafe connection.pointee.nextReply = next
    } else {
      unsafe connection.pointee.nextOriginal = next
    }
  }

  /// Puts an entry into the bucket of its hash.
  @inline(__always)
  func insert(_ entry: UInt32, _ hash: UInt32) {
    let bucket = unsafe bucket(hash)
    guard unsafe !bucket.pointee.insert(entry, hash) else { return }
    unsafe setNext(entry, bucket.pointee.overflow)
    unsafe bucket.pointee.overflow = entry
  }

  /// Takes an entry out of its bucket; one that had no room there takes its place.
  func unlink(_ entry: UInt32, _ hash: UInt32) {
    let bucket = unsafe bucket(hash)
    let first = unsafe bucket.pointee.overflow
    if unsafe bucket.pointee.remove(entry) {
      guard first != 0 else { return }
      let waiting = unsafe record(of: first)
      unsafe bucket.pointee.overflow = next(first)
      unsafe insert(first, first & 1 == 0 ? waiting.pointee.replyHash : waiting.pointee.originalHash)
    } else if first == entry {
      unsafe bucket.pointee.overflow = next(entry)
    } else {
      var current = first
      while current != 0 {
        let following = next(current)
        if following == entry {
          setNext(current, next(entry))
          return
        }
        current = following
      }
    }
  }
}
