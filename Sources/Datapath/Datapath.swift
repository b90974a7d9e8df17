// The datapath as the control world sees it: one object that is brought to a desired state and asked for its state.
// Thread-safe; calls take milliseconds (ports are opened, a grace period is waited for), so call it from control code.

import VSwitchCore

/// How a datapath starts.
package struct DatapathOptions: Sendable {
  /// The CPU that the worker is pinned to; nil lets the scheduler choose.
  package var workerCPU: Int?
  /// Use epoll even where io_uring works (tests; also environment VSWITCH_NO_IO_URING=1).
  package var avoidIOUring = false
  /// Where pcap ports may read and write their files.
  package var captureDirectory = "/var/lib/vswitch/pcap"

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
  /// A link appeared, vanished or changed: call `apply` again to retry, `portStates` to see.
  case linkChanged(name: String)
}

/// The running datapath.
package final class Datapath: Sendable {
  /// What a port or link did that control code may want to act on. One consumer.
  package let events: AsyncStream<DatapathEvent>
  private let eventSource: AsyncStream<DatapathEvent>.Continuation

  /// Starts the worker; no ports yet.
  package init(_ options: DatapathOptions) throws(ConfigError) {
    (events, eventSource) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(256))
  }

  /// Brings the ports and bridges to `config` and returns when the worker forwards by it. Ports that fail are
  /// reported, the others work; failed ones are tried again by every call.
  package func apply(_ config: SwitchConfig) -> [PortState] { [] }

  /// The state of every configured port now (link state read from the system).
  package func portStates() -> [PortState] { [] }

  /// Counters of every open port by bridge and port name, all taken at one moment between two bursts.
  package func counters() -> [(bridge: String, port: String, portNumber: UInt16, counters: PortCounters)] { [] }

  /// The MAC table of a bridge, nil if there is no such bridge.
  package func macTable(bridge: String) -> [MACTableEntry]? { nil }

  /// Removes learned entries (static ones stay); of one VLAN or port if given.
  /// - Returns: how many were removed.
  package func flushMACTable(bridge: String, vlan: UInt16? = nil, port: String? = nil) throws(ConfigError) -> Int { 0 }

  /// Adds a static entry, replacing any entry of that address and VLAN.
  package func addMACEntry(bridge: String, port: String, vlan: UInt16, address: MACAddress) throws(ConfigError) {}

  /// Removes an entry, static or learned; throws if there is none.
  package func removeMACEntry(bridge: String, vlan: UInt16, address: MACAddress) throws(ConfigError) {}

  /// Ends the worker and closes every port.
  package func shutdown() {}
}
