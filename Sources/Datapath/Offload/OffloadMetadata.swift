// What a frame still has to have done to it: the fields of `struct virtio_net_hdr`, which every port of the switch
// speaks, so that a large TCP segment crosses as one packet.
//
// Thread: a value; any. Memory: none of its own. Invariant: every bit pattern is a legal value; nothing here is to
// be believed before `classify(frame:metadata:exit:)` has compared it with the frame.
// Standard: virtio 1.2 §5.1.6 (little-endian on the wire; taps and packet sockets use the host's order, which is the
// same on every machine this is built for).

/// Checksum and segmentation work that a frame carries with it, in host byte order.
@frozen
public struct OffloadMetadata: BitwiseCopyable, Equatable, Sendable {
  /// `needsChecksum`, `dataValid`; other bits are reserved.
  public var flags: UInt8
  /// One of the `gso…` values, for TCP with `gsoECN` or-ed in.
  public var gsoType: UInt8
  /// Bytes of all headers, from the start of the frame; a hint only, 0 if not known.
  public var headerByteCount: UInt16
  /// Payload bytes of each segment, without headers.
  public var gsoByteCount: UInt16
  /// Where the sum begins, from the start of the frame.
  public var checksumStart: UInt16
  /// Where the checksum is stored, from `checksumStart`.
  public var checksumOffset: UInt16

  /// `VIRTIO_NET_HDR_F_NEEDS_CSUM`: the checksum field holds the pseudo header's sum only.
  public static var needsChecksum: UInt8 { 1 }
  /// `VIRTIO_NET_HDR_F_DATA_VALID`: the checksum was verified.
  public static var dataValid: UInt8 { 2 }

  public static var gsoNone: UInt8 { 0 }
  public static var gsoTCPv4: UInt8 { 1 }
  /// UDP fragmentation offload (UFO): one datagram, to be sent as IP fragments. Linux guests before 4.14 send it.
  public static var gsoUFO: UInt8 { 3 }
  public static var gsoTCPv6: UInt8 { 4 }
  /// UDP segmentation offload (USO): each segment is a datagram of its own.
  public static var gsoUDP: UInt8 { 5 }
  /// The segment has congestion window reduced (CWR) set.
  public static var gsoECN: UInt8 { 0x80 }

  /// Size of the wire form without `num_buffers`.
  public static var wireByteCount: Int { 10 }

  /// Nothing left to do.
  @inlinable
  public init() {
    self.init(flags: 0, gsoType: 0, headerByteCount: 0, gsoByteCount: 0, checksumStart: 0, checksumOffset: 0)
  }

  @inlinable
  public init(
    flags: UInt8, gsoType: UInt8, headerByteCount: UInt16, gsoByteCount: UInt16, checksumStart: UInt16,
    checksumOffset: UInt16
  ) {
    self.flags = flags
    self.gsoType = gsoType
    self.headerByteCount = headerByteCount
    self.gsoByteCount = gsoByteCount
    self.checksumStart = checksumStart
    self.checksumOffset = checksumOffset
  }

  /// Reads the wire form.
  /// - Parameter wire: at least `wireByteCount` readable bytes, at any alignment.
  @inlinable @inline(__always)
  public init(decoding wire: UnsafeRawPointer) {
    flags = unsafe wire.load(as: UInt8.self)
    gsoType = unsafe wire.load(fromByteOffset: 1, as: UInt8.self)
    headerByteCount = UInt16(littleEndian: unsafe wire.loadUnaligned(fromByteOffset: 2, as: UInt16.self))
    gsoByteCount = UInt16(littleEndian: unsafe wire.loadUnaligned(fromByteOffset: 4, as: UInt16.self))
    checksumStart = UInt16(littleEndian: unsafe wire.loadUnaligned(fromByteOffset: 6, as: UInt16.self))
    checksumOffset = UInt16(littleEndian: unsafe wire.loadUnaligned(fromByteOffset: 8, as: UInt16.self))
  }

  /// Writes the wire form.
  /// - Parameter wire: at least `wireByteCount` writable bytes, at any alignment.
  @inlinable @inline(__always)
  public func encode(to wire: UnsafeMutableRawPointer) {
    unsafe wire.storeBytes(of: flags, as: UInt8.self)
    unsafe wire.storeBytes(of: gsoType, toByteOffset: 1, as: UInt8.self)
    unsafe wire.storeBytes(of: headerByteCount.littleEndian, toByteOffset: 2, as: UInt16.self)
    unsafe wire.storeBytes(of: gsoByteCount.littleEndian, toByteOffset: 4, as: UInt16.self)
    unsafe wire.storeBytes(of: checksumStart.littleEndian, toByteOffset: 6, as: UInt16.self)
    unsafe wire.storeBytes(of: checksumOffset.littleEndian, toByteOffset: 8, as: UInt16.self)
  }

  /// The frame is complete as it is: no checksum to finish and nothing to cut.
  @inlinable @inline(__always)
  public var isComplete: Bool { flags & Self.needsChecksum == 0 && gsoType == Self.gsoNone }

  /// `gsoType` without the ECN bit.
  @inlinable @inline(__always)
  public var segmentationType: UInt8 { gsoType & ~Self.gsoECN }
}

/// What an exit port's receiver accepts, as virtio-net features (virtio 1.2 §5.1.3).
@frozen
public struct OffloadCapabilities: OptionSet, BitwiseCopyable, Sendable {
  public let rawValue: UInt8
  @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// Partial checksums (`CSUM`). Without it no other bit counts.
  @inlinable public static var checksum: Self { Self(rawValue: 1) }
  @inlinable public static var tso4: Self { Self(rawValue: 2) }
  @inlinable public static var tso6: Self { Self(rawValue: 4) }
  /// TSO of segments that carry CWR; counts beside `tso4` or `tso6`.
  @inlinable public static var tsoECN: Self { Self(rawValue: 8) }
  @inlinable public static var uso4: Self { Self(rawValue: 16) }
  @inlinable public static var uso6: Self { Self(rawValue: 32) }
  @inlinable public static var ufo: Self { Self(rawValue: 64) }
}
