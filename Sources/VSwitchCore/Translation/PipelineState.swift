// A packet's fields on its way through the tables, and where each bit is from. Thread: one worker's. Plain data, copied
// where ways part.
//
// A bit of the key is either the packet's own (then a decision that reads it must mask it) or set by an action to a value that
// follows from the rules and from bits that were masked when they were read.

struct PipelineState {
  var key: FlowKey
  /// Bits that the packet has brought and no action has set.
  var own: FlowMask
  /// The IP TTL is the packet's own less what was taken off: reading any bit of it depends on all bits.
  var isTTLDerived = false
  /// Likewise that of the MPLS label.
  var isMPLSTTLDerived = false
  /// A label or tag was taken off, and what lies below has not been parsed.
  var needsParse = false
  /// Tags that a pushed one has moved out of the key.
  var hiddenTagCount: UInt8 = 0
  /// The queue set last; nil: the packet's own.
  var queue: UInt32?
  /// The action set's part of `TranslationMemory.actionSet`.
  var setStart = 0
  var setEnd = 0
  /// The data stack's top in `TranslationMemory.stack`; -1: empty.
  var stackTop = -1
  /// Where the packet may have been sent so far is the caller's business; here only why it went nowhere.
  init(key: FlowKey, own: FlowMask) {
    self.key = key
    self.own = own
  }

  // MARK: what the packet is

  @inline(__always) var etherType: UInt16 { key.etherType }
  @inline(__always) var isIPv4: Bool { etherType == 0x0800 }
  @inline(__always) var isIPv6: Bool { etherType == 0x86dd }
  @inline(__always) var isIP: Bool { isIPv4 || isIPv6 }
  @inline(__always) var isARP: Bool { etherType == 0x0806 || etherType == 0x8035 }
  @inline(__always) var isMPLS: Bool { etherType == 0x8847 || etherType == 0x8848 }
  @inline(__always) var hasTag: Bool { key.vlanTCI & 0x1000 != 0 }

  /// Words of the key that come with a packet: its headers, its tunnel's fields, its mark and its connection's state. The
  /// rest (metadata, registers, conj_id, actset_output) is the pipeline's own: 0 at first, or what the recirculation id says.
  @inline(__always) static func isPacketWord(_ index: Int) -> Bool {
    index < 15 || index == 16 || index == 17 || (26...35).contains(index) || index == 37
  }

  /// Changes bits of a field to a value that follows from what was read.
  /// - Parameter mask: within the field.
  mutating func write(_ field: Field, _ value: UInt128, mask: UInt128) {
    let place = field.layout
    if place.bitCount == 128 {
      write(word: place.wordIndex, UInt64(truncatingIfNeeded: value >> 64), UInt64(truncatingIfNeeded: mask >> 64))
      write(word: place.wordIndex &+ 1, UInt64(truncatingIfNeeded: value), UInt64(truncatingIfNeeded: mask))
    } else {
      let shift = UInt64(truncatingIfNeeded: place.shift)
      write(
        word: place.wordIndex, UInt64(truncatingIfNeeded: value) &<< shift,
        UInt64(truncatingIfNeeded: mask) &<< shift)
    }
    if field == .ipTTL, mask == 0xff { isTTLDerived = false }
    if field == .mplsTTL, mask == 0xff { isMPLSTTLDerived = false }
  }

  // Word by word: a whole array of words would be copied for each access.
  @inline(__always)
  private mutating func write(word index: Int, _ value: UInt64, _ mask: UInt64) {
    key.words[index] = key.words[index] & ~mask | value & mask
    own.words[index] &= ~mask
  }

  /// The value of a field's bits.
  @inline(__always)
  func value(_ place: FieldLayout, mask: UInt128) -> UInt128 {
    if place.bitCount == 128 {
      return (UInt128(key.words[place.wordIndex]) << 64 | UInt128(key.words[place.wordIndex &+ 1])) & mask
    }
    return UInt128(key.words[place.wordIndex] &>> UInt64(truncatingIfNeeded: place.shift)) & mask
  }

  /// All header fields behind the MPLS label or EtherType count as known to be 0: a parser would find nothing there.
  mutating func clearNetworkHeaders() {
    for index in 4..<15 {
      key.words[index] = 0
      own.words[index] = 0
    }
    key.tcpFlags = 0
    own.words[3] &= ~0xffff
    isTTLDerived = false
  }
}
