// A connection for people and programs, and which of them are meant. Thread: values; control code's.

import VSwitchCore

/// One connection as it was when it was read.
package struct ConnectionDescription: Equatable, Sendable {
  /// One direction.
  package struct Tuple: Equatable, Sendable {
    /// IPv4 in the low 32 bits.
    package var source: UInt128
    package var destination: UInt128
    package var sourcePort: UInt16
    package var destinationPort: UInt16
    package var packetCount: UInt64
    package var byteCount: UInt64
    /// ICMP: the identifier, type and code that are kept in the place of ports.
    package var icmpID: UInt16 { sourcePort }
    package var icmpType: UInt8 { UInt8(destinationPort >> 8) }
    package var icmpCode: UInt8 { UInt8(destinationPort & 0xff) }
  }

  package var ipProtocol: UInt8
  package var isIPv6: Bool
  package var zone: UInt16
  package var original: Tuple
  package var reply: Tuple
  package var mark: UInt32
  package var label: UInt128
  /// TCP states of the first sender and of the one that answers, as `TCPState`'s raw values; nil for others.
  package var tcpStates: (original: UInt8, reply: UInt8)?
  package var timeoutSeconds: UInt32
  package var ageSeconds: UInt32
  package var isReplied: Bool
  package var isRelated: Bool
  package var isTranslated: Bool
  /// "ftp", "tftp" or nil.
  package var helper: String?

  package static let tcpStateNames = [
    "CLOSED", "LISTEN", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "CLOSE_WAIT", "FIN_WAIT_1", "CLOSING", "LAST_ACK",
    "FIN_WAIT_2", "TIME_WAIT",
  ]

  /// The later one of both ends' states, as Open vSwitch prints one; nil for what is not TCP.
  package var tcpState: String? {
    guard let tcpStates else { return nil }
    let state = Int(max(tcpStates.original, tcpStates.reply))
    return state < Self.tcpStateNames.count ? Self.tcpStateNames[state] : nil
  }

  package static func == (a: Self, b: Self) -> Bool {
    a.original == b.original && a.reply == b.reply && a.zone == b.zone && a.ipProtocol == b.ipProtocol
      && a.isIPv6 == b.isIPv6 && a.mark == b.mark && a.label == b.label
  }

  /// - Parameter now: seconds of the tracker's clock.
  init(_ record: TrackedConnection, now: UInt32) {
    func tuple(_ tuple: ConnectionTuple, _ packets: UInt64, _ bytes: UInt64) -> Tuple {
      Tuple(
        source: tuple.source, destination: tuple.destination, sourcePort: tuple.sourcePort,
        destinationPort: tuple.destinationPort, packetCount: packets, byteCount: bytes)
    }
    ipProtocol = record.original.ipProtocol
    isIPv6 = record.original.isIPv6
    zone = record.original.zone
    original = tuple(record.original, record.originalPackets, record.originalBytes)
    reply = tuple(record.reply, record.replyPackets, record.replyBytes)
    mark = record.mark
    label = UInt128(record.labelHigh) << 64 | UInt128(record.labelLow)
    tcpStates =
      record.original.ipProtocol == 6 ? (record.originator.state.rawValue, record.responder.state.rawValue) : nil
    let seconds = Int32(bitPattern: record.expiresAt &- now)
    timeoutSeconds = UInt32(max(seconds, 0))
    ageSeconds = now &- record.createdAt
    isReplied = record.flags.contains(.isReplied)
    isRelated = record.flags.contains(.isRelated)
    isTranslated = record.flags.contains(.isTranslated)
    helper =
      switch record.helper {
      case .none: nil
      case .ftp: "ftp"
      case .tftp: "tftp"
      }
  }
}

extension ConnectionDescription {
  /// One direction as the tracker knows it.
  func tuple(of direction: Tuple) -> ConnectionTuple {
    var tuple = ConnectionTuple()
    tuple.source = direction.source
    tuple.destination = direction.destination
    tuple.sourcePort = direction.sourcePort
    tuple.destinationPort = direction.destinationPort
    tuple.zone = zone
    tuple.ipProtocol = ipProtocol
    tuple.isIPv6 = isIPv6
    return tuple
  }
}

/// Which connections are meant; what is nil does not matter.
package struct ConnectionFilter: Equatable, Sendable {
  package var zone: UInt16?
  package var ipProtocol: UInt8?
  package var isIPv6: Bool?
  package var original = ConnectionPattern()
  package var reply = ConnectionPattern()

  package init(zone: UInt16? = nil) { self.zone = zone }

  func matches(_ connection: UnsafeMutablePointer<TrackedConnection>) -> Bool {
    matches(unsafe connection.pointee.original, unsafe connection.pointee.reply)
  }

  /// The same for one that was read.
  package func matches(_ connection: ConnectionDescription) -> Bool {
    matches(connection.tuple(of: connection.original), connection.tuple(of: connection.reply))
  }

  private func matches(_ tuple: ConnectionTuple, _ answer: ConnectionTuple) -> Bool {
    if let zone, zone != tuple.zone { return false }
    if let ipProtocol, ipProtocol != tuple.ipProtocol { return false }
    if let isIPv6, isIPv6 != tuple.isIPv6 { return false }
    return original.matches(tuple) && reply.matches(answer)
  }
}

extension ConnectionPattern {
  func matches(_ tuple: ConnectionTuple) -> Bool {
    if let source, source != tuple.source { return false }
    if let destination, destination != tuple.destination { return false }
    if tuple.isICMP {
      if let icmpID, icmpID != tuple.sourcePort { return false }
      if let icmpType, icmpType != tuple.icmpType { return false }
      if let icmpCode, icmpCode != tuple.icmpCode { return false }
      return sourcePort == nil && destinationPort == nil
    }
    if let sourcePort, sourcePort != tuple.sourcePort { return false }
    if let destinationPort, destinationPort != tuple.destinationPort { return false }
    return icmpID == nil && icmpType == nil && icmpCode == nil
  }
}

/// How full the table of connections is, and what has become of them.
package struct ConntrackStatistics: Sendable {
  package var limit = 0
  /// Places that were ever used; their memory is resident.
  package var placeCount = 0
  package var bytesPerConnection = 0
  package var counters = ConntrackCounters()
  /// By IP protocol.
  package var protocols: [UInt8: Int] = [:]
  /// TCP connections by state.
  package var tcpStates: [String: Int] = [:]

  package var count: Int { protocols.values.reduce(0, +) }

  package init() {}
}

/// A zone that has connections, a limit, or timeouts of its own.
package struct ConntrackZone: Equatable, Sendable {
  package var zone: UInt16
  package var count: Int
  /// 0: none.
  package var limit: UInt32
  /// Connections that the limit refused.
  package var refusedCount: UInt32
  package var hasOwnTimeouts: Bool
}

extension ConntrackZone {
  /// A zone without connections, with the settings of another.
  init(_ zone: UInt16, like other: ConntrackZone) {
    self.init(zone: zone, count: 0, limit: other.limit, refusedCount: 0, hasOwnTimeouts: other.hasOwnTimeouts)
  }
}
