// What is said of one direction of tracked connections: by a controller's message and by a command alike.

/// One direction of a connection; what is nil does not matter.
public struct ConnectionPattern: Equatable, Sendable {
  /// IPv4 in the low 32 bits.
  public var source: UInt128?
  public var destination: UInt128?
  public var sourcePort: UInt16?
  public var destinationPort: UInt16?
  public var icmpID: UInt16?
  public var icmpType: UInt8?
  public var icmpCode: UInt8?

  public init() {}

  /// Any connection matches.
  public var isEmpty: Bool { self == ConnectionPattern() }
}
