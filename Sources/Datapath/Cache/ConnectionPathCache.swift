// The whole way of packets of answered connections: what `ct(…)` says of them, how they are translated, and what the tables then do,
// by the bytes of their headers. The same idea as Linux's flowtable: what has been decided twice (before and after the
// connection tracker) need not be parsed and looked up twice for each packet.
//
// For TCP and UDP over IPv4 without options, tags and fragments. Thread: one worker. Memory: allocated once, resident as used,
// freed by `deallocate`. Invariant: an entry is a shortcut and no more: who uses it has asked that the tables, ports, cached
// flows and the connection are those that it was made from, and the packet is checked as the tracker checks any.

import COFlow
import VSwitchCore

/// Handle of a worker's cache: copies name the same.
@safe struct ConnectionPathCache {
  /// Sets of two entries.
  private static var setCount: Int { 1 << 14 }

  /// The words of a frame that decide its way: all from the Ethernet header to the ports but lengths, identification and
  /// checksum; in the order of the machine.
  struct Key: Equatable {
    var words = InlineArray<5, UInt64>(repeating: 0)

    @inline(__always)
    static func == (a: Key, b: Key) -> Bool {
      var difference: UInt64 = 0
      for index in 0..<5 { difference |= a.words[index] ^ b.words[index] }
      return difference == 0
    }

    /// - Parameter frame: 40 bytes at least.
    @inline(__always)
    init(_ frame: UnsafeMutableRawPointer) {
      func word(_ offset: Int) -> UInt64 { unsafe frame.loadUnaligned(fromByteOffset: offset, as: UInt64.self) }
      words[0] = word(0)
      words[1] = word(8)
      // Without total length and identification.
      words[2] = word(16) & UInt64(bigEndian: 0x0000_0000_ffff_ffff)
      // Without the header's checksum.
      words[3] = word(24) & UInt64(bigEndian: 0x0000_ffff_ffff_ffff)
      // Without what is behind the ports.
      words[4] = word(32) & UInt64(bigEndian: 0xffff_ffff_ffff_0000)
    }

    init() {}

    /// IPv4 without options in an untagged frame to one station, no fragment, and TCP or UDP.
    var canHavePath: Bool {
      let (second, third) = (UInt64(bigEndian: words[1]), UInt64(bigEndian: words[2]))
      let ipProtocol = third & 0xff
      return second &>> 8 & 0xff_ffff == 0x08_0045 && third & 0x3fff_0000 == 0 && (ipProtocol == 6 || ipProtocol == 17)
        && UInt64(bigEndian: words[0]) &>> 56 & 1 == 0
    }

    /// What the tracker will take for the packet's tuple, if that may have a path.
    @inline(__always)
    func tuple(zone: UInt16) -> ConnectionTuple {
      let (third, fourth, fifth) = (
        UInt64(bigEndian: words[2]), UInt64(bigEndian: words[3]), UInt64(bigEndian: words[4])
      )
      var tuple = ConnectionTuple()
      tuple.sourceLow = fourth &>> 16 & 0xffff_ffff
      tuple.destinationLow = (fourth & 0xffff) &<< 16 | fifth &>> 48
      tuple.rest = (fifth &>> 16 & 0xffff_ffff) &<< 32 | UInt64(zone) &<< 16 | (third & 0xff) &<< 8 | 4
      return tuple
    }

    var isTCP: Bool { UInt64(bigEndian: words[2]) & 0xff == 6 }
  }

  struct Entry {
    var key = Key()
    /// Of the forwarding tables, never 0 of an entry that is used; and of the bridge's flow tables.
    var forwardingVersion: UInt64 = 0
    var tablesVersion: UInt64 = 0
    var reference = ConnectionReference()
    /// The flow whose program is the `ct(…)`, and the one that the packet then meets.
    var firstFlow: UInt32 = 0
    var firstGeneration: UInt32 = 0
    var secondFlow: UInt32 = 0
    var secondGeneration: UInt32 = 0
    /// Addresses and ports that the packet leaves with, as words 26 to 37 of the frame have them.
    var addresses: UInt64 = 0
    var ports: UInt32 = 0
    /// Changes of the sums that checksums are of (`PacketTranslator.Edits`): addresses, and ports.
    var addressChange: UInt32 = 0
    var portChange: UInt32 = 0
    /// What rules saw of the connection.
    var mark: UInt32 = 0
    var labelHigh: UInt64 = 0
    var labelLow: UInt64 = 0
    /// Slot of the entry port.
    var inPort: UInt16 = 0
    var isReply = false
  }

  private let entries: UnsafeMutablePointer<Entry>
  private static var byteCount: Int { 2 * setCount * MemoryLayout<Entry>.stride }
  private let seed: UInt64

  /// - Parameter seed: keys the hash.
  init(seed: UInt64) throws(ConfigError) {
    // Zero is an entry that no packet hits; pages that were never written take no memory. Each begins a line of the processor's
    // cache.
    guard let memory = unsafe LazyPages.map(byteCount: ConnectionPathCache.byteCount) else {
      throw ConfigError(
        cause: "no memory for the ways of connections", remedy: "raise the memory limit of the service")
    }
    unsafe entries = memory.bindMemory(to: Entry.self, capacity: 2 * ConnectionPathCache.setCount)
    self.seed = seed | 1
  }

  func deallocate() {
    unsafe LazyPages.unmap(entries, byteCount: ConnectionPathCache.byteCount)
  }

  /// The first of the two entries that may be a key's.
  @inline(__always)
  private func set(_ key: Key) -> UnsafeMutablePointer<Entry> { unsafe entries + 2 &* Int(number(key)) }

  /// The number of the set that may have a key.
  @inline(__always)
  private func number(_ key: Key) -> UInt32 {
    var hash = (key.words[3] ^ seed) &* 0x9e37_79b9_7f4a_7c15
    hash ^= hash &>> 32
    hash = (hash ^ key.words[4] ^ key.words[2]) &* 0xd6e8_feb8_6659_fd93
    hash ^= hash &>> 29
    hash = (hash ^ key.words[0] ^ key.words[1] &<< 7) &* 0x9e37_79b9_7f4a_7c15
    return UInt32(truncatingIfNeeded: hash &>> (64 - 14))
  }

  /// Has the processor fetch what a key's packet will be looked for in.
  /// - Returns: the number of the set.
  @inline(__always)
  func fetch(_ key: Key) -> UInt32 {
    let number = number(key)
    let first = unsafe UnsafeRawPointer(entries + 2 &* Int(number))
    unsafe coflow_prefetch(first)
    unsafe coflow_prefetch(first + 64)
    return number
  }

  /// The connection of a set's younger entry, which may be none's.
  /// - Parameter number: as `fetch` gave it.
  @inline(__always)
  func connection(set number: UInt32) -> ConnectionReference {
    unsafe entries[2 &* Int(number) & (2 &* ConnectionPathCache.setCount &- 1)].reference
  }

  /// The entry of a key; nil if there is none.
  @inline(__always)
  func find(_ key: Key, inPort: UInt16, forwardingVersion: UInt64) -> UnsafeMutablePointer<Entry>? {
    let first = unsafe set(key)
    for position in 0..<2 {
      let entry = unsafe first + position
      if unsafe entry.pointee.key == key, unsafe entry.pointee.inPort == inPort,
        unsafe entry.pointee.forwardingVersion == forwardingVersion
      {
        return unsafe entry
      }
    }
    return nil
  }

  /// Keeps an entry: in place of the key's own, else of the one of its set that was kept first.
  func keep(_ new: Entry) {
    let first = unsafe set(new.key)
    if unsafe first.pointee.key != new.key || first.pointee.inPort != new.inPort {
      unsafe first[1] = first[0]
    }
    unsafe first.pointee = new
  }
}
