// What is said of rules: removal, statistics (OpenFlow 1.5 §7.4.2, §7.3.5.2; NXST_FLOW).

import VSwitchCore

/// How flows are written in 1.0: fixed fields, or Open vSwitch's NXM.
package enum FlowFormat: UInt32, Sendable, CaseIterable {
  case openFlow10 = 0
  case nxm = 2
}

/// Time since something began.
package struct ElapsedTime: Equatable, Sendable {
  package var seconds: UInt32 = 0
  /// Beyond the seconds.
  package var nanoseconds: UInt32 = 0

  package init() {}
  package init(seconds: UInt32, nanoseconds: UInt32 = 0) {
    self.seconds = seconds
    self.nanoseconds = nanoseconds
  }
}

/// A rule is gone.
package struct FlowRemoved: Equatable, Sendable {
  package enum Reason: UInt8, Sendable, CaseIterable {
    case idleTimeout = 0
    case hardTimeout = 1
    case delete = 2
    case groupDelete = 3
    /// 1.4 and later; earlier `delete`.
    case meterDelete = 4
    /// 1.4 and later; earlier `delete`.
    case eviction = 5
  }
  package var match = Match()
  package var cookie: UInt64 = 0
  package var priority: UInt16 = 0
  package var reason = Reason.delete
  /// Not in 1.0's own form.
  package var table: UInt8 = 0
  package var duration = ElapsedTime()
  package var idleTimeoutSeconds: UInt16 = 0
  /// Not in 1.0.
  package var hardTimeoutSeconds: UInt16 = 0
  package var packetCount: UInt64 = 0
  package var byteCount: UInt64 = 0

  package init() {}
}

/// Which rules a request is about.
package struct FlowStatisticsRequest: Equatable, Sendable {
  /// `FlowMod.allTables` for all.
  package var table = FlowMod.allTables
  package var outPort = PortNumber.any
  /// Not in 1.0.
  package var outGroup = GroupMod.anyGroup
  package var cookie = FlowMod.CookieFilter()
  package var match = Match()

  package init() {}
}

/// A rule with its statistics.
package struct FlowStatistics: Equatable, Sendable {
  package var table: UInt8 = 0
  package var priority: UInt16 = 32768
  package var match = Match()
  package var cookie: UInt64 = 0
  /// Not in `MultipartReply.Body.flowStatistics`.
  package var instructions = Instructions()
  package var duration = ElapsedTime()
  package var idleTimeoutSeconds: UInt16 = 0
  package var hardTimeoutSeconds: UInt16 = 0
  /// 1.4 and later.
  package var importance: UInt16 = 0
  /// 1.3 and later.
  package var flags: FlowMod.Flags = []
  /// Nil: not known.
  package var packetCount: UInt64?
  package var byteCount: UInt64?
  /// Seconds since a packet came, since the rule was changed; NXST_FLOW of 1.0 after `flowAge`, 1.5 the first.
  package var idleAgeSeconds: UInt32?
  package var hardAgeSeconds: UInt32?

  package init() {}
}

/// Sums over rules.
package struct FlowAggregate: Equatable, Sendable {
  package var packetCount: UInt64 = 0
  package var byteCount: UInt64 = 0
  package var flowCount: UInt32 = 0

  package init() {}
}
