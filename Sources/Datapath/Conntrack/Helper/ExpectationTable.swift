// Connections that a helper expects: who will open one to which port, and where that really is.
//
// Thread: one worker. Memory: a fixed number of entries, allocated once. Bounds: `entryCount`; the oldest of a set gives way;
// an expectation is used once, and lives `lifetime` seconds at most. It names both hosts (RFC 2663 §2.9): nobody else may come.

/// A connection that is expected.
struct Expectation {
  /// Of its first packet, with source port 0: that may be any.
  var tuple = ConnectionTuple()
  /// Where the first packet has to go, translated.
  var destination: UInt128 = 0
  var destinationPort: UInt16 = 0
  /// As whom its sender is known there.
  var source: UInt128 = 0
  var parent = ConnectionReference()
  /// Seconds; 0: the place is free.
  var createdAt: UInt32 = 0

  /// Makes the tuple of answers.
  func translate(_ first: ConnectionTuple, _ reply: inout ConnectionTuple) {
    reply.source = destination
    reply.sourcePort = destinationPort
    reply.destination = source
    reply.destinationPort = first.sourcePort
  }
}

/// Handle of a worker's table: copies name the same.
@safe struct ExpectationTable: @unchecked Sendable {
  static var entryCount: Int { 4096 }
  private static var ways: Int { 8 }
  static var lifetime: UInt32 { 300 }

  private let entries: UnsafeMutablePointer<Expectation>
  private let madeCount: UnsafeMutablePointer<Int>
  private let key: SipHash.Key

  init(key: SipHash.Key) {
    unsafe entries = .allocate(capacity: ExpectationTable.entryCount)
    unsafe entries.initialize(repeating: Expectation(), count: ExpectationTable.entryCount)
    unsafe madeCount = .allocate(capacity: 1)
    unsafe madeCount.initialize(to: 0)
    self.key = key
  }

  func deallocate() {
    unsafe entries.deallocate()
    unsafe madeCount.deallocate()
  }

  /// None has ever been made: new connections need not be looked for.
  @inline(__always) var isEmpty: Bool { unsafe madeCount.pointee == 0 }

  private func set(_ tuple: ConnectionTuple) -> UnsafeMutablePointer<Expectation> {
    let hash = Int(truncatingIfNeeded: tuple.hash(key))
    return unsafe entries + hash & (ExpectationTable.entryCount &- 1) & ~(ExpectationTable.ways &- 1)
  }

  /// The expectation that a first packet fulfils.
  func find(_ tuple: ConnectionTuple, now: UInt32) -> Expectation? {
    var wanted = tuple
    wanted.sourcePort = 0
    let set = unsafe set(wanted)
    for way in 0..<ExpectationTable.ways {
      let entry = unsafe set + way
      if unsafe entry.pointee.createdAt != 0, unsafe entry.pointee.tuple == wanted,
        unsafe now &- entry.pointee.createdAt < ExpectationTable.lifetime
      {
        return unsafe entry.pointee
      }
    }
    return nil
  }

  func remove(_ tuple: ConnectionTuple) {
    var wanted = tuple
    wanted.sourcePort = 0
    let set = unsafe set(wanted)
    for way in 0..<ExpectationTable.ways where unsafe set[way].tuple == wanted {
      unsafe set[way].createdAt = 0
    }
  }

  /// Expects a connection.
  /// - Returns: false if another one expects the same tuple.
  func add(_ expectation: Expectation, now: UInt32) -> Bool {
    if let known = find(expectation.tuple, now: now) {
      guard known.parent == expectation.parent, known.destination == expectation.destination,
        known.destinationPort == expectation.destinationPort
      else { return false }
    }
    let set = unsafe set(expectation.tuple)
    var chosen = unsafe set
    var chosenAge: UInt32 = 0
    for way in 0..<ExpectationTable.ways {
      let entry = unsafe set + way
      if unsafe entry.pointee.tuple == expectation.tuple {
        unsafe chosen = entry
        break
      }
      let age = unsafe entry.pointee.createdAt == 0 ? UInt32.max : now &- entry.pointee.createdAt
      if age > chosenAge {
        chosenAge = age
        unsafe chosen = entry
      }
    }
    unsafe chosen.pointee = expectation
    unsafe chosen.pointee.createdAt = max(now, 1)
    unsafe madeCount.pointee &+= 1
    return true
  }
}
