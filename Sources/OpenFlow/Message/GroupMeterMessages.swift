// Statistics and features of groups and meters (OpenFlow 1.5 §7.3.5.10 to §7.3.5.15).

/// Counters of a group.
package struct GroupCounters: Equatable, Sendable {
  package struct Counter: Equatable, Sendable {
    package var packetCount: UInt64
    package var byteCount: UInt64

    package init(packetCount: UInt64, byteCount: UInt64) {
      self.packetCount = packetCount
      self.byteCount = byteCount
    }
  }
  package var group: UInt32
  /// Rules and groups that forward to it.
  package var referenceCount: UInt32 = 0
  package var packetCount: UInt64 = 0
  package var byteCount: UInt64 = 0
  package var duration = ElapsedTime()
  package var buckets: [Counter] = []

  package init(group: UInt32) { self.group = group }
}

/// What the group table can do.
package struct GroupFeatures: Equatable, Sendable {
  package struct PerKind: Equatable, Sendable {
    package var maximumGroups: UInt32
    /// Bit n for action type n.
    package var actions: UInt32

    package init(maximumGroups: UInt32, actions: UInt32) {
      self.maximumGroups = maximumGroups
      self.actions = actions
    }
  }
  /// Weights 1, liveness 2, chaining 4, checks for loops 8.
  package var capabilities: UInt32 = 0
  /// Of all, select, indirect and fast failover groups; nil: not supported.
  package var all: PerKind?
  package var select: PerKind?
  package var indirect: PerKind?
  package var fastFailover: PerKind?

  package init() {}
}

/// Counters of a meter.
package struct MeterCounters: Equatable, Sendable {
  package var meter: UInt32
  package var flowCount: UInt32 = 0
  package var packetInCount: UInt64 = 0
  package var byteInCount: UInt64 = 0
  package var duration = ElapsedTime()
  package var bands: [GroupCounters.Counter] = []

  package init(meter: UInt32) { self.meter = meter }
}

/// What the meter table can do.
package struct MeterFeatures: Equatable, Sendable {
  package var maximumMeters: UInt32 = 0
  /// Bit n for band type n: drop 1, DSCP remark 2.
  package var bandKinds: UInt32 = 0
  /// Kilobits 1, packets 2, burst 4, statistics 8.
  package var capabilities: UInt32 = 0
  package var maximumBands: UInt8 = 0
  package var maximumColors: UInt8 = 0
  /// 1.5 only: meters as actions in write-actions 1, several 2.
  package var features: UInt32 = 0

  package init() {}
}
