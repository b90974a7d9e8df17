// The compiled instructions of all rules, each once: many rules do the same.
//
// Thread: control. Memory: the blocks; one lives as long as a rule has it, and rules are freed a grace period after
// workers could find them, so it needs no grace period of its own.

import Glibc

@safe struct ActionStore: ~Copyable {
  private var first: [UInt64: ActionsPointer] = unsafe [:]
  /// Rules come in runs that do the same.
  private var latest: (instructions: Instructions, actions: ActionsPointer)?
  /// Bytes of all blocks and their code.
  private(set) var byteCount = 0

  /// Compiled instructions, used by one more rule; give them back by `release`.
  mutating func use(_ instructions: Instructions) throws(RuleCode.Fault) -> ActionsPointer {
    if let latest = unsafe latest, unsafe latest.instructions == instructions {
      unsafe latest.actions.pointee.ruleCount.add(1)
      return unsafe latest.actions
    }
    let code = try RuleCode(instructions)
    let hash = code.hash
    var candidate = unsafe first[hash]
    while let actions = unsafe candidate, unsafe !actions.pointee.code.isEqual(to: code) {
      unsafe candidate = ActionsPointer(bitPattern: actions.pointee.next.value)
    }
    let actions: ActionsPointer
    if let known = unsafe candidate {
      code.deallocate()
      unsafe actions = known
    } else {
      unsafe actions = make(code, instructions, hash: hash)
    }
    unsafe actions.pointee.ruleCount.add(1)
    unsafe latest = (instructions, actions)
    return unsafe actions
  }

  private mutating func make(_ code: RuleCode, _ instructions: Instructions, hash: UInt64) -> ActionsPointer {
    var clauses: [ConjunctionClause] = []
    for case .conjunction(let id, let clause, let count) in instructions.apply {
      clauses.append(ConjunctionClause(id: id, clause: clause, clauseCount: count))
    }
    let list: UnsafeMutablePointer<ConjunctionClause>?
    if clauses.isEmpty {
      unsafe list = nil
    } else {
      let memory = UnsafeMutablePointer<ConjunctionClause>.allocate(capacity: clauses.count)
      for (i, clause) in clauses.enumerated() { unsafe (memory + i).initialize(to: clause) }
      unsafe list = memory
    }
    let references = References(instructions)
    let actions = ActionsPointer.allocate(capacity: 1)
    unsafe actions.initialize(
      to: SharedActions(
        code: code, clauses: list, clauseCount: clauses.count, hasReferences: !references.isEmpty, hash: hash,
        ruleCount: ControlWord(0), next: ControlWord(UInt(bitPattern: first[hash]))))
    unsafe first[hash] = actions
    byteCount += MemoryLayout<SharedActions>.stride + code.byteCount
    return unsafe actions
  }

  mutating func release(_ actions: ActionsPointer) {
    unsafe actions.pointee.ruleCount.add(-1)
    guard unsafe actions.pointee.ruleCount.value == 0 else { return }
    if unsafe latest?.actions == actions { unsafe latest = nil }
    let hash = unsafe actions.pointee.hash
    if unsafe first[hash] == actions {
      unsafe first[hash] = ActionsPointer(bitPattern: actions.pointee.next.value)
    } else {
      var before = unsafe first[hash]
      while let block = unsafe before, unsafe block.pointee.next.value != UInt(bitPattern: actions) {
        unsafe before = ActionsPointer(bitPattern: block.pointee.next.value)
      }
      unsafe before?.pointee.next.set(actions.pointee.next.value)
    }
    unsafe byteCount -= MemoryLayout<SharedActions>.stride + actions.pointee.code.byteCount
    unsafe actions.pointee.code.deallocate()
    unsafe actions.pointee.clauses?.deallocate()
    unsafe actions.deallocate()
  }
}

extension RuleCode {
  /// Of all words of the code.
  fileprivate var hash: UInt64 {
    var hash: UInt64 = 0
    for index in 0..<byteCount / 8 {
      hash = unsafe (hash ^ block[index]) &* 0x9e37_79b9_7f4a_7c15
      hash ^= hash &>> 32
    }
    return hash
  }
}
