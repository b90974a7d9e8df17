// The learned and static addresses of one bridge as one plain array. Thread: a value; any.
// Invariant: at most one entry for a VLAN and address; entries stand in the order in which they were last seen.

import VSwitchCore

/// The MAC table of the naive switch.
package struct ReferenceMACTable {
  package struct Entry: Equatable, Sendable {
    package var vlan: UInt16
    package var address: MACAddress
    /// Name of the port behind which the address is.
    package var port: String
    /// Seconds; when a frame from there was last seen.
    package var seen: Int
    package var isStatic: Bool
  }

  package private(set) var entries: [Entry] = []

  /// Forgets what was not seen for `ageingSeconds`; static entries stay.
  mutating func age(now: Int, ageingSeconds: Int) {
    entries.removeAll { !$0.isStatic && now - $0.seen >= ageingSeconds }
  }

  func port(vlan: UInt16, address: MACAddress) -> String? {
    entries.first { $0.vlan == vlan && $0.address == address }?.port
  }

  /// Notes where a frame came from. A multicast source names no station and a static entry is never moved. When the
  /// table is full, the port that has the most learned entries loses the one not seen for the longest time.
  mutating func learn(vlan: UInt16, address: MACAddress, port: String, now: Int, limit: Int) {
    if address.isMulticast { return }
    if let old = entries.firstIndex(where: { $0.vlan == vlan && $0.address == address }) {
      if entries[old].isStatic { return }
      entries.remove(at: old)
    } else if entries.count >= limit {
      evict()
    }
    entries.append(Entry(vlan: vlan, address: address, port: port, seen: now, isStatic: false))
  }

  /// Ties go to the port whose entry is the older one.
  private mutating func evict() {
    var counts: [String: Int] = [:]
    for entry in entries where !entry.isStatic { counts[entry.port, default: 0] += 1 }
    let most = counts.values.max() ?? 0
    if let victim = entries.firstIndex(where: { !$0.isStatic && counts[$0.port] == most }) {
      entries.remove(at: victim)
    }
  }

  /// Adds a static entry in place of any entry of that VLAN and address.
  mutating func addStatic(vlan: UInt16, address: MACAddress, port: String) {
    entries.removeAll { $0.vlan == vlan && $0.address == address }
    entries.append(Entry(vlan: vlan, address: address, port: port, seen: 0, isStatic: true))
  }

  mutating func remove(vlan: UInt16, address: MACAddress) {
    entries.removeAll { $0.vlan == vlan && $0.address == address }
  }

  /// Removes learned entries, of one VLAN or port if given.
  mutating func flush(vlan: UInt16?, port: String?) {
    entries.removeAll {
      !$0.isStatic && (vlan == nil || $0.vlan == vlan) && (port == nil || $0.port == port)
    }
  }
}
