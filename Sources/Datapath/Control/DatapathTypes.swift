// What the datapath is told and tells, as plain values.

import VSwitchCore

/// How a datapath starts.
package struct DatapathOptions: Sendable {
  /// The CPU that the worker is pinned to; nil lets the scheduler choose.
  package var workerCPU: Int?
  /// Use epoll even where io_uring works (tests; also environment VSWITCH_NO_IO_URING=1).
  package var avoidIOUring = false
  /// Where vhost-user ports have their sockets and records.
  package var runDirectory = "/run/vswitch"
  /// Where pcap ports may read and write their files.
  package var captureDirectory = "/var/lib/vswitch/pcap"
  /// Where link changes are heard; nil opens one with the rights that there are when the datapath starts.
  package var linkSocket: LinkMonitorSocket?

  package init() {}
}

/// What became of one configured port.
package struct PortState: Equatable, Sendable {
  package var bridge: String
  package var name: String
  /// OpenFlow port number; 65534 for the bridge's own port; nil while it could not be opened.
  package var portNumber: UInt16?
  /// Why the port does not work, in Open vSwitch's words where it has any
  /// ("could not open network device x (No such device)").
  package var error: ConfigError?
  package var interfaceIndex: Int?
  package var hardwareAddress: MACAddress?
  package var mtu: Int?
  package var isAdminUp: Bool?
  package var isLinkUp: Bool?
  /// Bits per second.
  package var linkSpeed: Int?
  package var isFullDuplex: Bool?
  package var linkResets = 0
  /// driver_name, driver_version, firmware_version, and ours: `io_engine` (io_uring, epoll), `netns`.
  package var status: [String: String] = [:]
}

/// One learned or static address of a bridge.
package struct MACTableEntry: Equatable, Sendable {
  package var vlan: UInt16
  package var address: MACAddress
  package var port: String
  /// OpenFlow port number.
  package var portNumber: UInt16
  /// Seconds since a frame from there was seen; nil for static entries.
  package var ageSeconds: Int?
}

/// Something happened that may change a port's state or mend its error.
package enum DatapathEvent: Equatable, Sendable {
  /// A link appeared, vanished or changed: call `apply` again to retry, `portStates` to see. No name: any link may have.
  case linkChanged(name: String)
}
