// Why a change of the tables is refused. The codecs give each case the type and code of their protocol version.

/// A refused change; nothing of it, or of the bundle that it is in, was done.
public enum TableError: Error, Equatable, Sendable, CustomStringConvertible {
  // Rules
  case overlap
  case tableFull(UInt8)
  /// All tables together have as many rules as may be, or there is no memory for one more.
  case tooManyRules
  case outOfMemory
  /// No such table, or none that a rule may be in.
  case badTable(UInt8)

  // Instructions and actions
  /// `goto_table` to the same table, an earlier one, or none.
  case badGotoTable(UInt8)
  case unknownGroup(UInt32)
  case unknownMeter(UInt32)
  /// A reserved number that is no output, or one past the real ports.
  case badOutPort(PortNumber)
  /// The field can't be written.
  case badSetField(Field)
  /// The value has bits that the field lacks.
  case badSetValue(Field)
  /// The match does not make sure that a packet has the field, or the header to change.
  case inconsistentMatch(String)
  /// An argument that the action does not have.
  case badArgument(String)
  case tooManyActions(String)
  /// `conjunction` beside actions other than `note`, or clause numbers that don't fit.
  case badConjunction

  // Groups
  case groupExists(UInt32)
  /// A reserved number, or buckets that don't fit the group's kind.
  case invalidGroup(UInt32)
  case groupToChangeUnknown(UInt32)
  case groupLoop(UInt32)
  case tooManyGroups
  case tooManyBuckets
  case badBucket(String)
  case unknownBucket(UInt32)
  case bucketExists(UInt32)

  // Meters
  case meterExists(UInt32)
  case meterToChangeUnknown(UInt32)
  case invalidMeter(UInt32)
  case tooManyMeters
  case tooManyBands
  case badRate
  case badBand

  public var description: String {
    switch self {
    case .overlap: "Another rule of the same priority matches some of the same packets: change one of them."
    case .tableFull(let table): "Table \(table) has as many rules as it may: delete some or raise its flow limit."
    case .tooManyRules: "The bridge has as many rules as it may: delete some."
    case .outOfMemory: "There is no memory for more rules: delete some or raise the memory limit of the service."
    case .badTable(let table): "There is no table \(table): use 0 to \(FlowTables.tableCount - 1)."
    case .badGotoTable(let table):
      "goto_table \(table) does not lead to a later table: use one up to \(FlowTables.tableCount - 1)."
    case .unknownGroup(let id): "There is no group \(id): add it first."
    case .unknownMeter(let id): "There is no meter \(id): add it first."
    case .badOutPort(let port):
      "\(port.rawValue) is no port that packets leave by: use a port's number or a reserved port."
    case .badSetField(let field): "\(field.name) can't be written."
    case .badSetValue(let field): "The value does not fit into \(field.name): it has \(field.bitCount) bits."
    case .inconsistentMatch(let what): "\(what) needs a match that makes sure that packets have it."
    case .badArgument(let what): "\(what)"
    case .tooManyActions(let what): "\(what)"
    case .badConjunction: "conjunction stands alone or with note, as clause 1 to n of n, n from 2 to 64."
    case .groupExists(let id): "There is a group \(id) already: modify it."
    case .invalidGroup(let id): "Group \(id) has a reserved number, or buckets that its kind does not allow."
    case .groupToChangeUnknown(let id): "There is no group \(id): add it first."
    case .groupLoop(let id): "Group \(id) would lead back to itself: take the group out of its buckets."
    case .tooManyGroups: "There are as many groups as may be: delete some."
    case .tooManyBuckets: "A group has at most \(GroupMod.bucketLimit) buckets: spread them over several groups."
    case .badBucket(let what): "\(what)"
    case .unknownBucket(let id): "The group has no bucket \(id)."
    case .bucketExists(let id): "The group has a bucket \(id) already."
    case .meterExists(let id): "There is a meter \(id) already: modify it."
    case .meterToChangeUnknown(let id): "There is no meter \(id): add it first."
    case .invalidMeter(let id): "\(id) is no number of a meter: use 1 to \(MeterMod.maximumMeter)."
    case .tooManyMeters: "There are as many meters as may be: delete some."
    case .tooManyBands: "A meter has 1 to \(MeterMod.bandLimit) bands."
    case .badRate: "A band's rate has to be 1 or more."
    case .badBand: "dscp_remark raises the drop precedence by 1 or more."
    }
  }
}

/// A refused bundle.
public struct BundleError: Error, Equatable, Sendable {
  /// Of the change that failed.
  public let index: Int
  public let error: TableError

  public init(index: Int, error: TableError) {
    self.index = index
    self.error = error
  }
}
