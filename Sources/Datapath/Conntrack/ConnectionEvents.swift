// What happens to connections, for whoever watches: begun, changed, ended, as conntrack(8) -E tells it.
//
// Threads: each worker writes into a ring (`EventRing`) while somebody watches, control code reads it. When the ring is full an
// event is lost and counted; no packet waits. A record: kind, second of the tracker's clock, the connection as it was then.

import VSwitchCore

/// What happened to a connection.
package enum ConnectionEventKind: UInt32, Sendable {
  /// A rule committed it.
  case new
  /// It was answered for the first time, or its TCP state changed.
  case update
  /// Its time was over, it gave way, or it was taken out.
  case destroy
}

/// A connection and what happened to it.
package struct ConnectionEvent: Equatable, Sendable {
  package var kind: ConnectionEventKind
  /// As it was just after that; as it was last, if it is no more.
  package var connection: ConnectionDescription

  package init(kind: ConnectionEventKind, connection: ConnectionDescription) {
    self.kind = kind
    self.connection = connection
  }
}

extension ConnectionTable {
  /// Tells whoever watches, if anybody does.
  @inline(__always)
  func tell(_ kind: ConnectionEventKind, _ connection: UnsafeMutablePointer<TrackedConnection>, now: UInt32) {
    if let ring = unsafe state.pointee.watcher { unsafe write(kind, connection, now: now, into: ring) }
  }

  @inline(never)
  private func write(
    _ kind: ConnectionEventKind, _ connection: UnsafeMutablePointer<TrackedConnection>, now: UInt32,
    into ring: EventRing
  ) {
    let count = MemoryLayout<TrackedConnection>.size
    guard ring.begin(byteCount: 8 + count) else { return }
    ring.put(kind.rawValue)
    ring.put(now)
    unsafe ring.put(UnsafeRawBufferPointer(start: connection, count: count))
    ring.end()
  }
}

extension ConnectionEvent {
  /// Of a record in the ring; nil if it is none of ours.
  init?(_ record: [UInt8]) {
    guard record.count == 8 + MemoryLayout<TrackedConnection>.size else { return nil }
    let (kind, now, connection) = unsafe record.withUnsafeBytes { bytes in
      unsafe (
        bytes.loadUnaligned(as: UInt32.self), bytes.loadUnaligned(fromByteOffset: 4, as: UInt32.self),
        bytes.loadUnaligned(fromByteOffset: 8, as: TrackedConnection.self)
      )
    }
    guard let kind = ConnectionEventKind(rawValue: kind) else { return nil }
    self.init(kind: kind, connection: ConnectionDescription(connection, now: now))
  }
}

extension Datapath {
  /// What has happened since this was called last, of each worker's oldest first; and how many events were lost since the start.
  package func takeConnectionEvents() -> (events: [ConnectionEvent], lostCount: UInt64) {
    let workers = state.withLock { $0.workers }
    return connectionEventReader.withLock { _ in
      var events: [ConnectionEvent] = []
      var lostCount: UInt64 = 0
      for worker in workers {
        while let record = worker.connectionEvents.read() {
          if let event = ConnectionEvent(record) { events.append(event) }
        }
        lostCount += worker.connectionEvents.lostCount
      }
      return (events, lostCount)
    }
  }
}
