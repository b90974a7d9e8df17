// Ports and queues (OpenFlow 1.5 §7.2.1, §7.2.2, §7.3.4.3, §7.3.5.6 to §7.3.5.9, §7.4.3).

import VSwitchCore

/// A port as it is described.
package struct PortDescription: Equatable, Sendable {
  /// Bits as every version has them; 1.3 and later lack those of spanning tree and flooding.
  package struct Configuration: OptionSet, Hashable, Sendable {
    package let rawValue: UInt32
    package init(rawValue: UInt32) { self.rawValue = rawValue }
    package static let down = Self(rawValue: 1 << 0)
    package static let noSTP = Self(rawValue: 1 << 1)
    package static let noReceive = Self(rawValue: 1 << 2)
    package static let noReceiveSTP = Self(rawValue: 1 << 3)
    package static let noFlood = Self(rawValue: 1 << 4)
    package static let noForward = Self(rawValue: 1 << 5)
    package static let noPacketIn = Self(rawValue: 1 << 6)
  }
  /// Bits as 1.3 has them; 1.0 has `linkDown` alone.
  package struct State: OptionSet, Hashable, Sendable {
    package let rawValue: UInt32
    package init(rawValue: UInt32) { self.rawValue = rawValue }
    package static let linkDown = Self(rawValue: 1 << 0)
    package static let blocked = Self(rawValue: 1 << 1)
    /// Live for fast failover groups.
    package static let live = Self(rawValue: 1 << 2)
  }
  /// Bits as 1.3 has them.
  package struct LinkFeatures: OptionSet, Hashable, Sendable {
    package let rawValue: UInt32
    package init(rawValue: UInt32) { self.rawValue = rawValue }
    package static let halfDuplex10Mb = Self(rawValue: 1 << 0)
    package static let fullDuplex10Mb = Self(rawValue: 1 << 1)
    package static let halfDuplex100Mb = Self(rawValue: 1 << 2)
    package static let fullDuplex100Mb = Self(rawValue: 1 << 3)
    package static let halfDuplex1Gb = Self(rawValue: 1 << 4)
    package static let fullDuplex1Gb = Self(rawValue: 1 << 5)
    package static let fullDuplex10Gb = Self(rawValue: 1 << 6)
    package static let fullDuplex40Gb = Self(rawValue: 1 << 7)
    package static let fullDuplex100Gb = Self(rawValue: 1 << 8)
    package static let fullDuplex1Tb = Self(rawValue: 1 << 9)
    package static let other = Self(rawValue: 1 << 10)
    package static let copper = Self(rawValue: 1 << 11)
    package static let fiber = Self(rawValue: 1 << 12)
    package static let autonegotiation = Self(rawValue: 1 << 13)
    package static let pause = Self(rawValue: 1 << 14)
    package static let asymmetricPause = Self(rawValue: 1 << 15)
  }
  package var number: PortNumber
  package var hardwareAddress: MACAddress
  /// Up to 15 bytes; what is longer is cut.
  package var name: String
  package var configuration: Configuration = []
  package var state: State = []
  package var current: LinkFeatures = []
  package var advertised: LinkFeatures = []
  package var supported: LinkFeatures = []
  package var peer: LinkFeatures = []
  /// 1.3 and later.
  package var currentKilobitsPerSecond: UInt32 = 0
  /// 1.3 and later.
  package var maximumKilobitsPerSecond: UInt32 = 0

  package init(number: PortNumber, hardwareAddress: MACAddress, name: String) {
    self.number = number
    self.hardwareAddress = hardwareAddress
    self.name = name
  }
}

/// A port came, went or changed.
package struct PortStatus: Equatable, Sendable {
  package enum Reason: UInt8, Sendable, CaseIterable {
    case add = 0
    case delete = 1
    case modify = 2
  }
  package var reason: Reason
  package var port: PortDescription

  package init(_ reason: Reason, _ port: PortDescription) {
    self.reason = reason
    self.port = port
  }
}

/// Changes a port's configuration.
package struct PortMod: Equatable, Sendable {
  package var port: PortNumber
  /// Has to be the port's.
  package var hardwareAddress: MACAddress
  package var configuration: PortDescription.Configuration = []
  /// The bits of `configuration` that are changed.
  package var mask: PortDescription.Configuration = []
  /// What the port is to advertise; empty: as it is.
  package var advertised: PortDescription.LinkFeatures = []

  package init(port: PortNumber, hardwareAddress: MACAddress) {
    self.port = port
    self.hardwareAddress = hardwareAddress
  }
}

/// Counters of a port; a counter that the switch does not keep is all ones.
package struct PortStatistics: Equatable, Sendable {
  package var port: PortNumber
  package var rxPackets: UInt64 = .max
  package var txPackets: UInt64 = .max
  package var rxBytes: UInt64 = .max
  package var txBytes: UInt64 = .max
  package var rxDropped: UInt64 = .max
  package var txDropped: UInt64 = .max
  package var rxErrors: UInt64 = .max
  package var txErrors: UInt64 = .max
  package var rxFrameErrors: UInt64 = .max
  package var rxOverErrors: UInt64 = .max
  package var rxCRCErrors: UInt64 = .max
  package var collisions: UInt64 = .max
  /// 1.3 and later.
  package var duration = ElapsedTime()

  package init(port: PortNumber) { self.port = port }
}

/// A queue as it is described.
package struct QueueDescription: Equatable, Sendable {
  package var port: PortNumber
  package var queue: UInt32
  /// In tenths of a percent of the port's rate; nil: none.
  package var minimumRate: UInt16?
  /// In tenths of a percent of the port's rate; nil: none.
  package var maximumRate: UInt16?

  package init(port: PortNumber, queue: UInt32) {
    self.port = port
    self.queue = queue
  }
}

/// Counters of a queue.
package struct QueueStatistics: Equatable, Sendable {
  package var port: PortNumber
  package var queue: UInt32
  package var txBytes: UInt64 = 0
  package var txPackets: UInt64 = 0
  package var txErrors: UInt64 = 0
  /// 1.3 and later.
  package var duration = ElapsedTime()

  package init(port: PortNumber, queue: UInt32) {
    self.port = port
    self.queue = queue
  }
}
