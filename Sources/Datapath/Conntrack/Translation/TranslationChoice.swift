// Which address and port a translated connection gets: one by which no other connection is known.
//
// A connection keeps its own port where the rule names none and nobody has it; else one of the same class is looked for from
// an unforeseeable place on (RFC 6056), some steps long. Which address of a range: by hash, the same for the same ends; a
// persistent translation by the client's address alone, under a key that is the same in every run.
// Thread: one worker.

import VSwitchCore

extension ConnectionTracker {
  /// Ports tried of an address, and addresses tried of a range.
  private static var portProbes: Int { 256 }
  private static var addressProbes: Int { 8 }

  /// Chooses the tuple of answers to a connection.
  /// - Parameters:
  ///   - reply: of a connection that is not translated; changed.
  ///   - tuple: of its first packet.
  /// - Returns: the hash of that tuple; nil if every one that was tried is another connection's.
  func choose(_ reply: inout ConnectionTuple, _ tuple: ConnectionTuple, _ range: TranslationRange, now: UInt32)
    -> UInt32?
  {
    guard range.kind != .none, !range.hasAddresses || range.isIPv6 == tuple.isIPv6 else {
      return makeUnique(&reply, tuple, now: now)
    }
    let isSource = range.kind == .source
    let own = isSource ? reply.destination : reply.source
    let first = range.hasAddresses ? range.first : own
    let last = range.hasAddresses ? range.last : own
    if first == last, !range.hasPorts {
      if isSource { reply.destination = first } else { reply.source = first }
      return makeUnique(&reply, tuple, now: now)
    }
    // Wraps to 0 for a range of all addresses there are.
    let count = last &- first &+ 1
    var hash = SipHash(range.isPersistent ? ConnectionTracker.persistentKey : choiceKey)
    hash.add(tuple.sourceHigh)
    hash.add(tuple.sourceLow)
    if !range.isPersistent {
      hash.add(tuple.destinationHigh)
      hash.add(tuple.destinationLow)
      hash.add(tuple.rest)
    }
    let chosen = hash.finish()
    let spread = UInt128(chosen) << 64 | UInt128(chosen &* 0x9e37_79b9_7f4a_7c15)
    let offset =
      count == 0 ? spread : count >> 64 == 0 ? UInt128(chosen % UInt64(truncatingIfNeeded: count)) : spread % count
    let tries = count == 0 ? ConnectionTracker.addressProbes : Int(min(count, UInt128(ConnectionTracker.addressProbes)))
    for step in 0..<tries {
      let sum = offset &+ UInt128(step)
      let address = first &+ (count == 0 ? sum : sum >= count ? sum &- count : sum)
      if isSource { reply.destination = address } else { reply.source = address }
      if let hash = choosePort(&reply, tuple, range, hash: chosen, now: now) { return hash }
    }
    return nil
  }

  private func choosePort(
    _ reply: inout ConnectionTuple, _ tuple: ConnectionTuple, _ range: TranslationRange, hash: UInt64, now: UInt32
  ) -> UInt32? {
    guard range.hasPorts, tuple.hasPorts else {
      // Without a range the port is kept; should that be taken, it is the client's that changes, also where the server's
      // address is translated: a client does not see which port the server takes it for.
      return makeUnique(&reply, tuple, now: now)
    }
    let isSource = range.kind == .source
    let own = isSource ? tuple.sourcePort : tuple.destinationPort
    let first = Int(range.firstPort)
    let count = Int(range.lastPort) &- first &+ 1
    var start = Int(own) &- first
    if range.randomizes {
      start = Int(random() % UInt64(count))
    } else if range.hashes || start < 0 || start >= count {
      start = Int(hash % UInt64(count))
    }
    for step in 0..<min(count, ConnectionTracker.portProbes) {
      let port = UInt16(truncatingIfNeeded: first &+ (start &+ step) % count)
      if isSource { reply.destinationPort = port } else { reply.sourcePort = port }
      if let hash = freeHash(reply, now: now) { return hash }
    }
    guard !isSource else { return nil }
    // One port for many clients: theirs may change instead.
    return makeUnique(&reply, tuple, now: now)
  }

  /// Changes the client's port or identifier until no other connection has the tuple.
  /// - Returns: its hash; nil if none was found.
  func makeUnique(_ reply: inout ConnectionTuple, _ tuple: ConnectionTuple, now: UInt32) -> UInt32? {
    if let hash = freeHash(reply, now: now) { return hash }
    guard tuple.hasPorts || tuple.isICMP else { return nil }
    let own = tuple.sourcePort
    let first: Int
    let count: Int
    if tuple.isICMP {
      first = 0
      count = 65_536
    } else if own < 512 {
      first = 1
      count = 511
    } else if own < 1024 {
      first = 512
      count = 512
    } else {
      first = 1024
      count = 65_536 - 1024
    }
    let start = Int(truncatingIfNeeded: random() % UInt64(count))
    for step in 0..<min(count, ConnectionTracker.portProbes) {
      let port = UInt16(truncatingIfNeeded: first &+ (start &+ step) % count)
      if tuple.isICMP { reply.sourcePort = port } else { reply.destinationPort = port }
      if let hash = freeHash(reply, now: now) { return hash }
    }
    return nil
  }

  /// The hash of a tuple that is no connection's; nil if it is one's.
  @inline(__always)
  func freeHash(_ tuple: ConnectionTuple, now: UInt32) -> UInt32? {
    let hash = table.hash(tuple)
    return table.lookup(tuple, hash: hash, now: now) == nil ? hash : nil
  }
}
