// One connection: a flat record, found by either of its tuples. Plain data of one worker's table.

/// A connection that was committed.
struct TrackedConnection {
  // What every packet reads and writes, in one line of the processor's cache.
  var mark: UInt32 = 0
  /// Seconds, monotonic: from then on it is no more.
  var expiresAt: UInt32 = 0
  /// Raised when the place gets another connection, so that a reference (`ConnectionReference`) to the last one ends.
  var generation: UInt32 = 0
  var flags: Flags = []
  /// Of what is not TCP.
  var phase = Phase.first
  /// Of timeouts.
  var policy: UInt16 = 0
  var originalPackets: UInt64 = 0
  var originalBytes: UInt64 = 0
  var replyPackets: UInt64 = 0
  var replyBytes: UInt64 = 0
  var labelHigh: UInt64 = 0
  var labelLow: UInt64 = 0
  // In the next one.
  /// TCP: who sent the first packet, and who answers.
  var originator = TCPPeer()
  var responder = TCPPeer()
  /// Chains of the buckets of both tuples: see `ConnectionTable`.
  var nextOriginal: UInt32 = 0
  var nextReply: UInt32 = 0
  var originalHash: UInt32 = 0
  var replyHash: UInt32 = 0
  /// Of its first packet, as that came to the tracker.
  var original = ConnectionTuple()
  /// Of what answers, as that comes to the tracker.
  var reply = ConnectionTuple()
  var createdAt: UInt32 = 0
  /// Slot of the port where the first packet came in.
  var owner: UInt16 = 0
  /// `isHelped` says whether it is none.
  private(set) var helper = ConnectionHelper.none
  /// The connection whose helper expected this one; its tuple is what the original-tuple fields show.
  var parent = ConnectionReference()
  /// What a helper has changed of the lengths of either direction.
  var originalAdjustment = SequenceAdjustment()
  var replyAdjustment = SequenceAdjustment()
  /// So that each begins a line: 256 bytes.
  private var padding: (UInt64, UInt64, UInt64) = (0, 0, 0)

  struct Flags: OptionSet {
    let rawValue: UInt8
    /// The place holds a connection.
    static let isUsed = Flags(rawValue: 1 << 0)
    /// A packet of the other direction has come.
    static let isReplied = Flags(rawValue: 1 << 1)
    /// Expected by another one's helper.
    static let isRelated = Flags(rawValue: 1 << 2)
    /// Addresses or ports are translated.
    static let isTranslated = Flags(rawValue: 1 << 3)
    /// A helper has changed the length of what was sent.
    static let isAdjusted = Flags(rawValue: 1 << 4)
    /// It has a helper.
    static let isHelped = Flags(rawValue: 1 << 5)
  }

  /// What has been seen of a connection without a state machine of its own.
  enum Phase: UInt8 {
    case first
    /// More than one packet, all in one direction.
    case multiple
    case bidirectional
  }

  mutating func set(_ helper: ConnectionHelper) {
    self.helper = helper
    if helper == .none { flags.remove(.isHelped) } else { flags.insert(.isHelped) }
  }

  /// How far it has come: another number says that watchers have something to hear of.
  var progress: UInt32 {
    UInt32(flags.rawValue & Flags.isReplied.rawValue) | UInt32(originator.state.rawValue) << 8
      | UInt32(responder.state.rawValue) << 16
  }

  @inline(__always) func tuple(isReply: Bool) -> ConnectionTuple { isReply ? reply : original }
}

/// Names a connection for as long as it is that one.
struct ConnectionReference: Equatable {
  static var noIndex: UInt32 { .max }
  var index = ConnectionReference.noIndex
  var generation: UInt32 = 0

  @inline(__always) var isNone: Bool { index == ConnectionReference.noIndex }
}

/// What looks into the packets of a connection for others that belong to it.
enum ConnectionHelper: UInt8 {
  case none, ftp, tftp

  /// - Parameter port: of the helper's protocol, as `alg=` gives it; 0: none.
  init(port: UInt16) {
    self = port == 21 ? .ftp : port == 69 ? .tftp : .none
  }
}

/// By how much the bytes of one direction are more (or fewer) as they leave than as they came.
struct SequenceAdjustment {
  /// Sequence number, as it came, behind which `after` counts; before it `before` does.
  var position: UInt32 = 0
  var before: Int32 = 0
  var after: Int32 = 0
}
