// The Ethernet header of a frame with up to two VLAN tags: what a bridge decides by (IEEE 802.3 §3, 802.1Q §9).
// Pure. Host byte order. No byte of a frame can trap: the length is checked before each read.

/// Ethernet header and VLAN tags of one frame.
public struct EthernetHeader: Equatable {
  /// Destination and source address in the low 48 bits.
  public var ethernetDestination: UInt64 = 0
  public var ethernetSource: UInt64 = 0
  /// First and second VLAN tag (TPID << 16 | TCI), 0 where there is none. TPID 0x8100 or 0x88a8.
  public var outerTag: UInt32 = 0
  public var innerTag: UInt32 = 0
  /// EtherType or length after the tags read.
  public var etherType: UInt16 = 0

  /// Reads the header of a frame.
  /// - Parameters:
  ///   - frame: the frame's first byte.
  ///   - byteCount: its length.
  /// - Returns: nil if the frame ends before its Ethernet header or inside a VLAN tag.
  @inlinable @inline(__always)
  public init?(_ frame: UnsafeRawPointer, byteCount: Int) {
    guard byteCount >= 14 else { return nil }
    let first = unsafe UInt64(bigEndian: frame.loadUnaligned(as: UInt64.self))
    let second = unsafe UInt32(bigEndian: frame.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
    ethernetDestination = first &>> 16
    ethernetSource = (first & 0xffff) &<< 32 | UInt64(second)
    etherType = unsafe UInt16(bigEndian: frame.loadUnaligned(fromByteOffset: 12, as: UInt16.self))
    guard EthernetHeader.isTag(etherType) else { return }
    guard byteCount >= 18 else { return nil }
    outerTag = unsafe UInt32(bigEndian: frame.loadUnaligned(fromByteOffset: 12, as: UInt32.self))
    etherType = unsafe UInt16(bigEndian: frame.loadUnaligned(fromByteOffset: 16, as: UInt16.self))
    guard EthernetHeader.isTag(etherType) else { return }
    guard byteCount >= 22 else { return nil }
    innerTag = unsafe UInt32(bigEndian: frame.loadUnaligned(fromByteOffset: 16, as: UInt32.self))
    etherType = unsafe UInt16(bigEndian: frame.loadUnaligned(fromByteOffset: 20, as: UInt16.self))
  }

  /// Whether an EtherType opens a VLAN tag (802.1Q or 802.1ad).
  @inlinable @inline(__always)
  public static func isTag(_ etherType: UInt16) -> Bool { etherType == 0x8100 || etherType == 0x88a8 }
}
