// The operations of compiled rule code: one for each action and instruction. Raw values are this process's alone; they
// go over no wire and into no file.

/// What one step of `RuleCode` does; its arguments stand in `CodeWriter` (writing) and `CodeStep` (reading).
@usableFromInline
package enum CodeOperation: UInt8, CaseIterable, Sendable {
  // Instructions, in the order of OpenFlow 1.5 §5.9. Actions to apply stand between the first and the second.
  case meterInstruction = 1
  case clearActions, writeActions, writeMetadata, gotoTable
  // Actions
  case output, outputField, outputTruncated, controller, enqueue, group, bundle
  case setField, setWideField, move, stackPush, stackPop
  case pushVLAN, popVLAN, setVLANID, setVLANPriority, pushMPLS, popMPLS
  case setMPLSTTL, decrementMPLSTTL, copyTTLOutwards, copyTTLInwards, setTTL, decrementTTL
  case deleteField, checkPacketLarger
  case setQueue, popQueue, meter, sample
  case resubmit, learn, conjunction, multipath, conntrack, conntrackClear, clone, exit, finTimeout, note
  case debugRecirculate
}
