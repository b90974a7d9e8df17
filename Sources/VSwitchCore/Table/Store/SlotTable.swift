// Which counter slots are in use, and by which rule. Thread: control.

struct SlotTable {
  private struct Use {
    /// Address of the current rule's record; 0: none, or the slot is a group's or meter's.
    var rule: UInt = 0
    /// Goes up when the slot gets another owner or other timeouts.
    var generation: UInt32 = 0
  }
  /// The first slots are the tables' own.
  static let reservedCount: UInt32 = 256
  private var uses: [Use] = []
  private var free: [UInt32] = []

  /// - Returns: nil if all are in use.
  mutating func take(counters: CounterSlots) -> UInt32? {
    if let slot = free.popLast() {
      counters.prepare(slot)
      return slot
    }
    let slot = SlotTable.reservedCount + UInt32(uses.count)
    guard slot < CounterSlots.slotLimit else { return nil }
    uses.append(Use())
    counters.prepare(slot)
    return slot
  }

  /// For a slot that no worker adds to any more.
  mutating func release(_ slot: UInt32) {
    uses[Int(slot - SlotTable.reservedCount)].generation &+= 1
    uses[Int(slot - SlotTable.reservedCount)].rule = 0
    free.append(slot)
  }

  mutating func setRule(_ rule: Rule?, of slot: UInt32) {
    uses[Int(slot - SlotTable.reservedCount)].rule = rule?.address ?? 0
  }

  /// Makes what is known of the slot's timeouts out of date.
  mutating func renew(_ slot: UInt32) -> UInt32 {
    uses[Int(slot - SlotTable.reservedCount)].generation &+= 1
    return generation(slot)
  }

  func generation(_ slot: UInt32) -> UInt32 { uses[Int(slot - SlotTable.reservedCount)].generation }

  /// The rule that counts in a slot now; nil for any other number.
  func rule(_ slot: UInt32) -> Rule? {
    guard slot >= SlotTable.reservedCount, slot - SlotTable.reservedCount < UInt32(uses.count) else { return nil }
    return Rule(address: uses[Int(slot - SlotTable.reservedCount)].rule)
  }

  var usedCount: Int { uses.count - free.count }
}
