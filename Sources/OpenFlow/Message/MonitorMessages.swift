// Watching the flow tables (OpenFlow 1.5 §7.3.5.19; NXST_FLOW_MONITOR in 1.0, ONFST_FLOW_MONITOR in 1.3).

import VSwitchCore

/// Asks to be told of changes.
package struct FlowMonitorRequest: Equatable, Sendable {
  package enum Command: UInt8, Sendable, CaseIterable {
    case add = 0
    case modify = 1
    case delete = 2
  }
  /// Bits as 1.4 has them; Open vSwitch's for 1.0 are the first six.
  package struct Flags: OptionSet, Hashable, Sendable {
    package let rawValue: UInt16
    package init(rawValue: UInt16) { self.rawValue = rawValue }
    /// Tell of the rules there are.
    package static let initial = Flags(rawValue: 1 << 0)
    package static let added = Flags(rawValue: 1 << 1)
    package static let removed = Flags(rawValue: 1 << 2)
    package static let modified = Flags(rawValue: 1 << 3)
    package static let instructions = Flags(rawValue: 1 << 4)
    /// Tell own changes in full too, not by their xid.
    package static let noAbbreviation = Flags(rawValue: 1 << 5)
    package static let onlyOwn = Flags(rawValue: 1 << 6)
  }
  package var id: UInt32
  /// `add` before 1.4.
  package var command = Command.add
  package var flags: Flags = []
  package var outPort = PortNumber.any
  package var outGroup = GroupMod.anyGroup
  package var table = FlowMod.allTables
  package var match = Match()

  package init(id: UInt32) { self.id = id }
}

/// What a monitor tells.
package enum FlowUpdate: Equatable, Sendable {
  case change(FlowChange)
  /// The watcher's own change, by the xid of its message.
  case abbreviated(xid: UInt32)
  /// Too much to tell: changes are left out until `resumed`. Before 1.4 messages of their own.
  case paused
  case resumed
}

/// A rule that is there, came, went or changed.
package struct FlowChange: Equatable, Sendable {
  package enum Event: UInt16, Sendable, CaseIterable {
    /// There when the watching began; 1.4 and later, before that `added`.
    case initial = 0
    case added = 1
    case removed = 2
    case modified = 3
  }
  package var event: Event
  /// Of `removed`; else `delete`.
  package var reason = FlowRemoved.Reason.delete
  package var table: UInt8 = 0
  package var priority: UInt16 = 0
  package var idleTimeoutSeconds: UInt16 = 0
  package var hardTimeoutSeconds: UInt16 = 0
  package var cookie: UInt64 = 0
  package var match = Match()
  /// Empty unless asked for.
  package var instructions = Instructions()

  package init(_ event: Event) { self.event = event }
}
