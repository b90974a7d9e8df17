// What a worker sees of a bridge's tables. Nothing here allocates, locks, retains or waits.
//
// Thread: any worker. Memory: `FlowTables` owns it; the handle is valid as long as that lives, what it returns until the
// worker's next quiescent point.
//
// How a worker works with versions: it loads `version` once for a packet's way through all tables and passes it to every
// lookup, so that it sees a bundle whole or not at all. A decision that is kept (a cached flow) keeps that version and
// the list of what it depends on; it is valid while `changedVersion` of each of these is at most the kept version.

import Synchronization

/// What a decision may depend on, beside the packet.
public struct TableDependency: Hashable, Sendable {
  public let index: Int
  /// Lookups in a table, 0 to 253.
  public static func table(_ number: UInt8) -> TableDependency { TableDependency(index: Int(number)) }
  /// Groups and their liveness.
  public static var groups: TableDependency { TableDependency(index: 254) }
  /// Rules that have gone, from any table, and were not replaced.
  public static var removals: TableDependency { TableDependency(index: 255) }
}

/// Handle of a bridge's tables for workers: copies name the same.
@safe public struct FlowTablesReader: @unchecked Sendable {
  let root: UnsafeMutablePointer<TablesRoot>

  /// The version to look up at. Load it once for one packet's way.
  @inline(__always)
  public var version: UInt64 { unsafe root.pointee.version.load(ordering: .acquiring) }

  /// The version in which a table, or the groups, changed last.
  @inline(__always)
  public func changedVersion(_ dependency: TableDependency) -> UInt64 {
    unsafe root.pointee.changedVersions[dependency.index & 0xff].load(ordering: .acquiring)
  }

  /// Counts packets and bytes of a rule, group, bucket or meter.
  /// - Parameters:
  ///   - slot: from the handle of what was hit, in a decision that is valid now.
  ///   - worker: number of the calling worker, below the count that the tables were made for.
  ///   - now: nanoseconds.
  @inline(__always)
  public func count(_ slot: CounterSlot, worker: Int, packetCount: UInt64, byteCount: UInt64, now: UInt64) {
    unsafe root.pointee.counters.add(
      slot.index, worker: worker, packetCount: packetCount, byteCount: byteCount, now: now)
  }

  /// The rule of highest priority in a table that matches a packet. Of several with the same priority, any: always the
  /// same for packets that are equal under the mask.
  /// - Parameters:
  ///   - table: 0 to 253; there are no rules in 254 and 255.
  ///   - version: from `version`.
  ///   - mask: gets the bits of the packet that the answer depends on, in addition to those it has.
  /// - Returns: nil if no rule matches.
  public func lookup(table: UInt8, key: borrowing FlowKey, version: UInt64, mask: inout FlowMask) -> Rule? {
    KeyWords.with(key) { key in
      MaskWords.with(&mask) { lookup(table: table, key, version: version, mask: $0) }
    }
  }

  @inline(__always)
  func lookup(table: UInt8, _ key: KeyWords, version: UInt64, mask: MaskWords) -> Rule? {
    guard let table = Table(address: unsafe root.pointee.tables[Int(table)].load(ordering: .acquiring)) else {
      return nil
    }
    return table.lookup(key, version: version, mask: mask)
  }

  /// A group by its number; a decision that asks depends on `TableDependency.groups`.
  @inline(__always)
  public func group(_ id: UInt32, version: UInt64) -> Group? {
    Group(address: unsafe root.pointee.groups.record(id, version: version)?.address ?? 0)
  }

  /// A meter by its number, to be asked for each packet: decisions keep the number.
  @inline(__always)
  public func meter(_ id: UInt32, version: UInt64) -> Meter? {
    Meter(address: unsafe root.pointee.meters.record(id, version: version)?.address ?? 0)
  }

  /// Asks a meter about one packet, which it counts.
  /// - Parameter now: nanoseconds.
  @inline(__always)
  public func apply(_ meter: Meter, worker: Int, byteCount: UInt64, now: UInt64) -> MeterVerdict {
    count(meter.slot, worker: worker, packetCount: 1, byteCount: byteCount, now: now)
    let (verdict, slot) = meter.judge(byteCount: byteCount, now: now)
    if verdict != .pass {
      count(CounterSlot(index: slot), worker: worker, packetCount: 1, byteCount: byteCount, now: now)
    }
    return verdict
  }
}

/// Where something is counted. A worker that keeps it with a decision may add to it as long as the decision is valid
/// (`changedVersion`), having looked since its last quiescent point.
public struct CounterSlot: Equatable, Hashable, Sendable {
  public let index: UInt32
  @inlinable public init(index: UInt32) { self.index = index }
}
