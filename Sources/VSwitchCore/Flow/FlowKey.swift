// The flow key: every field that a rule can match or an action can change, at a fixed place in fixed words.
//
// Words 0 to 14 are what a packet brings (entry port and headers); the rest is what the pipeline adds and is 0 when a
// packet comes in, but for a tunnel's fields. Unused bits are 0. A mask (`FlowMask`) has the same shape, so that
// matching is `(key & mask) == rule` word by word. Host byte order. Where the fields lie: `FieldLayout`.
// Fields of different protocols share a place where no packet has both (an IPv4 and an ARP address, a port and an ICMP
// type): the EtherType and protocol beside them tell which it is.

/// The fields of one packet at one point of the pipeline.
public struct FlowKey: Equatable, Sendable {
  /// All words.
  @inlinable public static var wordCount: Int { 38 }
  /// The words that a packet's bytes and entry port decide.
  @inlinable public static var packetWordCount: Int { 15 }

  public var words: InlineArray<38, UInt64>

  /// All fields 0.
  @inlinable public init() { words = InlineArray(repeating: 0) }

  @inlinable
  public static func == (a: Self, b: Self) -> Bool {
    let first = a.words.span
    let second = b.words.span
    var difference: UInt64 = 0
    for i in 0..<wordCount { difference |= unsafe first[unchecked: i] ^ second[unchecked: i] }
    return difference == 0
  }

  // MARK: fields that the packet path reads

  /// OpenFlow number of the entry port.
  @inlinable public var inPort: UInt32 {
    get { UInt32(truncatingIfNeeded: words[0] &>> 32) }
    set { words[0] = words[0] & 0xffff_ffff | UInt64(newValue) &<< 32 }
  }
  /// Which continuation of the pipeline a recirculated packet belongs to; 0 for one that came in.
  @inlinable public var recirculationID: UInt32 {
    get { UInt32(truncatingIfNeeded: words[0]) }
    set { words[0] = words[0] & 0xffff_ffff_0000_0000 | UInt64(newValue) }
  }
  @inlinable public var ethernetDestination: UInt64 {
    get { words[1] &>> 16 }
    set { words[1] = words[1] & 0xffff | newValue &<< 16 }
  }
  /// EtherType behind the VLAN tags; 0x05ff for a frame with a length there (IEEE 802.3 without SNAP).
  @inlinable public var etherType: UInt16 {
    get { UInt16(truncatingIfNeeded: words[1]) }
    set { words[1] = words[1] & ~0xffff | UInt64(newValue) }
  }
  @inlinable public var ethernetSource: UInt64 {
    get { words[2] &>> 16 }
    set { words[2] = words[2] & 0xffff | newValue &<< 16 }
  }
  /// Outer tag's TCI with bit 12 set; 0 without a tag.
  @inlinable public var vlanTCI: UInt16 {
    get { UInt16(truncatingIfNeeded: words[2]) }
    set { words[2] = words[2] & ~0xffff | UInt64(newValue) }
  }
  /// EtherType of the outer tag, 0 without one.
  @inlinable public var vlanType: UInt16 {
    get { UInt16(truncatingIfNeeded: words[3] &>> 48) }
    set { words[3] = words[3] & 0x0000_ffff_ffff_ffff | UInt64(newValue) &<< 48 }
  }
  /// EtherType of the second tag, 0 without one.
  @inlinable public var innerVLANType: UInt16 {
    get { UInt16(truncatingIfNeeded: words[3] &>> 32) }
    set { words[3] = words[3] & 0xffff_0000_ffff_ffff | UInt64(newValue) &<< 32 }
  }
  /// Second tag's TCI with bit 12 set; 0 without one.
  @inlinable public var innerVLANTCI: UInt16 {
    get { UInt16(truncatingIfNeeded: words[3] &>> 16) }
    set { words[3] = words[3] & 0xffff_ffff_0000_ffff | UInt64(newValue) &<< 16 }
  }
  /// The 12 flag bits of TCP (RFC 9293 §3.1).
  @inlinable public var tcpFlags: UInt16 {
    get { UInt16(truncatingIfNeeded: words[3]) }
    set { words[3] = words[3] & ~0xffff | UInt64(newValue) }
  }
  /// IPv4 source, or ARP sender protocol address.
  @inlinable public var ipv4Source: UInt32 {
    get { UInt32(truncatingIfNeeded: words[4] &>> 32) }
    set { words[4] = words[4] & 0xffff_ffff | UInt64(newValue) &<< 32 }
  }
  /// IPv4 destination, or ARP target protocol address.
  @inlinable public var ipv4Destination: UInt32 {
    get { UInt32(truncatingIfNeeded: words[4]) }
    set { words[4] = words[4] & 0xffff_ffff_0000_0000 | UInt64(newValue) }
  }
  /// IPv6 flow label, 20 bits.
  @inlinable public var ipv6Label: UInt32 {
    get { UInt32(truncatingIfNeeded: words[5] &>> 32) }
    set { words[5] = words[5] & 0xffff_ffff | UInt64(newValue) &<< 32 }
  }
  /// IP protocol (behind IPv6 extension headers).
  @inlinable public var ipProtocol: UInt8 {
    get { UInt8(truncatingIfNeeded: words[5] &>> 24) }
    set { words[5] = words[5] & ~0xff00_0000 | UInt64(newValue) &<< 24 }
  }
  /// DSCP in the high 6 bits, ECN in the low 2.
  @inlinable public var ipTOS: UInt8 {
    get { UInt8(truncatingIfNeeded: words[5] &>> 16) }
    set { words[5] = words[5] & ~0xff_0000 | UInt64(newValue) &<< 16 }
  }
  @inlinable public var ipTTL: UInt8 {
    get { UInt8(truncatingIfNeeded: words[5] &>> 8) }
    set { words[5] = words[5] & ~0xff00 | UInt64(newValue) &<< 8 }
  }
  /// Bit 0: a fragment; bit 1: not the first one.
  @inlinable public var ipFragment: UInt8 {
    get { UInt8(truncatingIfNeeded: words[5]) }
    set { words[5] = words[5] & ~0xff | UInt64(newValue) }
  }
  /// Source port of TCP, UDP or SCTP; ICMP or ICMPv6 type; ARP operation.
  @inlinable public var transportSource: UInt16 {
    get { UInt16(truncatingIfNeeded: words[6] &>> 48) }
    set { words[6] = words[6] & 0x0000_ffff_ffff_ffff | UInt64(newValue) &<< 48 }
  }
  /// Destination port of TCP, UDP or SCTP; ICMP or ICMPv6 code.
  @inlinable public var transportDestination: UInt16 {
    get { UInt16(truncatingIfNeeded: words[6] &>> 32) }
    set { words[6] = words[6] & 0xffff_0000_ffff_ffff | UInt64(newValue) &<< 32 }
  }
  /// First label stack entry: label 20, traffic class 3, bottom of stack 1, TTL 8 bits (RFC 3032 §2.1).
  @inlinable public var mplsEntry: UInt32 {
    get { UInt32(truncatingIfNeeded: words[6]) }
    set { words[6] = words[6] & 0xffff_ffff_0000_0000 | UInt64(newValue) }
  }
  @inlinable public var metadata: UInt64 {
    get { words[15] }
    set { words[15] = newValue }
  }
  @inlinable public var tunnelID: UInt64 {
    get { words[16] }
    set { words[16] = newValue }
  }
  /// Word of `packetMark`; the rest of it is of connection tracking.
  @inlinable public static var packetMarkWord: Int { 26 }
  /// What actions of this or another bridge have marked the packet with (`pkt_mark`).
  @inlinable public var packetMark: UInt32 {
    get { UInt32(truncatingIfNeeded: words[26] &>> 32) }
    set { words[26] = words[26] & 0xffff_ffff | UInt64(newValue) &<< 32 }
  }
  /// Port that the action set sends to (`PortNumber.unset`: none).
  @inlinable public var actionSetOutput: UInt32 {
    get { UInt32(truncatingIfNeeded: words[36]) }
    set { words[36] = words[36] & 0xffff_ffff_0000_0000 | UInt64(newValue) }
  }
}
