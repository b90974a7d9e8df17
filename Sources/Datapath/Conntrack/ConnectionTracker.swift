// The connection tracker of one worker: says of each packet which connection it belongs to and what that is (`ct_state`), keeps
// connections that rules commit, and translates addresses.
//
// Thread: one worker; control code between two bursts. Memory: tables mapped or allocated by `init`, freed by `deallocate`;
// nothing is allocated for a packet. No byte of a packet can trap. Time is passed in, in seconds; what is random is made from a
// key that is passed in. States as ovs-fields(7) has them: a packet is `new` until its connection is answered, then
// `established`; what belongs to none and may begin none is `invalid`.
// A connection is committed or there is none: without `commit` nothing is kept of a packet. A packet that comes to the same
// zone again is not counted or looked at a second time.

import VSwitchCore

/// Handle of a worker's tracker: copies name the same.
@safe struct ConnectionTracker: @unchecked Sendable {
  let table: ConnectionTable
  let expectations: ExpectationTable
  let fragments: FragmentTable
  private let counter: UnsafeMutablePointer<UInt64>
  /// Of everything that is chosen at random or by hash.
  let choiceKey: SipHash.Key
  /// Of what persistent translations are chosen by: the same in every run, so that a client keeps its address.
  static var persistentKey: SipHash.Key { SipHash.Key(low: 0x7673_7769_7463_6863, high: 0x6f6e_6e74_7261_636b) }
  /// Connections may be picked up in their middle: Open vSwitch's way, and Linux's.
  let isLoose: UnsafeMutablePointer<Bool>

  /// - Parameters:
  ///   - hashKey: of tables; nobody else's.
  ///   - choiceKey: of what is chosen at random.
  init(hashKey: SipHash.Key, choiceKey: SipHash.Key) throws(ConfigError) {
    table = try ConnectionTable(key: hashKey)
    expectations = ExpectationTable(key: hashKey)
    fragments = FragmentTable(key: hashKey)
    self.choiceKey = choiceKey
    unsafe counter = .allocate(capacity: 1)
    unsafe counter.initialize(to: 0)
    unsafe isLoose = .allocate(capacity: 1)
    unsafe isLoose.initialize(to: true)
  }

  func deallocate() {
    table.deallocate()
    expectations.deallocate()
    fragments.deallocate()
    unsafe counter.deallocate()
    unsafe isLoose.deallocate()
  }

  /// 64 bits that nobody can foretell.
  func random() -> UInt64 {
    unsafe counter.pointee &+= 1
    var hash = SipHash(choiceKey)
    hash.add(unsafe counter.pointee)
    return hash.finish()
  }

  // MARK: a packet

  /// What a `ct(…)` says of a packet.
  struct Verdict {
    var connection = PacketConnection()
    /// The packet's own tuple before it was translated, in the zone: the original tuple of a connection that is not kept.
    var tuple = ConnectionTuple()
    /// Why the packet may not go on; nil if it may.
    var drop: DropReason?
    /// A helper has to look into the packet (`inspect`), or its sequence numbers have to be mended.
    var needsHelper = false
  }

  /// Runs one `ct(…)` on a packet.
  /// - Parameters:
  ///   - packet: nobody else's, if the request translates.
  ///   - known: the connection that it was found to belong to before.
  ///   - owner: slot of the entry port.
  ///   - now: seconds, monotonic.
  func track(
    _ packet: inout TrackedPacket, _ request: borrowing ConntrackRequest, known: PacketConnection, owner: UInt16,
    now: UInt32
  ) -> Verdict {
    var verdict = Verdict()
    verdict.connection.zone = request.zone
    guard packet.kind != .invalid else { return invalid(verdict) }
    if packet.tuple.zone != request.zone {
      packet.tuple.zone = request.zone
      packet.isHashed = false
    }
    if packet.kind == .firstFragment || packet.kind == .laterFragment {
      guard place(&packet, known, &verdict, now: now) else { return verdict }
    }
    verdict.tuple = packet.tuple
    var index: UInt32
    var isReply: Bool
    var isRevisit = false
    if known.zone == request.zone, let record = unsafe table.record(known.reference), unsafe table.isAlive(record, now)
    {
      index = known.reference.index
      isReply = known.isReply
      isRevisit = true
    } else if let found = table.lookup(packet.tuple, hash: hash(of: &packet), now: now) {
      index = found.index
      isReply = found.isReply
    } else {
      return begin(&packet, request, verdict, owner: owner, now: now)
    }
    if request.flags.contains(.forces), isReply, packet.kind != .error {
      table.remove(index)
      return begin(&packet, request, verdict, owner: owner, now: now)
    }
    let connection = unsafe table.record(index)
    let progress = unsafe table.state.pointee.watcher == nil ? nil : connection.pointee.progress
    if packet.kind == .error {
      guard unsafe isInFlight(packet, connection, isReply: isReply) else { return invalid(verdict) }
      verdict.connection.state = isReply ? [.tracked, .related, .reply] : [.tracked, .related]
    } else if isRevisit {
      verdict.connection.state = known.state
    } else {
      switch unsafe update(&packet, connection, isReply: isReply, now: now) {
      case .valid:
        verdict.connection.state = isReply ? [.tracked, .established, .reply] : [.tracked, .established]
      case .new: verdict.connection.state = [.tracked, .new]
      case .invalid: return invalid(verdict)
      case .another:
        table.remove(index)
        return begin(&packet, request, verdict, owner: owner, now: now)
      }
      if unsafe connection.pointee.flags.contains(.isRelated) { verdict.connection.state.insert(.related) }
    }
    verdict.connection.reference = table.reference(index)
    verdict.connection.isReply = isReply
    unsafe set(connection, request)
    if let progress, unsafe progress != connection.pointee.progress { unsafe table.tell(.update, connection, now: now) }
    if request.flags.contains(.translates), unsafe connection.pointee.flags.contains(.isTranslated) {
      unsafe verdict.connection.state.formUnion(
        PacketTranslator.translate(packet, connection, isReply: isReply))
    }
    verdict.needsHelper =
      unsafe !connection.pointee.flags.isDisjoint(with: [.isHelped, .isAdjusted]) && !isRevisit
      && packet.kind == .whole
    return verdict
  }

  /// The hash of a packet's tuple, which is that for all of its way through a zone.
  @inline(__always)
  private func hash(of packet: inout TrackedPacket) -> UInt32 {
    if !packet.isHashed {
      packet.hash = table.hash(packet.tuple)
      packet.isHashed = true
    }
    return packet.hash
  }

  private func invalid(_ verdict: Verdict) -> Verdict {
    unsafe table.state.pointee.statistics.invalid &+= 1
    var verdict = verdict
    verdict.connection.state = [.tracked, .invalid]
    verdict.tuple = ConnectionTuple()
    return verdict
  }

  // MARK: connections

  /// A packet whose connection is not kept.
  @inline(never)
  private func begin(
    _ packet: inout TrackedPacket, _ request: borrowing ConntrackRequest, _ verdict: Verdict, owner: UInt16, now: UInt32
  ) -> Verdict {
    var verdict = verdict
    // An error alone is nobody's; answers without a question and segments that begin nothing neither.
    guard packet.kind != .error, !packet.tuple.isICMP || packet.tuple.isICMPRequest else { return invalid(verdict) }
    if packet.tuple.ipProtocol == 6, packet.kind != .laterFragment {
      guard unsafe packet.segment.mayBegin(isLoose: isLoose.pointee) else { return invalid(verdict) }
    }
    verdict.connection.state = [.tracked, .new]
    let expectation = expectations.isEmpty ? nil : expectations.find(packet.tuple, now: now)
    if expectation != nil { verdict.connection.state.insert(.related) }
    guard !request.flags.isDisjoint(with: [.commits, .forces]) else {
      return verdict
    }
    let reversed = packet.tuple.reversed
    var reply = reversed
    var freeHash: UInt32?
    if request.flags.contains(.translates) {
      if let expectation {
        expectation.translate(packet.tuple, &reply)
        freeHash = makeUnique(&reply, packet.tuple, now: now)
      } else {
        freeHash = choose(&reply, packet.tuple, request.translation, now: now)
      }
    } else {
      freeHash = self.freeHash(reply, now: now)
    }
    guard let freeHash else { return exhausted(verdict) }
    var refusal = ConnectionTable.Refusal.tableFull
    guard let index = table.take(zone: request.zone, owner: owner, now: now, refusal: &refusal) else {
      unsafe table.state.pointee.statistics.refused &+= 1
      verdict.drop = refusal == .zoneFull ? .conntrackZoneFull : .conntrackFull
      return verdict
    }
    unsafe table.state.pointee.statistics.created &+= 1
    let connection = unsafe table.record(index)
    unsafe connection.pointee.original = packet.tuple
    unsafe connection.pointee.reply = reply
    unsafe connection.pointee.createdAt = now
    unsafe connection.pointee.policy = table.zones[Int(request.zone)].policy
    unsafe connection.pointee.set(request.helper)
    unsafe connection.pointee.originalPackets = 1
    unsafe connection.pointee.originalBytes = UInt64(packet.byteCount)
    if reply != reversed { unsafe connection.pointee.flags.insert(.isTranslated) }
    if let expectation {
      unsafe connection.pointee.flags.insert(.isRelated)
      unsafe connection.pointee.parent = expectation.parent
      unsafe table.state.pointee.statistics.expected &+= 1
      expectations.remove(packet.tuple)
      if let parent = unsafe table.record(expectation.parent) {
        // As Linux does it: what belongs to a connection begins with its mark.
        unsafe connection.pointee.mark = parent.pointee.mark
        unsafe connection.pointee.labelHigh = parent.pointee.labelHigh
        unsafe connection.pointee.labelLow = parent.pointee.labelLow
      }
    }
    switch packet.tuple.ipProtocol {
    case 6 where packet.kind != .laterFragment:
      unsafe TCPTracking.begin(connection, packet.segment)
      unsafe table.refresh(connection, .tcpFirst, now: now)
    case 1, 58: unsafe table.refresh(connection, .icmpFirst, now: now)
    default: unsafe table.refresh(connection, .otherFirst, now: now)
    }
    table.link(index, originalHash: hash(of: &packet), replyHash: freeHash)
    verdict.connection.reference = table.reference(index)
    unsafe set(connection, request)
    unsafe table.tell(.new, connection, now: now)
    if unsafe connection.pointee.flags.contains(.isTranslated) {
      unsafe verdict.connection.state.formUnion(PacketTranslator.translate(packet, connection, isReply: false))
    }
    verdict.needsHelper = unsafe connection.pointee.flags.contains(.isHelped) && packet.kind == .whole
    return verdict
  }

  private func exhausted(_ verdict: Verdict) -> Verdict {
    unsafe table.state.pointee.statistics.portsExhausted &+= 1
    var verdict = verdict
    verdict.drop = .natPortsExhausted
    return verdict
  }

  /// Sets mark and label as the request says.
  @inline(__always)
  private func set(_ connection: UnsafeMutablePointer<TrackedConnection>, _ request: borrowing ConntrackRequest) {
    if request.markMask != 0 {
      unsafe connection.pointee.mark = connection.pointee.mark & ~request.markMask | request.mark
    }
    if request.labelMaskHigh | request.labelMaskLow != 0 {
      unsafe connection.pointee.labelHigh = connection.pointee.labelHigh & ~request.labelMaskHigh | request.labelHigh
      unsafe connection.pointee.labelLow = connection.pointee.labelLow & ~request.labelMaskLow | request.labelLow
    }
  }

  // MARK: fragments

  /// Gives a fragment the ports of its first one.
  /// - Returns: false if it may not go on; `verdict` says why.
  private func place(
    _ packet: inout TrackedPacket, _ known: PacketConnection, _ verdict: inout Verdict, now: UInt32
  ) -> Bool {
    if known.hasPorts, known.zone == packet.tuple.zone {
      // The same fragment comes to the same zone once more.
      packet.tuple.sourcePort = known.sourcePort
      packet.tuple.destinationPort = known.destinationPort
    } else {
      switch fragments.place(packet, now: now) {
      case .drop:
        unsafe table.state.pointee.statistics.fragmentsDropped &+= 1
        verdict.drop = .badFragment
        return false
      case .early:
        verdict.drop = .earlyFragment
        return false
      case .ports(let source, let destination):
        packet.tuple.sourcePort = source
        packet.tuple.destinationPort = destination
      }
    }
    verdict.connection.hasPorts = true
    verdict.connection.sourcePort = packet.tuple.sourcePort
    verdict.connection.destinationPort = packet.tuple.destinationPort
    return true
  }

  // MARK: the fields of a packet

  /// Writes what the tracker says of a packet to its flow key: state, zone, mark, label, original tuple.
  /// - Parameter packetMark: the packet's own (`pkt_mark`), which is in a word with the connection's.
  func write(_ verdict: borrowing Verdict, to words: UnsafeMutablePointer<UInt64>, packetMark: UInt32) {
    var tuple = verdict.tuple
    var mark: UInt32 = 0
    unsafe words[27] = 0
    unsafe words[28] = 0
    if let connection = unsafe table.record(verdict.connection.reference) {
      unsafe mark = connection.pointee.mark
      unsafe words[27] = connection.pointee.labelHigh
      unsafe words[28] = connection.pointee.labelLow
      unsafe tuple = connection.pointee.original
      if unsafe connection.pointee.flags.contains(.isRelated),
        let parent = unsafe table.record(connection.pointee.parent)
      {
        unsafe tuple = parent.pointee.original
      }
    }
    unsafe words[26] = UInt64(packetMark) &<< 32 | UInt64(mark)
    unsafe words[29] =
      UInt64(verdict.connection.state.rawValue) &<< 32 | UInt64(verdict.connection.zone) &<< 16 | UInt64(
        tuple.ipProtocol)
      &<< 8
    let ports =
      tuple.isICMP
      ? UInt64(tuple.icmpType) &<< 48 | UInt64(tuple.icmpCode) &<< 32 : tuple.rest & 0xffff_ffff_0000_0000
    unsafe words[31] = words[31] & 0xffff_ffff | ports
    if tuple.isIPv6 {
      unsafe words[30] = 0
      unsafe words[32] = tuple.sourceHigh
      unsafe words[33] = tuple.sourceLow
      unsafe words[34] = tuple.destinationHigh
      unsafe words[35] = tuple.destinationLow
    } else {
      unsafe words[30] = tuple.sourceLow &<< 32 | tuple.destinationLow & 0xffff_ffff
      for index in 32..<36 { unsafe words[index] = 0 }
    }
  }
}
