// The states of a TCP connection and the windows of sequence numbers that its ends may use, after Guido van Rooij, "Real
// Stateful TCP Packet Filtering in IP Filter" (2000), in the form that pf(4) and Open vSwitch's conntrack-tcp.c have given it:
// a segment is valid if its end is below what the receiver allowed, its start no more than a window back, and what it
// acknowledges no more than a window off; a reset has to name the very next byte (RFC 5961 §3). Sequence numbers wrap.
// A connection may be picked up in its middle: then windows are learned from both ends, the scale taken to be the largest.
// Thread: one worker. No value can trap.

/// One end of a TCP connection.
struct TCPPeer {
  /// The next byte that it is known to send, and the highest that it may.
  var next: UInt32 = 0
  var highest: UInt32 = 0
  /// The largest window that it has offered, not scaled.
  var largestWindow: UInt32 = 0
  var state = TCPState.closed
  /// Shift of its windows, `scaleIsKnown`, `scaleIsUnknown`.
  var scale: UInt8 = 0

  static let scaleIsKnown: UInt8 = 0x80
  static let scaleIsUnknown: UInt8 = 0x40
  static let scaleMask: UInt8 = 0x0f
  static let largestScale: UInt32 = 14
}

/// RFC 9293 §3.3.2, in the order in which a connection goes through them.
enum TCPState: UInt8, Comparable, CaseIterable {
  case closed, listen, synSent, synReceived, established, closeWait, finWait1, closing, lastAck, finWait2, timeWait

  @inline(__always)
  static func < (a: TCPState, b: TCPState) -> Bool { a.rawValue < b.rawValue }
}

/// What tracking reads of a TCP segment; host order.
struct TCPSegment {
  var sequence: UInt32
  var acknowledgement: UInt32
  var window: UInt32
  /// Payload bytes.
  var byteCount: UInt32
  var flags: UInt8
  /// Of the window scale option: `TCPPeer.scaleIsKnown` and the shift; 0 without one.
  var scale: UInt8

  static let fin: UInt8 = 1
  static let syn: UInt8 = 2
  static let rst: UInt8 = 4
  static let psh: UInt8 = 8
  static let ack: UInt8 = 16
  static let urg: UInt8 = 32

  @inline(__always) func has(_ flag: UInt8) -> Bool { flags & flag != 0 }

  /// Flags that no end sends together.
  var hasWrongFlags: Bool {
    if has(Self.syn) {
      if has(Self.rst | Self.fin) { return true }
    } else if !has(Self.ack | Self.rst) {
      return true
    }
    return !has(Self.ack) && has(Self.fin | Self.psh | Self.urg)
  }

  /// Whether it may begin a connection: a SYN, or, where connections may be picked up in their middle, anything that follows.
  func mayBegin(isLoose: Bool) -> Bool {
    guard !hasWrongFlags else { return false }
    if has(Self.syn) { return !has(Self.ack) }
    return isLoose && !has(Self.rst)
  }
}

/// What a packet means for its connection.
enum ConnectionUpdate {
  /// Belongs to it.
  case valid
  /// Belongs to it, and it is as new as before.
  case new
  /// Does not belong to it.
  case invalid
  /// Begins another connection in place of this one, which had ended.
  case another
}

enum TCPTracking {
  /// How far a segment may be off where windows say nothing: the largest one without a scale and some more.
  private static let slack: UInt32 = 0xffff + 1500

  /// a >= b of sequence numbers.
  @inline(__always)
  private static func isAtLeast(_ a: UInt32, _ b: UInt32) -> Bool { Int32(bitPattern: a &- b) >= 0 }

  /// The first segment.
  static func begin(_ connection: UnsafeMutablePointer<TrackedConnection>, _ segment: TCPSegment) {
    var source = TCPPeer()
    var destination = TCPPeer()
    source.next = segment.sequence
    source.highest = segment.sequence &+ segment.byteCount &+ 1
    if segment.has(TCPSegment.syn) {
      source.highest &+= 1
      source.scale = segment.scale
    } else {
      source.scale = TCPPeer.scaleIsUnknown
      destination.scale = TCPPeer.scaleIsUnknown
    }
    source.largestWindow = max(segment.window, 1)
    if segment.has(TCPSegment.syn) {
      // The window of a SYN is not scaled: kept as if it were.
      source.largestWindow = divided(source.largestWindow, by: UInt32(source.scale & TCPPeer.scaleMask))
    }
    if segment.has(TCPSegment.fin) { source.highest &+= 1 }
    destination.highest = 1
    destination.largestWindow = 1
    source.state = .synSent
    destination.state = .closed
    unsafe connection.pointee.originator = source
    unsafe connection.pointee.responder = destination
  }

  /// value / 2^shift, rounded up.
  private static func divided(_ value: UInt32, by shift: UInt32) -> UInt32 {
    (value &+ (1 &<< shift) &- 1) &>> shift
  }

  /// A later segment.
  /// - Parameter timeout: which one the connection has from now on; nil: its time goes on as it was.
  static func update(
    _ connection: UnsafeMutablePointer<TrackedConnection>, _ segment: TCPSegment, isReply: Bool,
    timeout: inout ConnectionTimeout?
  ) -> ConnectionUpdate {
    timeout = nil
    if segment.hasWrongFlags { return .invalid }
    var source = unsafe isReply ? connection.pointee.responder : connection.pointee.originator
    var destination = unsafe isReply ? connection.pointee.originator : connection.pointee.responder
    if segment.flags & (TCPSegment.syn | TCPSegment.ack) == TCPSegment.syn {
      if destination.state >= .finWait2, source.state >= .finWait2 { return .another }
      if source.state <= .synSent, !isReply {
        // Sent again, perhaps by a new socket with the same port.
        if destination.state == .closed { unsafe begin(connection, segment) }
        timeout = .tcpFirst
        return .new
      }
    }
    let result = update(&source, &destination, segment, timeout: &timeout)
    guard result != .invalid else { return .invalid }
    if isReply {
      unsafe connection.pointee.responder = source
      unsafe connection.pointee.originator = destination
    } else {
      unsafe connection.pointee.originator = source
      unsafe connection.pointee.responder = destination
    }
    return result
  }

  private static func update(
    _ source: inout TCPPeer, _ destination: inout TCPPeer, _ segment: TCPSegment, timeout: inout ConnectionTimeout?
  ) -> ConnectionUpdate {
    let isSYN = segment.has(TCPSegment.syn)
    var sourceScale: UInt32 = 0
    var destinationScale: UInt32 = 0
    if !isSYN {
      if source.scale & destination.scale & TCPPeer.scaleIsKnown != 0 {
        sourceScale = UInt32(source.scale & TCPPeer.scaleMask)
        destinationScale = UInt32(destination.scale & TCPPeer.scaleMask)
      } else if source.scale & destination.scale & TCPPeer.scaleIsUnknown != 0 {
        sourceScale = TCPPeer.largestScale
        destinationScale = TCPPeer.largestScale
      }
    }
    var window = segment.window
    var start = segment.sequence
    var end = start &+ segment.byteCount
    if isSYN { end &+= 1 }
    if segment.has(TCPSegment.fin) { end &+= 1 }
    var looksAtAcknowledgement = true
    if source.state < .synSent {
      // The first that comes from this end.
      if isSYN, destination.scale & TCPPeer.scaleIsKnown != 0 {
        source.scale = segment.scale
        if source.scale & TCPPeer.scaleIsKnown != 0 {
          sourceScale = UInt32(source.scale & TCPPeer.scaleMask)
          window = divided(window, by: sourceScale)
          destinationScale = UInt32(destination.scale & TCPPeer.scaleMask)
        } else {
          // Only one end scales, so neither does.
          destination.largestWindow = destination.largestWindow &<< UInt32(destination.scale & TCPPeer.scaleMask)
          destination.scale = 0
        }
      }
      source.next = start
      source.state = .synSent
      let reach = end &+ max(1, destination.largestWindow &<< destinationScale)
      if source.highest == 1 || isAtLeast(reach, source.highest) {
        source.highest = reach
        looksAtAcknowledgement = false
      }
      source.largestWindow = max(source.largestWindow, window)
    }
    var acknowledgement = segment.acknowledgement
    let resets = segment.has(TCPSegment.rst)
    if !segment.has(TCPSegment.ack) || acknowledgement == 0 && resets { acknowledgement = destination.next }
    if start == end {
      // Without data there is little to be wrong with.
      start = source.next
      end = start
    }
    let skew = looksAtAcknowledgement ? Int64(Int32(bitPattern: destination.next &- acknowledgement)) : 0
    let isInWindow =
      isAtLeast(source.highest, end) && isAtLeast(start, source.next &- destination.largestWindow &<< destinationScale)
      && skew >= -Int64(slack) && skew <= Int64(slack) &<< Int64(sourceScale)
    let isExactReset =
      !resets || segment.sequence == source.next || segment.sequence == source.next &+ 1
      || segment.sequence &+ 1 == source.next
    if isInWindow, isExactReset {
      note(&source, end, window)
      let reach = acknowledgement &+ window &<< sourceScale
      if isAtLeast(reach, destination.highest) {
        destination.highest = acknowledgement &+ max(window &<< sourceScale, 1)
      }
      if isSYN, source.state < .synSent { source.state = .synSent }
      if segment.has(TCPSegment.fin), source.state < .closing { source.state = .closing }
      if segment.has(TCPSegment.ack) {
        if destination.state == .synSent {
          destination.state = .established
        } else if destination.state == .closing {
          destination.state = .finWait2
        }
      }
      if resets {
        source.state = .timeWait
        destination.state = .timeWait
      }
      timeout = TCPTracking.timeout(source.state, destination.state)
      return .valid
    }
    // While a connection is being made, picked up or after it has ended there may be more than the windows say; that does not
    // prolong it.
    let isLoose = destination.state < .synSent || destination.state >= .finWait2 || source.state >= .finWait2
    guard isLoose, isAtLeast(source.highest &+ slack, end), isAtLeast(start, source.next &- slack), isExactReset else {
      return .invalid
    }
    note(&source, end, window)
    if segment.has(TCPSegment.fin), source.state < .closing { source.state = .closing }
    if resets {
      source.state = .timeWait
      destination.state = .timeWait
    }
    return .valid
  }

  private static func note(_ source: inout TCPPeer, _ end: UInt32, _ window: UInt32) {
    source.largestWindow = max(source.largestWindow, window)
    if Int32(bitPattern: end &- source.next) > 0 { source.next = end }
  }

  static func timeout(_ source: TCPState, _ destination: TCPState) -> ConnectionTimeout {
    if source >= .finWait2, destination >= .finWait2 { return .tcpClosed }
    if source >= .closing, destination >= .closing { return .tcpFinWait }
    if source < .established || destination < .established { return .tcpOpening }
    if source >= .closing || destination >= .closing { return .tcpClosing }
    return .tcpEstablished
  }

  /// Whether a quoted segment is one that its sender may have in flight (RFC 5927 §4.1).
  /// - Parameter sender: the end that has sent it.
  static func isInFlight(sequence: UInt32, _ sender: TCPPeer, _ receiver: TCPPeer) -> Bool {
    let shift =
      sender.scale & receiver.scale & TCPPeer.scaleIsKnown != 0 ? UInt32(receiver.scale & TCPPeer.scaleMask) : 0
    let window =
      sender.scale & receiver.scale & TCPPeer.scaleIsUnknown != 0
      ? receiver.largestWindow &<< TCPPeer.largestScale : receiver.largestWindow &<< shift
    // A SYN counts one, which `next` does not say before there is data.
    return isAtLeast(sequence, sender.next &- max(window, slack)) && isAtLeast(sender.next &+ 1, sequence)
  }
}
