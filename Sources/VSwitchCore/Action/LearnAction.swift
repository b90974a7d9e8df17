// The learn action: makes or refreshes a rule from a packet (ovs-actions(7), `learn`).

/// What rule to make.
public struct LearnAction: Equatable, Sendable {
  /// One part of the new rule's match or actions.
  public enum Source: Equatable, Sendable {
    case field(Subfield)
    case immediate(UInt128, bitCount: Int)
  }
  public enum Specification: Equatable, Sendable {
    case match(Source, to: Subfield)
    case load(Source, to: Subfield)
    case output(Subfield)
  }
  public struct Flags: OptionSet, Sendable {
    public let rawValue: UInt16
    public init(rawValue: UInt16) { self.rawValue = rawValue }
    public static let sendFlowRemoved = Flags(rawValue: 1)
    /// The learned rules go with the rule that learned them.
    public static let deleteLearned = Flags(rawValue: 2)
    public static let writeResult = Flags(rawValue: 4)
  }
  public var table: UInt8
  public var priority: UInt16 = 32768
  public var cookie: UInt64 = 0
  public var idleTimeoutSeconds: UInt16 = 0
  public var hardTimeoutSeconds: UInt16 = 0
  public var finIdleTimeoutSeconds: UInt16 = 0
  public var finHardTimeoutSeconds: UInt16 = 0
  public var flags: Flags = []
  /// Most rules that may be learned; 0: no limit.
  public var limit: UInt32 = 0
  /// A bit that is set to 1 if a rule was made or there was one, to 0 if the limit forbids it.
  public var result: Subfield?
  public var specifications: [Specification] = []

  public init(table: UInt8) { self.table = table }
}
