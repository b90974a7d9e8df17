// Open ports by slot, as records that forwarding tables are copied from: what a port alone decides is worked out when the
// port changes, so that tables for a thousand ports of which one has changed cost a copy of a thousand records.
//
// Thread: whoever holds the lock of `Datapath`. Memory: a port's VLAN policy is its record's; forwarding tables point to it.
// So a policy that has been replaced is freed a grace period after the tables that were published without it.

import VSwitchCore

/// The records of all slots.
struct SlotTable {
  private struct Record {
    var bridge: String
    var number: PortNumber
    var isLinkUp: Bool
    /// Name of a patch port, and of its peer.
    var patch: (name: String, peer: String)?
    /// The other end of what joins a guard's bridge and a port's.
    var joined: UInt16?
    var vlan: VLANConfig
    /// With `bridge` and `patchPeer` still open.
    var entry: ForwardingPort
  }

  private var records: [Record?] = []
  /// Slots of patch ports by name; of a name there may be several, on different bridges.
  private var patches: [String: Set<UInt16>] = [:]
  private var retired: [VLANPolicy] = []
  /// What slots without a port have.
  private static let vacant = ForwardingPort(vlan: VLANPolicy(VLANConfig()))

  /// Takes a port, or what has changed of one.
  mutating func put(_ port: OpenPort, _ key: PortKey) {
    var own = Record(
      bridge: key.bridge, number: port.number, isLinkUp: port.isLinkUp, patch: nil, vlan: port.config.vlan,
      entry: Self.vacant)
    own.entry.isProtected = port.config.isProtected
    own.entry.forwardsReservedMulticast = port.config.forwardReservedMulticast
    guard let guarding = port.guarding else {
      if port.config.interface.kind == .patch {
        own.patch = (key.name, port.config.interface.options["peer"] ?? "")
      }
      put(own, slot: port.slot, key)
      return
    }
    func record(_ number: UInt16) -> Record {
      Record(
        bridge: guarding.config.bridge, number: PortNumber(openFlow10: number), isLinkUp: port.isLinkUp, patch: nil,
        vlan: VLANConfig(), entry: Self.vacant)
    }
    own.joined = guarding.innerSlot
    put(own, slot: guarding.outerSlot, key)
    var inner = record(guarding.config.bridgeNumber)
    inner.joined = guarding.outerSlot
    put(inner, slot: guarding.innerSlot, key)
    put(record(guarding.config.deviceNumber), slot: port.slot, key)
  }

  private mutating func put(_ new: Record, slot: UInt16, _ key: PortKey) {
    var new = new
    let position = Int(slot)
    while records.count <= position { records.append(nil) }
    if let patch = records[position]?.patch { forget(patch.name, slot) }
    if let old = records[position], old.vlan == new.vlan {
      new.entry.vlan = old.entry.vlan
    } else {
      if let old = records[position] { retired.append(old.entry.vlan) }
      new.entry.vlan = VLANPolicy(new.vlan)
    }
    if new.patch != nil { patches[key.name, default: []].insert(slot) }
    records[position] = new
  }

  mutating func noteLink(_ slot: UInt16, isUp: Bool) { records[Int(slot)]?.isLinkUp = isUp }

  /// Forgets the port of a slot.
  mutating func remove(_ slot: UInt16, _ key: PortKey) {
    guard Int(slot) < records.count, let old = records[Int(slot)] else { return }
    retired.append(old.entry.vlan)
    if old.patch != nil { forget(key.name, slot) }
    records[Int(slot)] = nil
    while let last = records.last, last == nil { records.removeLast() }
  }

  private mutating func forget(_ patch: String, _ slot: UInt16) {
    patches[patch]?.remove(slot)
    if patches[patch]?.isEmpty == true { patches[patch] = nil }
  }

  /// The number of the port in a slot.
  func number(of slot: UInt16) -> PortNumber { records[Int(slot)]?.number ?? .any }

  /// The numbers of a bridge's ports that have a link.
  func livePorts(of bridge: String) -> Set<PortNumber> {
    var numbers: Set<PortNumber> = []
    for case let record? in records where record.isLinkUp && record.bridge == bridge { numbers.insert(record.number) }
    return numbers
  }

  /// What forwarding tables have of the ports of some bridges. A patch port without a peer among these takes no part: what a worker
  /// does stays with its own bridges.
  /// - Parameter bridges: names by index.
  /// - Returns: by slot; and by bridge the slots of its ports, in order.
  func entries(bridges: [String]) -> (ports: [ForwardingPort], members: [[UInt16]]) {
    var ports = [ForwardingPort](repeating: Self.vacant, count: records.count)
    var members = [[UInt16]](repeating: [], count: bridges.count)
    let indexes = Dictionary(bridges.enumerated().map { ($1, $0) }, uniquingKeysWith: { $1 })
    func isThere(_ peer: UInt16) -> Bool { records[Int(peer)].map { indexes[$0.bridge] != nil } ?? false }
    // Neighbours are often of one bridge.
    var last = (name: "", index: Int?.none)
    for slot in records.indices {
      guard let record = records[slot] else { continue }
      if last.index == nil || last.name != record.bridge { last = (record.bridge, indexes[record.bridge]) }
      guard let index = last.index else { continue }
      ports[slot] = record.entry
      if let patch = record.patch {
        guard let peer = peer(of: patch, UInt16(slot)), isThere(peer) else {
          ports[slot] = Self.vacant
          continue
        }
        ports[slot].patchPeer = peer
      }
      if let joined = record.joined {
        guard isThere(joined) else {
          ports[slot] = Self.vacant
          continue
        }
        ports[slot].patchPeer = joined
      }
      ports[slot].bridge = UInt16(index)
      members[index].append(UInt16(slot))
    }
    return (ports, members)
  }

  /// The slot of the patch port that a patch port names, if that one names it too.
  private func peer(of patch: (name: String, peer: String), _ slot: UInt16) -> UInt16? {
    patches[patch.peer]?.lazy.filter { $0 != slot && records[Int($0)]?.patch?.peer == patch.name }.min()
  }

  mutating func freeRetired() {
    for policy in retired { policy.deallocate() }
    retired = []
  }

  /// Frees everything.
  mutating func deallocate() {
    freeRetired()
    for case let record? in records { record.entry.vlan.deallocate() }
    records = []
    patches = [:]
  }
}
