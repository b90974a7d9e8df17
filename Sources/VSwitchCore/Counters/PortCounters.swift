// One port's counters as values, as control code sees them.

/// A port's counters. For every port at every moment
/// `receivedPackets == forwardedPackets + sum of receiveDrops`; a packet is forwarded when at least one copy left.
public struct PortCounters: Equatable, Sendable {
  public var receivedPackets: UInt64 = 0
  public var receivedBytes: UInt64 = 0
  public var receivedMulticastPackets: UInt64 = 0
  public var receiveErrors: UInt64 = 0
  /// Received packets of which at least one copy was delivered.
  public var forwardedPackets: UInt64 = 0
  public var transmittedPackets: UInt64 = 0
  public var transmittedBytes: UInt64 = 0
  public var transmitErrors: UInt64 = 0
  /// Received packets that ended here, by reason.
  public var receiveDrops: [DropReason: UInt64] = [:]
  /// Copies that could not leave through this port, by reason.
  public var transmitDrops: [DropReason: UInt64] = [:]

  public init() {}
}
