// What NORMAL would do with one packet, told: its VLAN, what the MAC table says, the ports where it leaves, or why it goes
// nowhere. Filled by whoever has the MAC table (the datapath). Plain values.

/// A learning bridge's decision on a packet.
public struct NormalTrace: Equatable, Sendable {
  /// What the source address would do to the MAC table.
  public enum Learning: Equatable, Sendable {
    /// The table has it already.
    case known
    case new
    /// The station was last seen behind another port.
    case moves(from: PortNumber)
    /// The table has it behind another port for good.
    case fixed(PortNumber)
    /// Group addresses are no stations, and VLANs of `flood_vlans` have none.
    case never
  }
  public enum Destination: Equatable, Sendable {
    case known(PortNumber)
    /// A group address.
    case group
    case unknown
  }
  public struct Exit: Equatable, Sendable {
    public var port: PortNumber
    /// TPID << 16 | TCI of the first tag; 0: the VLAN's tag is not there.
    public var tag: UInt32

    public init(port: PortNumber, tag: UInt32) {
      self.port = port
      self.tag = tag
    }
  }
  public var entry: PortNumber
  /// Nil: the entry port does not accept it.
  public var vlan: UInt16?
  /// The packet's first tag is the one of `vlan`: exit ports replace it or take it off.
  public var ownsTag = false
  public var learning = Learning.never
  public var destination = Destination.unknown
  public var exits: [Exit] = []
  /// Why there are no exits.
  public var drop: DropReason?
  /// A command that would let the packet through.
  public var remedy: String?

  public init(entry: PortNumber) { self.entry = entry }

  /// The decision in plain words, a line for each step.
  public func lines(source: UInt64, destination address: UInt64, port: (PortNumber) -> String) -> [String] {
    guard let vlan else {
      return ["port \(port(entry)) does not accept it: \(drop?.description ?? "")"]
    }
    var lines = [vlan == 0 ? "it belongs to no VLAN (VLAN 0)" : "it belongs to VLAN \(vlan)"]
    let station = MACAddress(bits: source).description
    switch learning {
    case .known: lines.append("\(station) is known behind \(port(entry)) already")
    case .new: lines.append("\(station) would be learned behind \(port(entry)) (a trace learns nothing)")
    case .moves(let old):
      lines.append("\(station) would move from \(port(old)) to \(port(entry)) (a trace learns nothing)")
    case .fixed(let place): lines.append("\(station) belongs to \(port(place)) (a static entry)")
    case .never: break
    }
    let wanted = MACAddress(bits: address).description
    let members = exits.map { port($0.port) }.joined(separator: ", ")
    switch self.destination {
    case .known(let exit): lines.append("\(wanted) is behind \(port(exit))")
    case .group where !exits.isEmpty: lines.append("\(wanted) is a group: flooded to \(members)")
    case .unknown where !exits.isEmpty: lines.append("\(wanted) is not known: flooded to \(members)")
    case .group, .unknown: lines.append("\(wanted) would be flooded")
    }
    if let drop { lines.append(drop.description) }
    return lines
  }

  /// The packet as it leaves.
  func departing(_ key: FlowKey, by exit: Exit) -> FlowKey {
    var key = key
    if ownsTag {
      (key.vlanTCI, key.vlanType) = (key.innerVLANTCI, key.innerVLANType)
      (key.innerVLANTCI, key.innerVLANType) = (0, 0)
    }
    guard exit.tag != 0 else { return key }
    (key.innerVLANTCI, key.innerVLANType) = (key.vlanTCI, key.vlanType)
    // Bit 12 tells that there is a tag.
    key.vlanTCI = UInt16(truncatingIfNeeded: exit.tag) | 0x1000
    key.vlanType = UInt16(truncatingIfNeeded: exit.tag >> 16)
    return key
  }

  /// How a packet leaves.
  static func tagText(_ tag: UInt32) -> String {
    guard tag != 0 else { return "without a VLAN tag" }
    let priority = tag >> 13 & 7
    return "with VLAN tag \(tag & 0xfff)" + (priority == 0 ? "" : " (priority \(priority))")
  }
}
