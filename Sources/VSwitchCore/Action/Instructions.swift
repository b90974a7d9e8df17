// What a rule does: its instructions in the order in which the standard runs them (OpenFlow 1.5 §5.9).

/// The instructions of a rule; one without any drops the packet.
public struct Instructions: Equatable, Sendable {
  /// Meter (OpenFlow 1.3, 1.4; in 1.5 an action).
  public var meter: UInt32?
  /// Apply-actions: run at once, in this order.
  public var apply: [Action] = []
  public var clearsActions = false
  /// Write-actions: merged into the action set.
  public var write: [Action] = []
  public var metadata: MaskedMetadata?
  public var gotoTable: UInt8?

  public struct MaskedMetadata: Equatable, Sendable {
    public var value: UInt64
    public var mask: UInt64
    public init(value: UInt64, mask: UInt64) {
      self.value = value
      self.mask = mask
    }
  }

  public init() {}
  public init(apply: [Action]) { self.apply = apply }

  public var isEmpty: Bool { self == Instructions() }
}
