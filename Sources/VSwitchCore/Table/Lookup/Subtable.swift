// The rules of a table that have one and the same mask: a hash table over the masked words.
//
// Thread: control changes, workers read at the same time. Memory: of the `Classifier` that made it; replaced bucket
// arrays and emptied subtables are freed a grace period later.
// A bucket holds the rules with one hash in 64 bits: address of the first (48 bits; 0: emptied) and a tag of 16 bits of
// the hash. Open addressing with linear probing. Rules in a bucket stand by falling priority. A larger array is filled
// before it is published, and the rules' `next` does not depend on the array, so a reader finds every rule in either.

import COFlow
import Glibc
import Synchronization

struct SubtableRecord: ~Copyable {
  let mask: SparseMask
  let seed: UInt64
  /// Address of the `BucketArray`.
  let buckets: Atomic<UInt>
  // Control's.
  let ruleCount = ControlWord(0)
  /// Buckets that are not untouched: in use or emptied.
  let usedBucketCount = ControlWord(0)
  /// At least the highest priority of its rules.
  let maximumPriority = ControlWord(UInt16(0))

  init(mask: SparseMask, seed: UInt64, buckets: UInt) {
    self.mask = mask
    self.seed = seed
    self.buckets = Atomic(buckets)
  }
}

/// Buckets behind their number.
@safe struct BucketArray {
  let base: UnsafeMutablePointer<UInt64>

  /// All buckets untouched.
  init(count: Int) {
    unsafe base = zeroedMemory(count + 1)
    unsafe base.pointee = UInt64(count - 1)
  }
  @inline(__always) init?(address: UInt) {
    guard let base = unsafe UnsafeMutablePointer<UInt64>(bitPattern: address) else { return nil }
    unsafe self.base = base
  }
  @inline(__always) var address: UInt { unsafe UInt(bitPattern: base) }
  /// Number of buckets, a power of two, less one.
  @inline(__always) var indexMask: Int { unsafe Int(base.pointee) }
  /// - Parameter index: at most `indexMask`.
  @inline(__always) func load(_ index: Int) -> UInt64 { unsafe bucket(index).pointee.load(ordering: .acquiring) }
  @inline(__always) func store(_ value: UInt64, at index: Int) {
    unsafe bucket(index).pointee.store(value, ordering: .releasing)
  }
  @inline(__always) func prefetch(_ index: Int) { unsafe coflow_prefetch(bucket(index)) }
  @inline(__always) private func bucket(_ index: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
    unsafe UnsafeMutableRawPointer(base + 1 + index).assumingMemoryBound(to: Atomic<UInt64>.self)
  }
}

/// Handle of a subtable: copies name the same.
@safe struct Subtable: @unchecked Sendable, Equatable {
  let record: UnsafeMutablePointer<SubtableRecord>

  init(mask: SparseMask, seed: UInt64) {
    unsafe record = .allocate(capacity: 1)
    unsafe record.initialize(
      to: SubtableRecord(mask: mask, seed: seed, buckets: BucketArray(count: 16).address))
  }
  @inline(__always) init?(address: UInt) {
    guard let record = unsafe UnsafeMutablePointer<SubtableRecord>(bitPattern: address) else { return nil }
    unsafe self.record = record
  }
  @inline(__always) var address: UInt { unsafe UInt(bitPattern: record) }
  static func == (a: Self, b: Self) -> Bool { unsafe a.record == b.record }

  @inline(__always) var mask: SparseMask { unsafe record.pointee.mask }
  @inline(__always) var buckets: BucketArray? {
    BucketArray(address: unsafe record.pointee.buckets.load(ordering: .acquiring))
  }

  /// Frees the subtable, not its rules.
  func deallocate() {
    if let buckets { unsafe free(buckets.base) }
    unsafe record.deinitialize(count: 1)
    unsafe record.deallocate()
  }

  // MARK: lookup

  @inline(__always)
  static func mix(_ hash: UInt64, _ word: UInt64) -> UInt64 {
    let mixed = (hash ^ word) &* 0x9e37_79b9_7f4a_7c15
    return mixed ^ mixed &>> 29
  }

  @inline(__always)
  static func finish(_ hash: UInt64) -> UInt32 {
    let mixed = hash &* 0xd6e8_feb8_6659_fd93
    return UInt32(truncatingIfNeeded: mixed &>> 32)
  }

  /// Hash of a packet's words under the mask.
  @inline(__always)
  func hash(_ key: KeyWords) -> UInt32 {
    let mask = self.mask
    var hash = unsafe record.pointee.seed
    for i in 0..<mask.count {
      let word = mask[i]
      hash = Subtable.mix(hash, key[word.index] & word.mask)
    }
    return Subtable.finish(hash)
  }

  @inline(__always) var seed: UInt64 { unsafe record.pointee.seed }

  /// Has the place of rules with a hash fetched into the processor's caches.
  @inline(__always)
  func prefetch(_ hash: UInt32) { buckets.map { $0.prefetch(Int(hash) & $0.indexMask) } }

  /// Hash of the values of a match that has the mask.
  func hash(_ match: Match) -> UInt32 {
    var hash = unsafe record.pointee.seed
    for word in match.words { hash = Subtable.mix(hash, word.value) }
    return Subtable.finish(hash)
  }

  /// The first rule with a hash, invisible ones too; the others follow as its `next`.
  @inline(__always)
  func first(_ hash: UInt32) -> Rule? {
    guard let buckets else { return nil }
    let indexMask = buckets.indexMask
    var index = Int(hash) & indexMask
    while true {
      let bucket = buckets.load(index)
      if bucket == 0 { return nil }
      if bucket &>> 48 == UInt64(hash &>> 16), let rule = Subtable.rule(bucket), rule.hash == hash { return rule }
      index = (index &+ 1) & indexMask
    }
  }

  @inline(__always)
  static func rule(_ bucket: UInt64) -> Rule? { Rule(address: UInt(bucket & 0xffff_ffff_ffff)) }

  /// An emptied bucket has this and no address; an untouched one is 0.
  private static let emptied: UInt64 = 1 << 48

  // MARK: control's side

  /// Adds a rule with this mask and hash.
  /// - Parameter retire: gets memory to free after a grace period.
  func insert(_ rule: Rule, retire: (UnsafeMutableRawPointer) -> Void) {
    unsafe record.pointee.ruleCount.add(1)
    unsafe record.pointee.maximumPriority.set(max(record.pointee.maximumPriority.value, rule.priority))
    guard let buckets else { return }
    let indexMask = buckets.indexMask
    var index = Int(rule.hash) & indexMask
    var free: Int?
    while true {
      let bucket = buckets.load(index)
      if bucket == 0 { break }
      if let first = Subtable.rule(bucket) {
        if first.hash == rule.hash {
          insert(rule, behind: first, bucket: index, in: buckets)
          return
        }
      } else if free == nil {
        free = index
      }
      index = (index &+ 1) & indexMask
    }
    rule.next = nil
    buckets.store(Subtable.bucket(rule), at: free ?? index)
    guard free == nil else { return }
    unsafe record.pointee.usedBucketCount.add(1)
    if unsafe record.pointee.usedBucketCount.value * 4 > (indexMask + 1) * 3 { unsafe rebuild(buckets, retire: retire) }
  }

  /// From so many buckets on a larger array takes milliseconds to fill.
  private static let largeBucketCount = 1 << 16
  /// Rules before that happens from which on it is known.
  private static let growthNotice = 1024

  /// Whether it has so many rules that one of the next takes milliseconds to be added.
  var isAboutToGrow: Bool {
    guard let count = buckets.map({ $0.indexMask + 1 }), count >= Subtable.largeBucketCount else { return false }
    return unsafe (record.pointee.usedBucketCount.value + Subtable.growthNotice) * 4 > count * 3
  }

  private static func bucket(_ rule: Rule) -> UInt64 {
    // Addresses of user space are below 2^48 on the platforms of this switch.
    precondition(rule.address >> 48 == 0)
    return UInt64(rule.address) | UInt64(rule.hash &>> 16) &<< 48
  }

  private func insert(_ rule: Rule, behind first: Rule, bucket index: Int, in buckets: BucketArray) {
    if rule.priority > first.priority {
      rule.next = first
      buckets.store(Subtable.bucket(rule), at: index)
      return
    }
    var before = first
    while let next = before.next, next.priority >= rule.priority { before = next }
    rule.next = before.next
    before.next = rule
  }

  /// Takes a rule out that is in; readers that stand on it still find what comes behind it.
  func remove(_ rule: Rule) {
    guard let buckets else { return }
    let indexMask = buckets.indexMask
    var index = Int(rule.hash) & indexMask
    while true {
      let bucket = buckets.load(index)
      if bucket == 0 { return }
      if let first = Subtable.rule(bucket), first.hash == rule.hash {
        unsafe record.pointee.ruleCount.add(-1)
        if first == rule {
          // An emptied bucket keeps its place in the probing, so that none behind it is lost.
          buckets.store(rule.next.map(Subtable.bucket) ?? Subtable.emptied, at: index)
        } else {
          var before = first
          while let next = before.next, next != rule { before = next }
          before.next = rule.next
        }
        return
      }
      index = (index &+ 1) & indexMask
    }
  }

  /// Fills a new array of the right size without emptied buckets and publishes it.
  private func rebuild(_ old: BucketArray, retire: (UnsafeMutableRawPointer) -> Void) {
    var inUse = 0
    for index in 0...old.indexMask where Subtable.rule(old.load(index)) != nil { inUse += 1 }
    var count = 16
    while count < inUse * 2 { count *= 2 }
    let new = BucketArray(count: count)
    for index in 0...old.indexMask {
      // Rules lie anywhere in memory, and their hashes are asked for: the later ones are on their way meanwhile.
      let ahead = index &+ 16
      if ahead <= old.indexMask, let later = Subtable.rule(old.load(ahead)) { unsafe coflow_prefetch(later.record) }
      guard let first = Subtable.rule(old.load(index)) else { continue }
      var place = Int(first.hash) & new.indexMask
      while new.load(place) != 0 { place = (place + 1) & new.indexMask }
      new.store(old.load(index), at: place)
    }
    unsafe record.pointee.usedBucketCount.set(inUse)
    unsafe record.pointee.buckets.store(new.address, ordering: .releasing)
    unsafe retire(UnsafeMutableRawPointer(old.base))
  }

  /// Calls `body` for every rule, in no order.
  func forEach(_ body: (Rule) -> Void) {
    guard let buckets else { return }
    for index in 0...buckets.indexMask {
      // Rules lie anywhere in memory: the later ones are on their way while the first are looked at.
      let ahead = index &+ 16
      if ahead <= buckets.indexMask, let later = Subtable.rule(buckets.load(ahead)) {
        unsafe coflow_prefetch(later.record)
      }
      var rule = Subtable.rule(buckets.load(index))
      while let current = rule {
        rule = current.next
        body(current)
      }
    }
  }

  /// Memory, without the rules.
  var byteCount: Int { MemoryLayout<SubtableRecord>.stride + 8 * ((buckets?.indexMask ?? 0) + 2) }
}
