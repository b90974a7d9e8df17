// Helpers: what a control connection says of another connection becomes an expectation, and what it says of addresses is
// translated along with them. Only where a rule asks for it (`alg=`).
//
// Bounds (S26 of Docs/security.md): only the two hosts of the control connection, ports from 1024 on; the address that is said
// has to be the speaker's own. Thread: one worker. Standards: RFC 959, RFC 2428, RFC 1350 (TFTP).

import VSwitchCore

/// What has to be changed of a packet's payload.
struct HelperEdit {
  /// Bytes of the frame that are replaced.
  var start: Int
  var end: Int
  var text: HelperText
}

extension ConnectionTracker {
  private static var lowestPort: UInt16 { 1024 }
  private static var portProbes: Int { 64 }

  /// Looks into a packet of a connection that has a helper.
  /// - Returns: what is to be changed of its payload.
  @inline(never)
  func inspect(_ packet: borrowing TrackedPacket, _ verdict: borrowing Verdict, now: UInt32) -> HelperEdit? {
    guard let connection = unsafe table.record(verdict.connection.reference) else { return nil }
    switch unsafe connection.pointee.helper {
    case .none: return nil
    case .ftp: return unsafe inspectFTP(packet, connection, verdict, now: now)
    case .tftp:
      unsafe inspectTFTP(packet, connection, verdict, now: now)
      return nil
    }
  }

  /// A client's request is answered from a port that nobody knows yet, to the one that it came from.
  private func inspectTFTP(
    _ packet: borrowing TrackedPacket, _ connection: UnsafeMutablePointer<TrackedConnection>,
    _ verdict: borrowing Verdict, now: UInt32
  ) {
    let payload = packet.transportOffset &+ 8
    guard !verdict.connection.isReply, packet.tuple.ipProtocol == 17, packet.end &- payload >= 2 else { return }
    let operation = packet.word(payload)
    guard operation == 1 || operation == 2 else { return }
    let original = unsafe connection.pointee.original
    let reply = unsafe connection.pointee.reply
    var expectation = Expectation()
    expectation.tuple = reply
    expectation.tuple.sourcePort = 0
    expectation.destination = original.source
    expectation.destinationPort = original.sourcePort
    expectation.source = original.destination
    expectation.parent = verdict.connection.reference
    _ = expectations.add(expectation, now: now)
  }

  private func inspectFTP(
    _ packet: borrowing TrackedPacket, _ connection: UnsafeMutablePointer<TrackedConnection>,
    _ verdict: borrowing Verdict, now: UInt32
  ) -> HelperEdit? {
    guard packet.tuple.ipProtocol == 6 else { return nil }
    let payload = packet.transportOffset &+ Int(packet.byte(packet.transportOffset &+ 12) &>> 4) &* 4
    guard payload < packet.end else { return nil }
    let isReply = verdict.connection.isReply
    let text = unsafe UnsafeRawBufferPointer(start: packet.frame + payload, count: packet.end &- payload)
    guard let command = unsafe FTPCommand(text, isReply: isReply), command.port >= ConnectionTracker.lowestPort else {
      return nil
    }
    let original = unsafe connection.pointee.original
    let reply = unsafe connection.pointee.reply
    let speaker = isReply ? reply : original
    if command.form != .portOnly {
      guard command.isIPv6 == speaker.isIPv6, command.address == speaker.source else { return nil }
    }
    // Who will open the connection sees the speaker as `visible` says.
    let visible = isReply ? original.destination : reply.destination
    var expectation = Expectation()
    expectation.tuple = isReply ? original : reply
    expectation.tuple.sourcePort = 0
    expectation.destination = speaker.source
    expectation.destinationPort = command.port
    expectation.source = isReply ? reply.destination : original.destination
    expectation.parent = verdict.connection.reference
    var port = command.port
    for probe in 0..<ConnectionTracker.portProbes {
      expectation.tuple.destinationPort = port
      if expectations.add(expectation, now: now) {
        guard visible != speaker.source || port != command.port else { return nil }
        return HelperEdit(
          start: payload &+ command.start, end: payload &+ command.end,
          text: HelperText(command, address: visible, port: port))
      }
      // Another client has asked for the same one: where the address is shared, ports differ.
      guard visible != speaker.source || probe == 0 else { return nil }
      port = UInt16(truncatingIfNeeded: random() % 64_512) &+ 1024
    }
    return nil
  }
}
