// OpenFlow port numbers as every part of the switch uses them: 32 bits, reserved ones from the top (OpenFlow 1.5 §7.2.1).
// The codecs of OpenFlow 1.0 and of the Nicira extensions map their 16-bit numbers to these.

/// Number of a port on its bridge, or one of the reserved numbers.
public struct PortNumber: Hashable, Comparable, Sendable {
  public let rawValue: UInt32

  @inlinable public init(_ rawValue: UInt32) { self.rawValue = rawValue }

  /// Takes a number of 16 bits, as OpenFlow 1.0 and the database have them: reserved ones from 0xff00 (OpenFlow 1.0 §5.2.1).
  @inlinable public init(openFlow10 number: UInt16) {
    self.init(number >= 0xff00 ? 0xffff_0000 | UInt32(number) : UInt32(number))
  }

  /// No output port has been written to the action set (field `actset_output`).
  @inlinable public static var unset: PortNumber { PortNumber(0xffff_fff7) }
  /// The port where the packet came in.
  @inlinable public static var inPort: PortNumber { PortNumber(0xffff_fff8) }
  /// Submit to the first table; in packet-out only.
  @inlinable public static var table: PortNumber { PortNumber(0xffff_fff9) }
  /// MAC learning and forwarding by the bridge.
  @inlinable public static var normal: PortNumber { PortNumber(0xffff_fffa) }
  /// All ports but the entry port and those with flooding off.
  @inlinable public static var flood: PortNumber { PortNumber(0xffff_fffb) }
  /// All ports but the entry port.
  @inlinable public static var all: PortNumber { PortNumber(0xffff_fffc) }
  @inlinable public static var controller: PortNumber { PortNumber(0xffff_fffd) }
  /// The bridge's own port.
  @inlinable public static var local: PortNumber { PortNumber(0xffff_fffe) }
  /// Wildcard in requests; no port in a packet.
  @inlinable public static var any: PortNumber { PortNumber(0xffff_ffff) }

  /// Numbers up to here name real ports.
  @inlinable public static var maximum: UInt32 { 0xffff_ff00 }

  /// Not one of the reserved numbers, or the bridge's own port.
  @inlinable public var isPhysical: Bool { (1...PortNumber.maximum).contains(rawValue) || self == .local }

  @inlinable public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
}
