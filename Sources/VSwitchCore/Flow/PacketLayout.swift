// Where the headers of a parsed frame lie: for edits of the same frame. Filled by `FlowKeyParser`. Pure.

/// Offsets from the frame's first byte. Invariant: every header named here lies wholly inside the frame that was parsed.
public struct PacketLayout: Equatable, Sendable {
  /// No such header.
  @inlinable public static var none: UInt16 { .max }

  /// Number of VLAN tags that were read, 0 to 2, or put on since; the first is at byte 12.
  public var tagCount: UInt8 = 0
  /// First label stack entry.
  public var mplsOffset = PacketLayout.none
  /// IPv4, IPv6 or ARP header.
  public var networkOffset = PacketLayout.none
  /// 0x0800, 0x86dd or 0x0806: what is at `networkOffset`; 0 if nothing is.
  public var etherType: UInt16 = 0
  /// IP protocol of what is at `transportOffset`; 0 if nothing is.
  public var transportProtocol: UInt8 = 0
  /// TCP, UDP, SCTP or ICMP header; none in later fragments.
  public var transportOffset = PacketLayout.none
  /// Values of the source and target link-layer address options of neighbour discovery.
  public var sourceLinkLayerOffset = PacketLayout.none
  public var targetLinkLayerOffset = PacketLayout.none

  @inlinable public init() {}
}

extension PacketLayout {
  /// Headers behind the addresses have moved by a tag that was put in (4) or taken out (-4).
  @inlinable
  public mutating func move(by byteCount: Int16) {
    func moved(_ offset: UInt16) -> UInt16 {
      offset == PacketLayout.none ? offset : offset &+ UInt16(bitPattern: byteCount)
    }
    mplsOffset = moved(mplsOffset)
    networkOffset = moved(networkOffset)
    transportOffset = moved(transportOffset)
    sourceLinkLayerOffset = moved(sourceLinkLayerOffset)
    targetLinkLayerOffset = moved(targetLinkLayerOffset)
  }
}
