// Room for flows and masks in the cache, of which every port has its share, and the buckets that they are found by. Thread and memory:
// as `MegaflowCache`.

import VSwitchCore

extension MegaflowCache {
  func link(_ number: UInt32, _ mask: UInt16) {
    let flow = unsafe flows + Int(number)
    let first = unsafe masks[Int(mask)].firstFlow
    if first == MegaflowCache.noFlow {
      unsafe flow.pointee.nextOfMask = number
      unsafe flow.pointee.previousOfMask = number
      unsafe masks[Int(mask)].firstFlow = number
    } else {
      let last = unsafe flows[Int(first)].previousOfMask
      unsafe flow.pointee.nextOfMask = first
      unsafe flow.pointee.previousOfMask = last
      unsafe flows[Int(last)].nextOfMask = number
      unsafe flows[Int(first)].previousOfMask = number
    }
  }

  func unlink(_ number: UInt32, _ mask: UInt16) {
    let flow = unsafe flows + Int(number)
    let next = unsafe flow.pointee.nextOfMask
    let previous = unsafe flow.pointee.previousOfMask
    unsafe flows[Int(previous)].nextOfMask = next
    unsafe flows[Int(next)].previousOfMask = previous
    if unsafe masks[Int(mask)].firstFlow == number {
      unsafe masks[Int(mask)].firstFlow = next == number ? MegaflowCache.noFlow : next
    }
  }

  /// A mask that has not been used in the last second goes with its flows.
  /// - Parameter owner: only one of this port; nil: any.
  func evictMask(owner: UInt16?, now: UInt32) -> Bool {
    for position in 0..<(unsafe state.pointee.maskCount) {
      let mask = unsafe order[position]
      let record = unsafe masks + Int(mask)
      guard unsafe now &- record.pointee.usedAt > 1, unsafe record.pointee.flowCount <= MegaflowCache.evictedFlowLimit,
        unsafe owner == nil || record.pointee.owner == owner
      else { continue }
      // The last flow takes the mask along.
      for _ in 0..<(unsafe record.pointee.flowCount) { remove(unsafe record.pointee.firstFlow) }
      return true
    }
    return false
  }

  func giveBack(_ number: UInt32) {
    unsafe flows[Int(number)].mask = MegaflowCache.noMask
    unsafe flows[Int(number)].generation &+= 1
    unsafe flows[Int(number)].next = state.pointee.freeFlow
    unsafe state.pointee.freeFlow = number
  }

  /// A free place; in a full cache that of a flow that was not used in the last second, if one is found soon.
  func place(owner: UInt16, now: UInt32) -> UInt32? {
    let isWithinShare = unsafe shares[Int(owner)].flowCount < MegaflowCache.portFlowLimit
    if isWithinShare, unsafe state.pointee.freeFlow != MegaflowCache.noFlow {
      let number = unsafe state.pointee.freeFlow
      unsafe state.pointee.freeFlow = flows[Int(number)].next
      return number
    }
    if isWithinShare, unsafe state.pointee.freshFlow < MegaflowCache.flowLimit {
      let number = unsafe state.pointee.freshFlow
      unsafe state.pointee.freshFlow &+= 1
      unsafe (flows + number).initialize(to: Flow())
      return UInt32(truncatingIfNeeded: number)
    }
    for _ in 0..<16 {
      let number = unsafe state.pointee.hand
      unsafe state.pointee.hand = (number &+ 1) % max(state.pointee.freshFlow, 1)
      if unsafe flows[number].mask != MegaflowCache.noMask, unsafe now &- flows[number].usedAt > 1,
        unsafe isWithinShare || flows[number].owner == owner
      {
        remove(UInt32(truncatingIfNeeded: number))
        return place(owner: owner, now: now)
      }
    }
    return nil
  }

  func maskIndex(_ bits: borrowing FlowMask, owner: UInt16, now: UInt32) -> UInt16? {
    var count = unsafe state.pointee.maskCount
    let span = bits.words.span
    var hash: UInt64 = 0
    for word in 0..<FlowKey.wordCount { hash = unsafe (hash ^ span[unchecked: word]) &* 0x9e37_79b9_7f4a_7c15 }
    for position in 0..<count {
      let mask = unsafe order[position]
      if unsafe masks[Int(mask)].hash == hash, unsafe masks[Int(mask)].bits == bits { return mask }
    }
    if unsafe shares[Int(owner)].maskCount >= MegaflowCache.portMaskLimit {
      guard evictMask(owner: owner, now: now) else { return nil }
    } else if count >= MegaflowCache.maskLimit {
      guard evictMask(owner: nil, now: now) else { return nil }
    }
    count = unsafe state.pointee.maskCount
    unsafe shares[Int(owner)].maskCount &+= 1
    var used: UInt64 = 0
    for position in 0..<count { used |= unsafe 1 &<< UInt64(order[position]) }
    let index = UInt16(truncatingIfNeeded: (~used).trailingZeroBitCount)
    var mask = Mask()
    mask.bits = copy bits
    mask.hash = hash
    mask.owner = owner
    mask.usedAt = now
    let words = unsafe maskWords + Int(index) &* FlowKey.wordCount
    for word in 0..<FlowKey.wordCount where bits.words[word] != 0 {
      unsafe words[mask.wordCount] = MaskWord(bits: bits.words[word], index: word)
      mask.wordCount &+= 1
    }
    unsafe masks[Int(index)] = mask
    unsafe order[count] = index
    unsafe state.pointee.maskCount = count &+ 1
    return index
  }

  func removeMask(_ mask: UInt16) {
    let count = unsafe state.pointee.maskCount
    var position = 0
    while position < count, unsafe order[position] != mask { position &+= 1 }
    guard position < count else { return }
    while position < count &- 1 {
      unsafe order[position] = order[position &+ 1]
      position &+= 1
    }
    unsafe state.pointee.maskCount = count &- 1
    unsafe shares[Int(masks[Int(mask)].owner)].maskCount &-= 1
  }
}
