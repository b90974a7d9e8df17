// What a rule, group bucket or packet-out does with a packet, free of any protocol version: OpenFlow's actions and those of
// Open vSwitch's extensions (ovs-actions(7)). Instructions stand beside them in `Instructions`.
// The older forms are read into the newer: mod_nw_src, set_field and load are `setField`, reg_load too.

/// One action.
public indirect enum Action: Equatable, Sendable {
  // Where to
  /// - Parameter maximumByteCount: for `PortNumber.controller` how much of the packet is sent; 0xffff: all of it.
  case output(PortNumber, maximumByteCount: UInt16)
  /// To the port whose number the field has.
  case outputField(Subfield, maximumByteCount: UInt16)
  /// Cuts the packet to a length (`output(port=…,max_len=…)`).
  case outputTruncated(PortNumber, byteCount: UInt32)
  case controller(ControllerAction)
  case enqueue(PortNumber, queue: UInt32)
  case group(UInt32)
  case bundle(BundleAction)

  // The packet's headers and the pipeline's fields
  /// Sets the bits of `mask`; also `load`, `mod_…` and OpenFlow 1.0's set actions.
  case setField(Field, value: UInt128, mask: UInt128)
  /// Copies as many bits as both have. Invariant: both have the same number.
  case move(from: Subfield, to: Subfield)
  case stackPush(Subfield)
  case stackPop(Subfield)
  /// - Parameter etherType: 0x8100 or 0x88a8.
  case pushVLAN(etherType: UInt16)
  case popVLAN
  /// OpenFlow 1.0 and 1.1: sets the VID, adding a tag if there is none.
  case setVLANID(UInt16)
  /// OpenFlow 1.0 and 1.1: sets the priority, adding a tag if there is none.
  case setVLANPriority(UInt8)
  /// - Parameter etherType: 0x8847 or 0x8848.
  case pushMPLS(etherType: UInt16)
  /// - Parameter etherType: what lies below the label.
  case popMPLS(etherType: UInt16)
  case setMPLSTTL(UInt8)
  case decrementMPLSTTL
  case copyTTLOutwards
  case copyTTLInwards
  case setTTL(UInt8)
  /// - Parameter controllers: ids of those that are told of an invalid TTL; [0] for the plain action.
  case decrementTTL(controllers: [UInt16])
  /// Removes a tunnel metadata or Geneve option field.
  case deleteField(Field)
  case checkPacketLarger(byteCount: UInt16, to: Subfield)

  // Queues, meters, samples
  case setQueue(UInt32)
  case popQueue
  case meter(UInt32)
  case sample(SampleAction)

  // The pipeline's way
  /// Looks up another table and comes back. Nil port: the entry port as it is; nil table: the current one.
  case resubmit(port: PortNumber?, table: UInt8?, withConntrackTuple: Bool)
  case learn(LearnAction)
  case conjunction(id: UInt32, clause: UInt8, clauseCount: UInt8)
  case multipath(MultipathAction)
  case conntrack(ConntrackAction)
  case conntrackClear
  /// Runs actions on a copy: what they change does not last.
  case clone([Action])
  case exit
  case finTimeout(idleSeconds: UInt16, hardSeconds: UInt16)
  /// Bytes that do nothing.
  case note([UInt8])
  /// Debugging aid of Open vSwitch: ends in a second pass through the datapath.
  case debugRecirculate
}

/// Sends the packet to controllers.
public struct ControllerAction: Equatable, Sendable {
  public enum Reason: UInt8, Sendable, CaseIterable {
    case noMatch = 0
    case action = 1
    case invalidTTL = 2
    case actionSet = 3
    case group = 4
    case packetOut = 5
  }
  /// 0xffff: the whole packet.
  public var maximumByteCount: UInt16 = 0xffff
  public var reason = Reason.action
  /// 0: all controllers.
  public var controllerID: UInt16 = 0
  public var userData: [UInt8] = []
  /// Wait for the controller's resume (NXAST_CONTROLLER2 `pause`).
  public var pauses = false
  public var meterID: UInt32?

  public init() {}
}

/// Spreads packets over ports by a hash of their fields.
public struct BundleAction: Equatable, Sendable {
  public enum Algorithm: UInt16, Sendable, CaseIterable {
    case activeBackup = 0
    case highestRandomWeight = 1
  }
  public var fields: HashFields
  public var basis: UInt16
  public var algorithm: Algorithm
  public var members: [PortNumber]
  /// Where the chosen port's number goes (`bundle_load`); nil: output to it.
  public var destination: Subfield?

  public init(
    fields: HashFields, basis: UInt16, algorithm: Algorithm, members: [PortNumber], destination: Subfield? = nil
  ) {
    self.fields = fields
    self.basis = basis
    self.algorithm = algorithm
    self.members = members
    self.destination = destination
  }
}

/// Which fields tell flows apart (NX_HASH_FIELDS).
public enum HashFields: UInt16, Sendable, CaseIterable {
  case ethernetSource = 0
  case symmetricL4 = 1
  case symmetricL3L4 = 2
  case symmetricL3L4UDP = 3
  case networkSource = 4
  case networkDestination = 5
  case symmetricL3 = 6
}

/// Sets a field to a number below `maxLink + 1`, chosen by a hash.
public struct MultipathAction: Equatable, Sendable {
  public enum Algorithm: UInt16, Sendable, CaseIterable {
    case moduloN = 0
    case hashThreshold = 1
    case highestRandomWeight = 2
    case iterativeHash = 3
  }
  public var fields: HashFields
  public var basis: UInt16
  public var algorithm: Algorithm
  public var maxLink: UInt16
  public var argument: UInt32
  public var destination: Subfield

  public init(
    fields: HashFields, basis: UInt16, algorithm: Algorithm, maxLink: UInt16, argument: UInt32, destination: Subfield
  ) {
    self.fields = fields
    self.basis = basis
    self.algorithm = algorithm
    self.maxLink = maxLink
    self.argument = argument
    self.destination = destination
  }
}

/// Samples packets to collectors (IPFIX).
public struct SampleAction: Equatable, Sendable {
  /// Of 65535.
  public var probability: UInt16
  public var collectorSetID: UInt32 = 0
  public var observationDomainID: UInt32 = 0
  public var observationPointID: UInt32 = 0
  public var samplingPort: PortNumber?
  /// 0 default, 1 ingress, 2 egress.
  public var direction: UInt8 = 0

  public init(probability: UInt16) { self.probability = probability }
}

/// Sends the packet through the connection tracker (ovs-actions(7), `ct`).
public struct ConntrackAction: Equatable, Sendable {
  public enum Zone: Equatable, Sendable {
    case immediate(UInt16)
    case field(Subfield)
  }
  public var commits = false
  public var forces = false
  public var zone = Zone.immediate(0)
  /// Where the packet goes on with the connection's state; nil: it does not.
  public var recirculationTable: UInt8?
  /// TCP or UDP port of the helper's protocol: 21 FTP, 69 TFTP; 0 none.
  public var helperPort: UInt16 = 0
  public var translation: NetworkTranslation?
  /// Nested `set_field` and `move` on ct_mark and ct_label.
  public var actions: [Action] = []

  public init() {}
}

/// Address translation by `nat(…)`.
public struct NetworkTranslation: Equatable, Sendable {
  public enum Kind: Sendable { case source, destination }
  /// Nil: translate as the connection already is.
  public var kind: Kind?
  public var persistent = false
  /// Choose the port by hash, or at random.
  public var hashes = false
  public var randomizes = false
  /// First and last address, IPv4 in the low 32 bits; nil: none given.
  public var addresses: ClosedRange<UInt128>?
  public var isIPv6 = false
  public var ports: ClosedRange<UInt16>?

  public init() {}
}
