// What a switch says of itself and how it is set up (OpenFlow 1.5 §7.3.1, §7.3.2, §7.3.5.1).

/// Answer to the first question of every controller.
package struct SwitchFeatures: Equatable, Sendable {
  /// Bits as 1.3 and later have them; 1.0 lacks some, and has `arpMatchIP` alone.
  package struct Capabilities: OptionSet, Hashable, Sendable {
    package let rawValue: UInt32
    package init(rawValue: UInt32) { self.rawValue = rawValue }
    package static let flowStatistics = Self(rawValue: 1 << 0)
    package static let tableStatistics = Self(rawValue: 1 << 1)
    package static let portStatistics = Self(rawValue: 1 << 2)
    package static let groupStatistics = Self(rawValue: 1 << 3)
    package static let ipReassembly = Self(rawValue: 1 << 5)
    package static let queueStatistics = Self(rawValue: 1 << 6)
    /// Matches ARP's addresses; 1.0 only.
    package static let arpMatchIP = Self(rawValue: 1 << 7)
    package static let portBlocked = Self(rawValue: 1 << 8)
    /// 1.4 and later.
    package static let bundles = Self(rawValue: 1 << 9)
    /// 1.4 and later.
    package static let flowMonitoring = Self(rawValue: 1 << 10)
  }
  package var datapathID: UInt64
  /// Packets that can be kept for a packet-out; 0: none.
  package var bufferCount: UInt32 = 0
  package var tableCount: UInt8
  /// Number of an auxiliary connection, 0 for the main one; 1.3 and later.
  package var auxiliaryID: UInt8 = 0
  package var capabilities: Capabilities
  /// Bit n for action type n of 1.0; 1.0 only.
  package var actions: UInt32 = 0
  /// 1.0 only; later versions ask by a multipart message.
  package var ports: [PortDescription] = []

  package init(datapathID: UInt64, tableCount: UInt8, capabilities: Capabilities) {
    self.datapathID = datapathID
    self.tableCount = tableCount
    self.capabilities = capabilities
  }
}

/// Settings that a controller may read and change.
package struct SwitchConfiguration: Equatable, Sendable {
  package enum FragmentHandling: UInt16, Sendable, CaseIterable {
    case normal = 0
    case drop = 1
    case reassemble = 2
    /// Open vSwitch's extension: first fragments are matched by their ports.
    case nxMatch = 3
  }
  package var fragments = FragmentHandling.normal
  /// Packets whose TTL runs out go to the controller; 1.0 (as Open vSwitch's extension), not 1.3 and later.
  package var sendsInvalidTTL = false
  /// How much of a packet goes to the controller on a miss, in bytes; 0xffff: all.
  package var missSendByteCount: UInt16 = 0

  package init() {}
}

/// Who made the switch; each text is cut to what the standard has room for (255, 31 bytes).
package struct SwitchDescription: Equatable, Sendable {
  package var manufacturer = ""
  package var hardware = ""
  package var software = ""
  package var serialNumber = ""
  package var datapath = ""

  package init() {}
}
