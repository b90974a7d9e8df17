// A packet of a connection that is known: counted, and followed in the connection's state and time.
// Thread: one worker. Nothing here allocates memory or can trap on a packet's bytes.

import VSwitchCore

extension ConnectionTracker {
  /// Counts a packet of a connection and follows its state.
  @inline(__always)
  func update(
    _ packet: inout TrackedPacket, _ connection: UnsafeMutablePointer<TrackedConnection>, isReply: Bool, now: UInt32
  ) -> ConnectionUpdate {
    var result = ConnectionUpdate.valid
    if packet.tuple.ipProtocol == 6 {
      if packet.kind != .laterFragment {
        var segment = packet.segment
        if unsafe connection.pointee.flags.contains(.isAdjusted) {
          unsafe SequenceMender.mendAcknowledgement(packet, connection, isReply: isReply, &segment)
        }
        var timeout: ConnectionTimeout?
        result = unsafe TCPTracking.update(connection, segment, isReply: isReply, timeout: &timeout)
        guard result == .valid || result == .new else { return result }
        if let timeout { unsafe table.refresh(connection, timeout, now: now) }
      } else {
        unsafe extend(connection, packet, isReply: isReply)
      }
    } else {
      unsafe follow(connection, isReply: isReply, isICMP: packet.tuple.isICMP, now: now)
    }
    unsafe count(connection, byteCount: packet.byteCount, isReply: isReply)
    return unsafe isReply || connection.pointee.flags.contains(.isReplied) ? result : .new
  }

  @inline(__always)
  private func count(_ connection: UnsafeMutablePointer<TrackedConnection>, byteCount: Int, isReply: Bool) {
    if isReply {
      unsafe connection.pointee.replyPackets &+= 1
      unsafe connection.pointee.replyBytes &+= UInt64(byteCount)
      unsafe connection.pointee.flags.insert(.isReplied)
    } else {
      unsafe connection.pointee.originalPackets &+= 1
      unsafe connection.pointee.originalBytes &+= UInt64(byteCount)
    }
  }

  /// Counts a packet of an answered connection and follows its state.
  /// - Parameter segment: nil for UDP; no SYN, FIN or RST.
  /// - Returns: false, and nothing has changed, if it does not belong to the connection.
  @inline(__always)
  func follow(
    _ connection: UnsafeMutablePointer<TrackedConnection>, _ segment: TCPSegment?, byteCount: Int, isReply: Bool,
    now: UInt32
  ) -> Bool {
    if let segment {
      var timeout: ConnectionTimeout?
      guard unsafe TCPTracking.update(connection, segment, isReply: isReply, timeout: &timeout) == .valid else {
        return false
      }
      if let timeout { unsafe table.refresh(connection, timeout, now: now) }
    } else {
      unsafe follow(connection, isReply: isReply, isICMP: false, now: now)
    }
    unsafe count(connection, byteCount: byteCount, isReply: isReply)
    return true
  }

  /// The rest of a segment that came in fragments belongs to what its end has sent.
  @inline(never)
  private func extend(
    _ connection: UnsafeMutablePointer<TrackedConnection>, _ packet: TrackedPacket, isReply: Bool
  ) {
    // The first fragment's header is part of the count: a little more than was sent, which is on the safe side of an answer.
    let count = UInt32(truncatingIfNeeded: packet.fragmentEnd &- packet.fragmentStart)
    if isReply {
      unsafe connection.pointee.responder.next &+= count
    } else {
      unsafe connection.pointee.originator.next &+= count
    }
  }

  /// UDP, SCTP, ICMP and all others: who has sent decides how long it lives.
  @inline(__always)
  func follow(
    _ connection: UnsafeMutablePointer<TrackedConnection>, isReply: Bool, isICMP: Bool, now: UInt32
  ) {
    if isReply {
      unsafe connection.pointee.phase = .bidirectional
    } else if unsafe connection.pointee.phase == .first {
      unsafe connection.pointee.phase = .multiple
    }
    let phase = unsafe connection.pointee.phase
    if isICMP {
      unsafe table.refresh(connection, phase == .bidirectional ? .icmpReply : .icmpFirst, now: now)
    } else {
      unsafe table.refresh(connection, phase == .bidirectional ? .otherBidirectional : .otherMultiple, now: now)
    }
  }

  /// Whether an ICMP error may be about a packet of this connection (RFC 5927): it must quote a segment that is in flight.
  /// Such an error never ends or prolongs the connection.
  func isInFlight(
    _ packet: TrackedPacket, _ connection: UnsafeMutablePointer<TrackedConnection>, isReply: Bool
  ) -> Bool {
    guard packet.tuple.ipProtocol == 6 else { return true }
    // What is quoted was sent in the other direction than that which the error goes in.
    let sequence = packet.doubleWord(packet.innerTransportOffset &+ 4)
    let sender = unsafe isReply ? connection.pointee.originator : connection.pointee.responder
    let receiver = unsafe isReply ? connection.pointee.responder : connection.pointee.originator
    guard sender.state >= .synSent else { return false }
    return TCPTracking.isInFlight(sequence: sequence, sender, receiver)
  }
}
