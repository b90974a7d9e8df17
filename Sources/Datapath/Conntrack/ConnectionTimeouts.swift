// How long a connection lives after its last packet, by what has been seen of it. Defaults: those of Open vSwitch's userspace
// datapath. Names in the database: ovs-vswitchd.conf.db(5), CT_Timeout_Policy. Pure.

/// Which of a policy's timeouts a connection has now.
enum ConnectionTimeout: UInt8, CaseIterable {
  case tcpFirst, tcpOpening, tcpEstablished, tcpClosing, tcpFinWait, tcpClosed
  case otherFirst, otherMultiple, otherBidirectional
  case icmpFirst, icmpReply
}

/// Timeouts of a zone, seconds.
package struct ConnectionTimeouts: Equatable, Sendable {
  /// Words of a policy in a table's memory.
  static var wordCount: Int { 16 }

  /// By raw value of `ConnectionTimeout`.
  private var seconds: [UInt32] = [30, 30, 86_400, 900, 45, 30, 60, 60, 30, 60, 30]

  package init() {}

  subscript(_ timeout: ConnectionTimeout) -> UInt32 { seconds[Int(timeout.rawValue)] }

  /// Sets what a key of CT_Timeout_Policy stands for. Open vSwitch's userspace datapath has no other use for the remaining
  /// keys either (tcp_close_wait, tcp_last_ack, tcp_syn_sent2, tcp_retransmit, tcp_unack).
  /// - Returns: false for a key without an effect.
  @discardableResult
  package mutating func set(_ key: String, seconds value: UInt32) -> Bool {
    guard let timeout = ConnectionTimeouts.timeout(key) else { return false }
    seconds[Int(timeout.rawValue)] = value
    return true
  }

  private static func timeout(_ key: String) -> ConnectionTimeout? {
    switch key {
    case "tcp_syn_sent": .tcpFirst
    case "tcp_syn_recv": .tcpOpening
    case "tcp_established": .tcpEstablished
    case "tcp_fin_wait": .tcpClosing
    case "tcp_time_wait": .tcpFinWait
    case "tcp_close": .tcpClosed
    case "udp_first": .otherFirst
    case "udp_single": .otherMultiple
    case "udp_multiple": .otherBidirectional
    case "icmp_first": .icmpFirst
    case "icmp_reply": .icmpReply
    default: nil
    }
  }
}
