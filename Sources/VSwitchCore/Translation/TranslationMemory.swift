// What translation works in: allocated once for each worker, so that a cache miss allocates nothing. Thread: one worker's.
// Memory: one block a kind, freed by `deallocate`. Each array has a limit; what passes it ends the translation with a
// drop reason.

/// Handle of a worker's memory for translation: copies name the same.
@safe public struct TranslationMemory: @unchecked Sendable {
  /// Most tables and groups that one packet may go through, and how many of them inside of one another: as in Open vSwitch.
  public static let resubmitLimit = 4096
  public static let depthLimit = 64
  /// Room for every resubmit, and for what stands between.
  static let frameLimit = resubmitLimit + 4 * depthLimit
  static let savedStateLimit = 2 * depthLimit
  static let actionSetLimit = 4096
  static let stackLimit = 2048

  let frames: UnsafeMutablePointer<TranslationFrame>
  let states: UnsafeMutablePointer<PipelineState>
  /// Actions of sets: those written, and copies in the order in which they run.
  let actionSet: UnsafeMutablePointer<UnsafePointer<UInt64>>
  let stack: UnsafeMutablePointer<StackEntry>

  struct StackEntry {
    var value: UInt128
    /// Index of the entry below; -1 for none.
    var below: Int
  }

  private let noCode: UnsafePointer<UInt64>
  let resubmitLimit: Int
  /// All ones for the words of the key that come with a packet, else 0.
  let packetBits: UnsafeMutablePointer<FlowMask>

  /// A list of no actions.
  var noActions: CodeRange { unsafe CodeRange(start: noCode, end: noCode) }

  /// - Parameter resubmitLimit: a lower one than the default, for tests.
  public init(resubmitLimit: Int = TranslationMemory.resubmitLimit) {
    self.resubmitLimit = min(resubmitLimit, Self.resubmitLimit)
    let word = UnsafeMutablePointer<UInt64>.allocate(capacity: 1)
    unsafe word.initialize(to: 0)
    unsafe noCode = UnsafePointer(word)
    var ofPacket = FlowMask()
    for i in 0..<FlowKey.wordCount where PipelineState.isPacketWord(i) { ofPacket.words[i] = .max }
    unsafe packetBits = .allocate(capacity: 1)
    unsafe packetBits.initialize(to: ofPacket)
    unsafe frames = .allocate(capacity: Self.frameLimit)
    unsafe states = .allocate(capacity: Self.savedStateLimit)
    unsafe actionSet = .allocate(capacity: Self.actionSetLimit)
    unsafe stack = .allocate(capacity: Self.stackLimit)
  }

  /// Frees the memory; no copy of the handle may be used afterwards.
  public func deallocate() {
    unsafe noCode.deallocate()
    unsafe packetBits.deallocate()
    unsafe frames.deallocate()
    unsafe states.deallocate()
    unsafe actionSet.deallocate()
    unsafe stack.deallocate()
  }
}

/// Actions that are being run.
@safe struct TranslationFrame {
  enum Kind: UInt8 {
    /// A packet's way from its first table to its action set.
    case root
    /// A rule's code, or a part of it.
    case list
    /// Actions of a set, in order.
    case set
    /// The buckets of a group, one after the other.
    case group
    // What runs on a copy:
    case clone, bucket, branchIfLarger, branchIfNot
  }
  var kind: Kind
  /// Table of the rule, for resubmit, controllers and statistics.
  var table: UInt8 = 0
  /// Counts for the depth.
  var deepens = false
  /// Of a root: the action set has been run.
  var isLast = false
  /// Of a list, clone or branch: the steps still to be run.
  var range: CodeRange
  /// Of a set: its steps in `TranslationMemory.actionSet`, and the next one to be run.
  var setStart = 0
  var setNext = 0
  var setEnd = 0
  /// Of a group: the bucket to be run next.
  var bucketIndex = 0
  var group = PipelineGroup(id: 0, kind: .all, bucketCount: 0, slot: 0, address: 0)
  /// Of what runs on a copy: its step in the program, and its saved state.
  var stepIndex = 0
  var savedState = 0
  /// Of a branch: the steps of both, and the bit that tells them apart (`PackedSubfield`).
  var branch: CodeRange
  var branchBit: UInt32 = 0
  /// The rule whose actions these are.
  var ruleSlot = UInt32.max
  var cookie = UInt64.max
  var isTableMiss = false

  /// What an exit or a recirculation inside does not go beyond.
  var isBoundary: Bool {
    switch kind {
    case .root, .clone, .bucket, .branchIfLarger, .branchIfNot: true
    case .list, .set, .group: false
    }
  }

  init(_ kind: Kind, range: CodeRange) {
    self.kind = kind
    self.range = range
    branch = range
  }
}
