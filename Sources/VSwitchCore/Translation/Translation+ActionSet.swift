// Action sets: the packet's own, filled by write-actions, and those of buckets. Thread and memory: as `Translation`.
// Standard: OpenFlow 1.5 §5.6; what it does not name stands where Open vSwitch has it (ovs-actions(7), "Action Sets").

/// Place of an action in the order of a set. Of the same place only the last one written counts, but for `change`.
private enum ActionSetPlace: UInt8, CaseIterable {
  case copyTTLInwards, popVLAN, popMPLS, pushMPLS, pushVLAN, copyTTLOutwards, decrementTTL, decrementMPLSTTL
  /// Set-field, move and their like: all of them, as they were written.
  case change
  case meter, queue
  /// What sends: only one of the set runs, the first of this order.
  case group, output, resubmit, conntrack
  /// Not for sets.
  case none

  init(_ operation: CodeOperation) {
    self =
      switch operation {
      case .copyTTLInwards: .copyTTLInwards
      case .popVLAN: .popVLAN
      case .popMPLS: .popMPLS
      case .pushMPLS: .pushMPLS
      case .pushVLAN: .pushVLAN
      case .copyTTLOutwards: .copyTTLOutwards
      case .decrementTTL: .decrementTTL
      case .decrementMPLSTTL: .decrementMPLSTTL
      case .setField, .setWideField, .move, .setTTL, .setMPLSTTL, .setVLANID, .setVLANPriority, .deleteField: .change
      case .meter: .meter
      case .setQueue, .enqueue: operation == .enqueue ? .output : .queue
      case .group: .group
      case .output, .outputField, .outputTruncated, .controller, .bundle: .output
      case .resubmit: .resubmit
      case .conntrack: .conntrack
      default: .none
      }
  }

  var isLast: Bool { rawValue >= Self.group.rawValue && self != .none }
}

extension Translation {
  /// Adds to the packet's action set.
  mutating func writeActions(_ step: CodeStep) {
    var range = step.nested(from: 1)
    // What a copy has added stays in place; the set is what lies between `setStart` and `setEnd`.
    if state.setEnd != actionSetEnd, !moveActionSet() { return }
    while let action = range.next() {
      guard actionSetEnd < TranslationMemory.actionSetLimit else {
        fault = .tooManyActions
        return
      }
      unsafe memory.actionSet[actionSetEnd] = action.words
      actionSetEnd &+= 1
    }
    state.setEnd = actionSetEnd
    updateActionSetOutput()
  }

  /// Copies the set to the end of the memory, where it can grow.
  private mutating func moveActionSet() -> Bool {
    let count = state.setEnd &- state.setStart
    guard actionSetEnd &+ count <= TranslationMemory.actionSetLimit else {
      fault = .tooManyActions
      return false
    }
    for i in 0..<count { unsafe memory.actionSet[actionSetEnd &+ i] = memory.actionSet[state.setStart &+ i] }
    state.setStart = actionSetEnd
    actionSetEnd &+= count
    return true
  }

  /// The field actset_output: the port of the set's output, unless there is a group (OpenFlow 1.5 §7.2.3.8).
  private mutating func updateActionSetOutput() {
    var port = PortNumber.unset
    for i in state.setStart..<state.setEnd {
      let step = unsafe CodeStep(memory.actionSet[i])
      switch step.operation {
      case .group:
        setActionSetOutput(.unset)
        return
      case .output, .outputTruncated, .enqueue: port = PortNumber(step.argument)
      case .controller: port = .controller
      default: break
      }
    }
    setActionSetOutput(port)
  }

  mutating func setActionSetOutput(_ port: PortNumber) {
    state.write(.actionSetOutput, UInt128(port.rawValue), mask: 0xffff_ffff)
  }

  /// Runs the packet's action set; it is empty then.
  mutating func runActionSet() {
    let start = state.setStart
    let end = state.setEnd
    state.setStart = end
    let first = actionSetEnd
    guard end > start else { return }
    order(from: start, count: end &- start)
    pushSet(from: first)
  }

  /// Runs a bucket's actions as a set.
  mutating func runSet(_ range: CodeRange) {
    let first = actionSetEnd
    // The bucket's actions as they are, then in order, then without the first copy.
    var rest = range
    while let action = rest.next() {
      guard actionSetEnd < TranslationMemory.actionSetLimit else {
        fault = .tooManyActions
        return
      }
      unsafe memory.actionSet[actionSetEnd] = action.words
      actionSetEnd &+= 1
    }
    let count = actionSetEnd &- first
    let ordered = actionSetEnd
    order(from: first, count: count)
    pushSet(from: ordered, freeing: first)
  }

  /// Appends those of a set's actions that run, in order, to the memory of action sets: nothing if none of them sends.
  private mutating func order(from start: Int, count: Int) {
    let actions = unsafe memory.actionSet + start
    var last: CodeStep?
    var lastPlace = ActionSetPlace.none
    var places: UInt32 = 0
    for i in 0..<count {
      let step = unsafe CodeStep(actions[i])
      let place = ActionSetPlace(step.operation)
      places |= 1 &<< UInt32(place.rawValue)
      if place.isLast, place.rawValue <= lastPlace.rawValue {
        last = step
        lastPlace = place
      }
    }
    guard let last, actionSetEnd &+ count <= TranslationMemory.actionSetLimit else {
      if last != nil { fault = .tooManyActions }
      return
    }
    var place: UInt8 = 0
    while place <= ActionSetPlace.queue.rawValue {
      if places &>> UInt32(place) & 1 == 1 {
        var found: CodeStep?
        for i in 0..<count {
          let step = unsafe CodeStep(actions[i])
          guard ActionSetPlace(step.operation).rawValue == place else { continue }
          found = step
          if place == ActionSetPlace.change.rawValue { appendToSet(step) }
        }
        if place != ActionSetPlace.change.rawValue, let found { appendToSet(found) }
      }
      place &+= 1
    }
    appendToSet(last)
  }

  private mutating func appendToSet(_ step: CodeStep) {
    unsafe memory.actionSet[actionSetEnd] = step.words
    actionSetEnd &+= 1
  }

  private mutating func pushSet(from first: Int, freeing start: Int? = nil) {
    var frame = TranslationFrame(.set, range: memory.noActions)
    inherit(&frame)
    frame.setStart = start ?? first
    frame.setNext = first
    frame.setEnd = actionSetEnd
    push(frame)
  }
}
