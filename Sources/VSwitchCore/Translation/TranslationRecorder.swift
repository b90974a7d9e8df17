// Who listens while a packet is translated: nobody on a worker, `Trace` in control code. The walk is the same.

/// Something that happened on the way. Plain data; what it points to is valid while it is recorded.
enum TranslationEvent {
  /// A lookup; nil: no rule matches.
  case lookup(table: UInt8, rule: PipelineRule?)
  /// An action or instruction is about to be run.
  case action(CodeStep)
  case actionSet
  case bucket(group: UInt32, index: Int)
  case branch(isLarger: Bool)
  /// What the last of the others leads to begins, or is over: lists of actions nest.
  case begin, end
  case remark(TranslationRemark)
}

/// Why an action did not do what it says, or what a packet waits for.
enum TranslationRemark: Equatable {
  case outputToInPort(UInt32)
  case noSuchPort(UInt32)
  case portDown(UInt32)
  case portDoesNotForward(UInt32)
  case portDoesNotReceive(UInt32)
  case portSendsNoPacketIn(UInt32)
  case packetLacks(Field)
  case stackIsEmpty
  case noSuchGroup(UInt32)
  case noLiveBucket(UInt32)
  case noLiveMember
  case invalidTTL
  case noTag
  case noLabel
  case fragmentDropped
  case continuesAfterParsing
  case continuesAfterController
  case continuesAfterConntrack(table: UInt8)
  case missDropsActionSet
  case notTracked
  case failed(DropReason)
}

protocol TranslationRecorder {
  mutating func record(_ event: TranslationEvent)
  /// The packet goes away with these fields, and comes back at a point.
  mutating func leave(at point: UInt32, key: FlowKey)
}

/// For workers: no trace of it is left in a release build.
struct NoRecorder: TranslationRecorder {
  @inline(__always) mutating func record(_ event: TranslationEvent) {}
  @inline(__always) mutating func leave(at point: UInt32, key: FlowKey) {}
}
