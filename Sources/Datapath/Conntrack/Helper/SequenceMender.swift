// Mends the sequence numbers of a TCP connection whose helper has changed the length of what an end sent: what it sends from
// there on counts more or fewer bytes, what the other end acknowledges of it (also selectively, RFC 2018) fewer or more.
// Thread: one worker; the packet is nobody else's.

import VSwitchCore

enum SequenceMender {
  /// Turns an acknowledgement of what was changed into one of what was sent, in the packet and in `segment`.
  static func mendAcknowledgement(
    _ packet: borrowing TrackedPacket, _ connection: UnsafeMutablePointer<TrackedConnection>, isReply: Bool,
    _ segment: inout TCPSegment
  ) {
    let adjustment = unsafe isReply ? connection.pointee.originalAdjustment : connection.pointee.replyAdjustment
    guard adjustment.after != 0 || adjustment.before != 0, segment.has(TCPSegment.ack) else { return }
    var edits = unsafe PacketTranslator.Edits(packet.frame)
    segment.acknowledgement = acknowledged(segment.acknowledgement, adjustment)
    edits.setDoubleWord(packet.transportOffset &+ 8, segment.acknowledgement)
    mendSelective(packet, adjustment, &edits)
    if !packet.hasOpenChecksum { edits.mend(packet.transportOffset &+ 16, edits.difference) }
  }

  private static func acknowledged(_ number: UInt32, _ adjustment: SequenceAdjustment) -> UInt32 {
    let before = UInt32(bitPattern: adjustment.before)
    let isBehind = Int32(bitPattern: number &- before &- adjustment.position) > 0
    return number &- (isBehind ? UInt32(bitPattern: adjustment.after) : before)
  }

  private static func mendSelective(
    _ packet: borrowing TrackedPacket, _ adjustment: SequenceAdjustment, _ edits: inout PacketTranslator.Edits
  ) {
    let last = packet.transportOffset &+ Int(packet.byte(packet.transportOffset &+ 12) &>> 4) &* 4
    var position = packet.transportOffset &+ 20
    while position < last {
      switch packet.byte(position) {
      case 0: return
      case 1: position &+= 1
      case let option:
        guard position &+ 1 < last else { return }
        let length = Int(packet.byte(position &+ 1))
        guard length >= 2, position &+ length <= last else { return }
        if option == 5 {
          var edge = position &+ 2
          while edge &+ 4 <= position &+ length {
            let number = packet.doubleWord(edge)
            let mended = acknowledged(number, adjustment)
            // At an odd place the sum counts the bytes the other way round.
            if edge & 1 == packet.transportOffset & 1 {
              edits.setDoubleWord(edge, mended)
            } else if number != mended {
              unsafe packet.frame.storeBytes(of: mended.bigEndian, toByteOffset: edge, as: UInt32.self)
              edits.difference &+= swapped(~number) &+ swapped(mended)
            }
            edge &+= 4
          }
        }
        position &+= length
      }
    }
  }

  private static func swapped(_ value: UInt32) -> UInt64 {
    UInt64(UInt16(truncatingIfNeeded: value &>> 16).byteSwapped)
      &+ UInt64(UInt16(truncatingIfNeeded: value).byteSwapped)
  }

  /// Moves the sequence number of a segment by what was changed before it.
  static func mendSequence(
    _ packet: borrowing TrackedPacket, _ connection: UnsafeMutablePointer<TrackedConnection>, isReply: Bool
  ) {
    let adjustment = unsafe isReply ? connection.pointee.replyAdjustment : connection.pointee.originalAdjustment
    guard adjustment.after != 0 || adjustment.before != 0 else { return }
    let number = packet.doubleWord(packet.transportOffset &+ 4)
    let isBehind = Int32(bitPattern: number &- adjustment.position) > 0
    var edits = unsafe PacketTranslator.Edits(packet.frame)
    edits.setDoubleWord(
      packet.transportOffset &+ 4, number &+ UInt32(bitPattern: isBehind ? adjustment.after : adjustment.before))
    if !packet.hasOpenChecksum { edits.mend(packet.transportOffset &+ 16, edits.difference) }
  }

  /// Notes that the bytes sent at a sequence number have become longer or shorter.
  static func note(
    _ connection: UnsafeMutablePointer<TrackedConnection>, isReply: Bool, sequence: UInt32, change: Int
  ) {
    guard change != 0 else { return }
    var adjustment = unsafe isReply ? connection.pointee.replyAdjustment : connection.pointee.originalAdjustment
    let isLater = Int32(bitPattern: sequence &- adjustment.position) > 0
    // The same segment sent again has been counted.
    guard isLater || adjustment.before == adjustment.after else { return }
    adjustment.before = adjustment.after
    adjustment.position = sequence
    adjustment.after = adjustment.after &+ Int32(truncatingIfNeeded: change)
    if isReply {
      unsafe connection.pointee.replyAdjustment = adjustment
    } else {
      unsafe connection.pointee.originalAdjustment = adjustment
    }
    unsafe connection.pointee.flags.insert(.isAdjusted)
  }
}
