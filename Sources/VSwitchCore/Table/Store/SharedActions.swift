// What rules with equal instructions have in common: the compiled code, and what control code asks of it often.
//
// Thread: made and counted by control; workers read `code` and the clauses. Memory: one block each, owned by
// `ActionStore`, freed a grace period after the last rule that used it.

import Glibc

typealias ActionsPointer = UnsafeMutablePointer<SharedActions>

/// One clause of a conjunctive match (ovs-fields(7)).
struct ConjunctionClause {
  let id: UInt32
  let clause: UInt8
  let clauseCount: UInt8
}

@safe struct SharedActions: ~Copyable {
  let code: RuleCode
  /// The clauses if the rule is one of a conjunction.
  let clauses: UnsafeMutablePointer<ConjunctionClause>?
  let clauseCount: Int
  /// Whether it names groups or meters, which count who refers to them.
  let hasReferences: Bool
  /// Of the code, to find it again.
  let hash: UInt64
  let ruleCount: ControlWord<Int>
  /// Address of the next with the same hash in the store; 0: none.
  let next: ControlWord<UInt>
}
