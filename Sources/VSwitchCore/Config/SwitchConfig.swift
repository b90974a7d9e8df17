// The desired state of the whole switch as plain values: what the reconciler makes of the database and what the
// datapath is brought to. Pure data; text is checked when it is made from the database (`ConfigError`).
// Meaning of every field: the columns of the same name in ovs-vswitchd.conf.db(5).

/// Everything the datapath has to be.
public struct SwitchConfig: Equatable, Sendable {
  /// Bridges by name, in any order.
  public var bridges: [BridgeConfig] = []
  /// `Open_vSwitch.other_config:busy-poll`: the worker spins on its rx queues and burns its core.
  public var busyPoll = false
  /// `Open_vSwitch.other_config:ct-tcp-loose`: a TCP connection of which the beginning was not seen may be tracked from its middle on.
  public var picksUpTCP = true
  /// `Open_vSwitch.other_config:pmd-cpu-mask`: CPUs with a worker each, which share the bridges; none: one worker, on any CPU.
  public var workerCPUs: [Int] = []

  public init() {}
}

/// One bridge and its ports.
public struct BridgeConfig: Equatable, Sendable {
  public var name: String
  public var ports: [PortConfig] = []
  /// `other_config:mac-aging-time`, seconds, 15 to 3600.
  public var macAgeingSeconds = 300
  /// `other_config:mac-table-size`, entries, 10 to 1,000,000.
  public var macTableLimit = 8192
  /// `flood_vlans`: VLANs on which no address is learned, so that every frame is flooded.
  public var floodVLANs: Set<UInt16> = []
  /// `other_config:forward-bpdu`: let frames to 01:80:C2:00:00:0x pass on all ports.
  public var forwardReservedMulticast = false
  /// `other_config:hwaddr`: the bridge's own MAC, nil to derive one from its ports.
  public var hardwareAddress: MACAddress?
  /// `fail_mode=secure`: without a controller's rules nothing is forwarded.
  public var isSecure = false
  /// It is a virtual router's, whose rules the switch itself makes.
  public var isRouter = false
  /// Whether controllers are to program it (rows of Controller of type `primary`).
  public var hasControllers = false
  /// `flow_tables`, by table number.
  public var flowTables: [UInt8: FlowTableConfig] = [:]

  /// Whether its tables begin with the rule to forward everything as NORMAL, and have it again when they are emptied because
  /// controllers came or went or `fail_mode` was changed.
  public var beginsAsNormal: Bool { !isSecure && !hasControllers }

  /// Whether its tables are to be emptied for another configuration in its place, as Open vSwitch does.
  public func emptiesTables(for other: BridgeConfig) -> Bool {
    hasControllers != other.hasControllers || (isSecure != other.isSecure && !other.hasControllers)
  }

  public init(name: String) { self.name = name }
}

/// How full an OpenFlow table may get: a row of Flow_Table.
public struct FlowTableConfig: Equatable, Sendable {
  /// `flow_limit`: most rules; nil: no limit of its own.
  public var ruleLimit: Int?
  /// `overflow_policy=evict`: a rule with a timeout gives way to a new one.
  public var evicts = false

  public init() {}
}

/// One port of a bridge with its one interface (bonds come later).
public struct PortConfig: Equatable, Sendable {
  public var name: String
  public var vlan = VLANConfig()
  /// `protected`: frames never pass between two protected ports of a bridge.
  public var isProtected = false
  /// Port's `other_config:forward-bpdu`: frames to 01:80:C2:00:00:0x may enter and leave here.
  public var forwardReservedMulticast = false
  /// Rules between its device and its bridge; nil: none.
  public var guarding: PortGuard?
  public var interface: InterfaceConfig

  public init(name: String, interface: InterfaceConfig) {
    self.name = name
    self.interface = interface
  }
}

/// A bridge of rules that a port's packets pass on their way in and out, between the port's device and its own bridge: what
/// comes from the device enters there at one port, and what is output to the other one goes on to the port's bridge; and back.
public struct PortGuard: Equatable, Sendable {
  /// Name of the bridge of rules; of `SwitchConfig.bridges`.
  public var bridge: String
  /// OpenFlow number there of the device, and of what leads to the port's own bridge; 1 to 65279.
  public var deviceNumber: UInt16
  public var bridgeNumber: UInt16
  /// Names of the security groups whose rules they are; for those who ask.
  public var groups: [String] = []

  public init(bridge: String, deviceNumber: UInt16, bridgeNumber: UInt16) {
    self.bridge = bridge
    self.deviceNumber = deviceNumber
    self.bridgeNumber = bridgeNumber
  }
}

/// What one port of a bridge is to be from now on, where the bridge itself stays as it is.
public struct PortChange: Equatable, Sendable {
  public var bridge: String
  public var port: String
  /// Nil: there is to be no such port.
  public var config: PortConfig?

  public init(bridge: String, port: String, config: PortConfig?) {
    self.bridge = bridge
    self.port = port
    self.config = config
  }
}

/// How a port treats VLANs: columns `vlan_mode`, `tag`, `trunks`, `cvlans`, `other_config:priority-tags`,
/// `other_config:qinq-ethtype` of table Port.
public struct VLANConfig: Equatable, Sendable {
  /// `vlan_mode`; absent in the database it follows from `tag` (access if set, else trunk).
  public enum Mode: String, Sendable, CaseIterable {
    case access
    case trunk
    case nativeTagged = "native-tagged"
    case nativeUntagged = "native-untagged"
    case dot1qTunnel = "dot1q-tunnel"
  }
  /// `other_config:priority-tags`: whether frames leave an access or native-untagged port with a priority tag
  /// (VID 0). `true` in the database means `ifNonzero`.
  public enum PriorityTags: String, Sendable, CaseIterable {
    case never
    case ifNonzero = "if-nonzero"
    case always
  }
  public var mode = Mode.trunk
  /// Access, native or service VLAN, 0 to 4095; 0 where the database has none.
  public var tag: UInt16 = 0
  /// VLANs of a trunk or native port; empty means all. The native VLAN always belongs.
  public var trunks: Set<UInt16> = []
  /// Customer VLANs that a dot1q-tunnel port accepts; empty means all. 0 stands for untagged.
  public var customerVLANs: Set<UInt16> = []
  public var priorityTags = PriorityTags.never
  /// EtherType of the service tag on dot1q-tunnel ports: 0x88a8 (802.1ad, default) or 0x8100 (802.1q).
  public var serviceEtherType: UInt16 = 0x88a8

  public init() {}
}

/// One interface: what carries a port's packets.
public struct InterfaceConfig: Equatable, Sendable {
  public enum Kind: String, Sendable, CaseIterable {
    case tap
    case `internal`
    case system
    case patch
    case pcap
    /// A guest's device by a socket on which the switch listens; also called `dpdkvhostuser`.
    case vhostUser = "vhostuser"
    /// The same with the switch as the one that connects; also called `dpdkvhostuserclient`.
    case vhostUserClient = "vhostuserclient"

    /// Open vSwitch's names for types that are called otherwise here.
    public static var aliases: [String: Kind] {
      ["dpdkvhostuser": .vhostUser, "dpdkvhostuserclient": .vhostUserClient]
    }

    /// The kind that a user means; nil if there is none of that name.
    public init?(name: String) {
      guard let kind = Kind(rawValue: name) ?? Kind.aliases[name] else { return nil }
      self = kind
    }

    /// Every name that `init(name:)` knows.
    public static var names: [String] { allCases.map(\.rawValue) + aliases.keys.sorted() }

    /// There is no network device of the kernel's behind it.
    public var isDeviceless: Bool {
      switch self {
      case .patch, .pcap, .vhostUser, .vhostUserClient: true
      case .tap, .internal, .system: false
      }
    }
  }
  public var name: String
  public var kind: Kind
  /// Column `options`, already checked for its keys. tap: `netns`, `owner`, `group`; patch: `peer`;
  /// pcap: `rx-file`, `tx-file`; vhostuserclient: `vhost-server-path`.
  public var options: [String: String] = [:]
  /// `ofport_request`, 1 to 65279.
  public var portNumberRequest: UInt16?
  /// `mtu_request`, bytes.
  public var mtuRequest: Int?
  /// `mac`, for internal ports; of a router's end of a patch the router's there.
  public var hardwareAddress: MACAddress?

  public init(name: String, kind: Kind) {
    self.name = name
    self.kind = kind
  }
}
