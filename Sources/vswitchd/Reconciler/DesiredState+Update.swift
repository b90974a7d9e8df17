// The desired state brought up to date by the rows that have changed, so that one port more costs the same beside ten others
// and beside a thousand. Where more has changed than which ports there are and what they are, or rows name each other in a
// way that concerns several ports, it says so, and the state is to be read as a whole. Invariant: what this gives is what
// reading the whole would give.

import OVSDB
import VSwitchCore

extension DesiredState {
  /// Takes over changes of the database.
  /// - Parameters:
  ///   - changes: all since the state was read or brought up to date.
  ///   - database: the contents after them.
  /// - Returns: the ports that have come, gone or changed. Nil: this state is none any more, read it anew.
  mutating func update(
    _ changes: Changes, to database: DatabaseSnapshot, numbering: inout PortNumbering
  ) -> Set<QualifiedPort>? {
    guard conflicts.isEmpty, sharedDevices.isEmpty, !ChangeFilter.concernsMoreThanPorts(changes) else { return nil }
    guard let moves = moves(changes, database) else { return nil }
    var changed: Set<QualifiedPort> = []
    var rows: [RowUUID] = []
    for place in moves.leaving {
      changed.insert(place)
      if let row = self[place]?.row { rows.append(row) }
      detach(place)
    }
    for (port, bridge) in moves.coming {
      // A port of one bridge that another takes is an error that reading the whole tells of.
      guard portsByRow[port.uuid] == nil else { return nil }
      attach(port, to: bridge, database)
      changed.insert(QualifiedPort(bridge.name, port.name))
    }
    guard conflicts.isEmpty, hasAllOf(changes), hasSecurityBridges else { return nil }
    for bridge in Set(changed.lazy.map(\.bridge)) {
      changed.formUnion(settleOwnPort(of: bridge))
      let names = Set(changed.lazy.filter { $0.bridge == bridge }.map(\.port))
      changed.formUnion(number(names, of: bridge, &numbering).lazy.map { QualifiedPort(bridge, $0) })
    }
    for row in rows where portsByRow[row].map({ !securedPorts.contains($0) }) ?? true { numbering.removeGuard(of: row) }
    for place in changed.sorted() { setGuard(place, &numbering) }
    return sharedDevices.isEmpty ? changed : nil
  }

  /// Which ports leave their bridges and which rows come to one; what has changed does both.
  private func moves(
    _ changes: Changes, _ database: DatabaseSnapshot
  ) -> (leaving: Set<QualifiedPort>, coming: [(port: Row, bridge: Row)])? {
    var leaving: Set<QualifiedPort> = []
    var coming: [RowUUID: Row] = [:]
    for change in changes.tables["Bridge"]?.values ?? [:].values where change.touches("ports") {
      guard let old = change.old, let new = change.new, bridges[new.name]?.row == new.uuid else { return nil }
      for case .uuid(let port) in old["ports"].setDifference(new["ports"]) {
        guard let place = portsByRow[port] else { return nil }
        leaving.insert(place)
      }
      for case .uuid(let port) in new["ports"].setDifference(old["ports"]) {
        guard coming.updateValue(new, forKey: port) == nil else { return nil }
      }
    }
    func again(_ place: QualifiedPort) {
      guard let row = self[place]?.row, let bridge = bridges[place.bridge].flatMap({ database.row("Bridge", $0.row) })
      else { return }
      if leaving.insert(place).inserted { coming[row] = bridge }
    }
    for change in changes.tables["Port"]?.values ?? [:].values where ChangeFilter.concernsPort(change) {
      if let place = portsByRow[change.uuid] { again(place) }
    }
    for change in changes.tables["Interface"]?.values ?? [:].values where ChangeFilter.concernsPort(change) {
      if let place = portsByInterface[change.uuid] { again(place) }
    }
    var rows: [(port: Row, bridge: Row)] = []
    for (uuid, bridge) in coming {
      guard let port = database.row("Port", uuid) else { return nil }
      rows.append((port, bridge))
    }
    return (leaving, rows)
  }

  /// Whether all rows that have come are somebody's; one that is not may be named by a row that is not there yet.
  private func hasAllOf(_ changes: Changes) -> Bool {
    func isKnown(_ table: String, _ places: [RowUUID: QualifiedPort]) -> Bool {
      changes.tables[table]?.values.allSatisfy { $0.old != nil || places[$0.uuid] != nil } ?? true
    }
    return isKnown("Port", portsByRow) && isKnown("Interface", portsByInterface)
  }

  private mutating func detach(_ place: QualifiedPort) {
    guard let port = bridges[place.bridge]?.ports.removeValue(forKey: place.port) else { return }
    if let row = port.row { portsByRow[row] = nil }
    for interface in port.interfaces { portsByInterface[interface.row] = nil }
    if let device = port.config?.interface.name, portsByDevice[device] == place { portsByDevice[device] = nil }
    if bridges[place.bridge]?.ownPort == place.port { bridges[place.bridge]?.ownPort = nil }
    portsWithWarnings.remove(place)
    securedPorts.remove(place)
  }

  /// Has a bridge one port of its own, whoever wrote it.
  /// - Returns: what has come or gone by that.
  private mutating func settleOwnPort(of bridge: String) -> Set<QualifiedPort> {
    let place = QualifiedPort(bridge, bridge)
    let before = self[place]
    if before?.row == nil, bridges[bridge]?.ownPort != nil { detach(place) }
    attachOwnPort(to: bridge)
    return self[place] == before ? [] : [place]
  }

  /// Gives some ports their numbers.
  /// - Returns: other ports that have another one than before.
  private mutating func number(
    _ names: Set<String>, of bridge: String, _ numbering: inout PortNumbering
  ) -> [String] {
    var wishes: [PortNumbering.Wish] = []
    var gone: [String] = []
    for name in names {
      if let wish = bridges[bridge]?.ports[name]?.wish { wishes.append(wish) } else { gone.append(name) }
    }
    guard let numbers = numbering.change(bridge: bridge, gone: gone, wishes) else {
      return number(bridge: bridge, &numbering)
    }
    for wish in wishes {
      bridges[bridge]?.ports[wish.port]?.config?.interface.portNumberRequest = numbers[wish.port]
    }
    return []
  }
}
