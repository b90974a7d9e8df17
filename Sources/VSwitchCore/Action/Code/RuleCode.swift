// A rule's instructions, or a bucket's action set, compiled when the rule is added: flat words that workers read on a cache
// miss without a reference counted object in sight, and that say everything the instructions said (`instructions`), so
// that a table needs to keep nothing else of them.
//
// Thread: made by control code, never changed, read by any. Memory: one block, freed by `deallocate`, which the table calls
// after a grace period. Size: 8 bytes, and 8 to 40 for most actions; one `output` takes 24 in all.

/// Handle of compiled instructions: copies name the same code.
@safe public struct RuleCode: @unchecked Sendable {
  /// Why actions can't be compiled (OpenFlow: OFPBAC_TOO_MANY).
  public enum Fault: Error, Equatable, CustomStringConvertible {
    case tooLong, tooDeep

    public var description: String {
      switch self {
      case .tooLong: "The actions take more memory than a rule may have: spread them over several tables."
      case .tooDeep: "Actions stand in more than \(CodeWriter.depthLimit) others: use resubmit to another table."
      }
    }
  }

  /// Word 0: number of words behind it, and `Traits` << 32.
  let block: UnsafeMutablePointer<UInt64>

  /// What has to be known of code before it is run.
  struct Traits: OptionSet {
    let rawValue: UInt32
    /// The actions are `conjunction`s: the rule is a clause of a conjunctive match.
    static let isConjunction = Traits(rawValue: 1)
  }

  /// Compiles instructions.
  public init(_ instructions: Instructions) throws(Fault) {
    var writer = CodeWriter()
    try writer.write(instructions)
    var traits = Traits()
    if instructions.apply.contains(where: { if case .conjunction = $0 { true } else { false } }) {
      traits.insert(.isConjunction)
    }
    self.init(words: writer.words, traits: traits)
  }

  /// Compiles a group bucket's actions; they are run as an action set (OpenFlow 1.5 §5.6), whatever their order here.
  public init(bucket actions: [Action]) throws(Fault) { try self.init(Instructions(apply: actions)) }

  private init(words: [UInt64], traits: Traits) {
    unsafe block = .allocate(capacity: words.count + 1)
    unsafe block.initialize(to: UInt64(words.count) | UInt64(traits.rawValue) << 32)
    for (index, word) in words.enumerated() { unsafe (block + index + 1).initialize(to: word) }
  }

  /// Frees the code; no copy of the handle may be used afterwards.
  public func deallocate() { unsafe block.deallocate() }

  private var wordCount: Int { unsafe Int(block[0] & 0xffff_ffff) }

  /// Memory of the code.
  public var byteCount: Int { 8 * (wordCount + 1) }

  /// Whether the rule is a clause of a conjunctive match (ovs-fields(7), "Conjunctive Match Fields").
  public var isConjunction: Bool {
    unsafe Traits(rawValue: UInt32(truncatingIfNeeded: block[0] &>> 32)).contains(.isConjunction)
  }

  /// The steps, in the order in which they run.
  @inline(__always) var steps: CodeRange {
    unsafe CodeRange(start: block + 1, end: block + 1 + Int(block[0] & 0xffff_ffff))
  }

  /// Whether two rules do the same.
  public func isEqual(to other: RuleCode) -> Bool {
    guard wordCount == other.wordCount else { return false }
    for index in 0...wordCount where unsafe block[index] != other.block[index] { return false }
    return true
  }
}
