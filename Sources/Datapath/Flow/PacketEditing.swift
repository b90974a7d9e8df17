// Steps that change a packet's bytes: fields in place, tags and labels by moving what is in front of them.
// Thread: one worker; the packet is alone. Standards: IEEE 802.1Q §9, RFC 3032, RFC 3443 (TTL).

import VSwitchCore

extension Burst {
  /// Changes a packet that nobody else needs.
  /// - Parameter layout: of the frame; kept right.
  /// - Returns: false if there is no room for more headers.
  func edit(_ index: PacketIndex, _ step: ActionStep, _ layout: inout PacketLayout) -> Bool {
    switch step.operation {
    case .setField:
      guard let field = Field(rawValue: step.field) else { return true }
      editor(index, layout).set(field, step.value, mask: step.mask)
    case .pushVLAN:
      guard layout.tagCount < UInt8.max else { return false }
      let tag = UInt32(step.half) &<< 16 | step.number & 0xffff
      guard insert(tag, at: 12, index) else { return false }
      layout.move(by: 4)
      // Exact: a label goes behind all of them.
      layout.tagCount &+= 1
    case .popVLAN:
      guard layout.tagCount > 0 else { return true }
      remove(at: 12, index)
      layout.move(by: -4)
      layout.tagCount &-= 1
      if layout.tagCount == 1, !EthernetHeader.isTag(word(index, 12)) { layout.tagCount = 0 }
    case .pushMPLS: return pushMPLS(index, step, &layout)
    case .popMPLS:
      guard layout.mplsOffset != PacketLayout.none else { return true }
      let offset = Int(layout.mplsOffset)
      remove(at: offset, index)
      setWord(index, offset &- 2, step.half)
      let hasLabel = (step.half == 0x8847 || step.half == 0x8848) && offset &+ 4 <= Int(pool[index].byteCount)
      if !hasLabel { layout.mplsOffset = PacketLayout.none }
    case .decrementTTL: decrementTTL(index, layout)
    case .decrementMPLSTTL:
      guard layout.mplsOffset != PacketLayout.none else { return true }
      let offset = Int(layout.mplsOffset) &+ 3
      let ttl = byte(index, offset)
      if ttl > 1 { setByte(index, offset, ttl &- 1) }
    case .copyTTLOutwards, .copyTTLInwards: copyTTL(index, layout, isOutwards: step.operation == .copyTTLOutwards)
    default: break
    }
    return true
  }

  /// Raises the drop precedence of a packet's DSCP (RFC 2597).
  func remark(_ index: PacketIndex, _ precedenceLevel: UInt8, _ layout: PacketLayout) {
    guard layout.networkOffset != PacketLayout.none else { return }
    let offset = Int(layout.networkOffset)
    let dscp: UInt8
    switch layout.etherType {
    case 0x0800: dscp = byte(index, offset &+ 1) &>> 2
    case 0x86dd: dscp = UInt8(truncatingIfNeeded: word(index, offset) &>> 6) & 0x3f
    default: return
    }
    let remarked = MeterVerdict.remarked(dscp: dscp, precedenceLevel: precedenceLevel)
    editor(index, layout).set(.ipDSCP, UInt128(remarked), mask: 0x3f)
  }

  private func editor(_ index: PacketIndex, _ layout: PacketLayout) -> PacketEditor {
    unsafe PacketEditor(
      pool.frame(index), byteCount: Int(pool[index].byteCount), layout: layout,
      hasOpenChecksum: pool[index].offload.flags & OffloadMetadata.needsChecksum != 0)
  }

  private func decrementTTL(_ index: PacketIndex, _ layout: PacketLayout) {
    guard layout.networkOffset != PacketLayout.none else { return }
    let offset = Int(layout.networkOffset)
    let ttl: UInt8
    switch layout.etherType {
    case 0x0800: ttl = byte(index, offset &+ 8)
    case 0x86dd: ttl = byte(index, offset &+ 7)
    default: return
    }
    if ttl > 1 { editor(index, layout).set(.ipTTL, UInt128(ttl &- 1), mask: 0xff) }
  }

  private func pushMPLS(_ index: PacketIndex, _ step: ActionStep, _ layout: inout PacketLayout) -> Bool {
    let offset = 14 &+ 4 &* Int(layout.tagCount)
    guard Int(pool[index].byteCount) >= offset, insert(step.number, at: offset, index) else { return false }
    setWord(index, offset &- 2, step.half)
    let tagCount = layout.tagCount
    layout = PacketLayout()
    layout.tagCount = tagCount
    layout.mplsOffset = UInt16(truncatingIfNeeded: offset)
    return true
  }

  /// Between the outer label and what lies in it: a label, or an IP packet under the bottom of the stack.
  private func copyTTL(_ index: PacketIndex, _ layout: PacketLayout, isOutwards: Bool) {
    guard layout.mplsOffset != PacketLayout.none else { return }
    let outer = Int(layout.mplsOffset)
    let inner = outer &+ 4
    let byteCount = Int(pool[index].byteCount)
    if byte(index, outer &+ 2) & 1 == 0 {
      guard byteCount >= inner &+ 4 else { return }
      if isOutwards {
        setByte(index, outer &+ 3, byte(index, inner &+ 3))
      } else {
        setByte(index, inner &+ 3, byte(index, outer &+ 3))
      }
      return
    }
    guard byteCount > inner else { return }
    let isIPv4 = byte(index, inner) &>> 4 == 4
    guard isIPv4 || byte(index, inner) &>> 4 == 6, byteCount >= inner &+ (isIPv4 ? 20 : 40) else { return }
    if isOutwards {
      setByte(index, outer &+ 3, byte(index, inner &+ (isIPv4 ? 8 : 7)))
    } else {
      var below = PacketLayout()
      below.networkOffset = UInt16(truncatingIfNeeded: inner)
      below.etherType = isIPv4 ? 0x0800 : 0x86dd
      editor(index, below).set(.ipTTL, UInt128(byte(index, outer &+ 3)), mask: 0xff)
    }
  }

  // MARK: bytes

  private func byte(_ index: PacketIndex, _ offset: Int) -> UInt8 {
    unsafe pool.frame(index).load(fromByteOffset: offset, as: UInt8.self)
  }
  private func setByte(_ index: PacketIndex, _ offset: Int, _ value: UInt8) {
    unsafe pool.frame(index).storeBytes(of: value, toByteOffset: offset, as: UInt8.self)
  }
  private func word(_ index: PacketIndex, _ offset: Int) -> UInt16 {
    unsafe UInt16(bigEndian: pool.frame(index).loadUnaligned(fromByteOffset: offset, as: UInt16.self))
  }
  private func setWord(_ index: PacketIndex, _ offset: Int, _ value: UInt16) {
    unsafe pool.frame(index).storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt16.self)
  }

  private func insert(_ bytes: UInt32, at offset: Int, _ index: PacketIndex) -> Bool {
    // What a port writes in front of the frame needs its place too.
    guard Int(pool[index].start) >= 4 &+ OffloadMetadata.wireByteCount &+ 2,
      Int(pool[index].byteCount) &+ 4 <= PacketPool.frameLimit
    else { return false }
    _ = unsafe FrameShift.insert(bytes, at: offset, of: pool.frame(index))
    pool[index].start &-= 4
    pool[index].byteCount &+= 4
    pool[index].offload.moveHeaders(by: 4)
    return true
  }

  private func remove(at offset: Int, _ index: PacketIndex) {
    guard Int(pool[index].byteCount) >= offset &+ 4 else { return }
    _ = unsafe FrameShift.remove(at: offset, of: pool.frame(index))
    pool[index].start &+= 4
    pool[index].byteCount &-= 4
    pool[index].offload.moveHeaders(by: -4)
  }
}
