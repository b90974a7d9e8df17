// Connections on their way from one worker's tracker to another's, with the bridges whose ports they began at.
//
// Thread: each call is run by the worker that has the tracker. Nobody is told: a connection that moves has neither ended nor begun.
// What helpers expect does not come along: a data connection that is about to begin is not recognized, which the helper's
// protocol gets over by another attempt.

import VSwitchCore

extension ConnectionTracker {
  /// Takes connections out among `count` places from one on.
  /// - Parameter owners: slots of the ports where they began.
  /// - Returns: them, and where to go on; nil at the end.
  func giveConnections(
    of owners: Set<UInt16>, from start: Int, count: Int, now: UInt32
  ) -> (connections: [TrackedConnection], next: Int?) {
    let watcher = unsafe table.state.pointee.watcher
    unsafe table.state.pointee.watcher = nil
    defer { unsafe table.state.pointee.watcher = watcher }
    let fresh = unsafe table.state.pointee.fresh
    let end = min(start &+ count, fresh)
    var given: [TrackedConnection] = []
    for index in start..<max(start, end) {
      let connection = unsafe table.connections[index]
      guard connection.flags.contains(.isUsed), owners.contains(connection.owner) else { continue }
      if unsafe table.isAlive(table.connections + index, now) { given.append(connection) }
      table.remove(UInt32(truncatingIfNeeded: index))
    }
    return (given, end < fresh ? end : nil)
  }

  /// Takes over connections that another tracker has given; those for which there is no room, or of which one of the tuples is
  /// another connection's here, are forgotten.
  func takeConnections(_ connections: [TrackedConnection], now: UInt32) {
    for connection in connections {
      let hashes = (table.hash(connection.original), table.hash(connection.reply))
      var refusal = ConnectionTable.Refusal.tableFull
      guard table.lookup(connection.original, hash: hashes.0, now: now) == nil,
        table.lookup(connection.reply, hash: hashes.1, now: now) == nil,
        let index = table.take(
          zone: connection.original.zone, owner: connection.owner, now: now, refusal: &refusal)
      else { continue }
      let place = unsafe table.record(index)
      let generation = unsafe place.pointee.generation
      unsafe place.pointee = connection
      unsafe place.pointee.generation = generation
      unsafe place.pointee.parent = ConnectionReference()
      table.link(index, originalHash: hashes.0, replyHash: hashes.1)
    }
  }
}
