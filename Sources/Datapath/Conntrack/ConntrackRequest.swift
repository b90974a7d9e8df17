// What a rule asks of the tracker (a `conntrack` step and what follows it), and what it answers. Plain data.

import VSwitchCore

/// Of `ct_state` (ovs-fields(7)).
package struct ConnectionState: OptionSet, Sendable {
  package let rawValue: UInt8
  package init(rawValue: UInt8) { self.rawValue = rawValue }
  package static let new = ConnectionState(rawValue: 0x01)
  package static let established = ConnectionState(rawValue: 0x02)
  package static let related = ConnectionState(rawValue: 0x04)
  package static let reply = ConnectionState(rawValue: 0x08)
  package static let invalid = ConnectionState(rawValue: 0x10)
  package static let tracked = ConnectionState(rawValue: 0x20)
  package static let sourceTranslated = ConnectionState(rawValue: 0x40)
  package static let destinationTranslated = ConnectionState(rawValue: 0x80)
}

/// One `ct(…)`.
struct ConntrackRequest {
  var zone: UInt16 = 0
  var flags: ActionStep.ConntrackFlags = []
  var helper = ConnectionHelper.none
  var translation = TranslationRange()
  var mark: UInt32 = 0
  var markMask: UInt32 = 0
  var labelHigh: UInt64 = 0
  var labelLow: UInt64 = 0
  var labelMaskHigh: UInt64 = 0
  var labelMaskLow: UInt64 = 0

  /// - Parameters:
  ///   - step: a `conntrack` step.
  ///   - block: the steps that belong to it.
  @inline(__always)
  init(_ step: ActionStep, _ block: UnsafeBufferPointer<ActionStep>) {
    zone = UInt16(truncatingIfNeeded: step.number)
    flags = ActionStep.ConntrackFlags(rawValue: step.half)
    helper = ConnectionHelper(port: UInt16(truncatingIfNeeded: step.low))
    var position = 0
    if flags.contains(.translates), block.count >= 2 {
      // Only where a connection begins.
      if !flags.isDisjoint(with: [.commits, .forces]) { unsafe translation = TranslationRange(block[0], block[1]) }
      position = 2
    }
    while position < block.count {
      let part = unsafe block[position]
      if part.operation == .conntrackSet {
        if part.field == Field.ctMark.rawValue {
          mark = mark & ~UInt32(truncatingIfNeeded: part.maskLow) | UInt32(truncatingIfNeeded: part.low & part.maskLow)
          markMask |= UInt32(truncatingIfNeeded: part.maskLow)
        } else {
          labelHigh = labelHigh & ~part.maskHigh | part.high & part.maskHigh
          labelLow = labelLow & ~part.maskLow | part.low & part.maskLow
          labelMaskHigh |= part.maskHigh
          labelMaskLow |= part.maskLow
        }
      }
      position &+= 1
    }
  }

  init() {}
}

/// What `nat(…)` allows: see `CodeWriter` for the words.
struct TranslationRange {
  enum Kind: UInt8 { case none, source, destination }
  var kind = Kind.none
  var isPersistent = false
  var hashes = false
  var randomizes = false
  var hasAddresses = false
  var isIPv6 = false
  var hasPorts = false
  var firstPort: UInt16 = 0
  var lastPort: UInt16 = 0
  var first: UInt128 = 0
  var last: UInt128 = 0

  init() {}

  init(_ step: ActionStep, _ end: ActionStep) {
    let flags = step.low
    kind = Kind(rawValue: UInt8(truncatingIfNeeded: flags & 3)) ?? .none
    isPersistent = flags & 4 != 0
    hashes = flags & 8 != 0
    randomizes = flags & 16 != 0
    hasAddresses = flags & 32 != 0
    isIPv6 = flags & 64 != 0
    hasPorts = flags & 128 != 0
    firstPort = UInt16(truncatingIfNeeded: flags &>> 32)
    lastPort = UInt16(truncatingIfNeeded: flags &>> 48)
    first = UInt128(step.high) << 64 | UInt128(step.maskHigh)
    last = UInt128(end.high) << 64 | UInt128(end.low)
    if last < first { last = first }
    if lastPort < firstPort { lastPort = firstPort }
  }
}

/// The connection that a packet belongs to, on its way through the pipeline.
struct PacketConnection {
  /// None: it was not asked, or it is no connection that is kept.
  var reference = ConnectionReference()
  var zone: UInt16 = 0
  var state: ConnectionState = []
  var isReply = false
  /// Of a fragment: ports that the first one had, for `zone`.
  var hasPorts = false
  var sourcePort: UInt16 = 0
  var destinationPort: UInt16 = 0
}
