// A meter in flat memory, as workers ask it (OpenFlow 1.5 §5.11).
//
// Thread: made by control; workers ask it at the same time, without locks: a band is one word that is exchanged. Memory:
// one block with the bands behind; freed by `FlowTables` a grace period after it was replaced.
// A band is a token bucket in the form of the generic cell rate algorithm (ITU-T I.371 annex A): kept is the time at
// which the bucket would be full again. A packet passes while anything is in the bucket, and may leave it in debt: so a
// packet that is larger than the burst (64 KB of TCP in one) passes at the rate and is not stuck for ever.
// Unit of time: 1/64 nanosecond, so that a small packet at 100 Gb/s costs more than a few units; nine years fit.

import Glibc
import Synchronization

struct MeterRecord: ~Copyable {
  /// First: `IDTable`.
  let head: RecordHead
  let isPackets: Bool
  let bandCount: Int
}

struct BandRecord: ~Copyable {
  /// Time at which the bucket is full again.
  let fullAt: Atomic<UInt64>
  /// Time in which an empty bucket fills.
  let capacity: UInt64
  let rate: UInt32
  let slot: UInt32
  /// 0: drop.
  let precedenceLevel: UInt8
}

/// What a meter says of a packet.
public enum MeterVerdict: Equatable, Sendable {
  case pass
  case drop
  /// Raise the drop precedence of the DSCP by so much (`MeterVerdict.remarked`).
  case remark(precedenceLevel: UInt8)

  /// A DSCP with a higher drop precedence (RFC 2597 §6): of an assured forwarding class the precedence goes up to 3 at
  /// most; others stay as they are.
  @inlinable
  public static func remarked(dscp: UInt8, precedenceLevel: UInt8) -> UInt8 {
    let phbClass = dscp >> 3
    let precedence = dscp >> 1 & 3
    guard (1...4).contains(phbClass), precedence > 0, dscp & 1 == 0 else { return dscp }
    let raised = precedence + min(precedenceLevel, 3 - precedence)
    return phbClass << 3 | raised << 1
  }
}

/// Handle of a meter; a worker may keep it until its next quiescent point.
@safe public struct Meter: @unchecked Sendable {
  let record: UnsafeMutablePointer<MeterRecord>

  static let unitsPerNanosecond: UInt64 = 64

  @inline(__always) init?(address: UInt) {
    guard let record = unsafe UnsafeMutablePointer<MeterRecord>(bitPattern: address) else { return nil }
    unsafe self.record = record
  }
  @inline(__always) var address: UInt { unsafe UInt(bitPattern: record) }
  @inline(__always) public var id: UInt32 { unsafe record.pointee.head.id }
  @inline(__always) public var slot: CounterSlot { unsafe CounterSlot(index: record.pointee.head.slot) }
  var versioned: VersionedRecord? { VersionedRecord(address: address) }

  var bands: UnsafeMutablePointer<BandRecord> {
    unsafe UnsafeMutableRawPointer(record + 1).assumingMemoryBound(to: BandRecord.self)
  }

  /// Asks all bands; of those whose rate is exceeded the one with the highest rate decides.
  /// - Returns: the verdict, and where the band counts if it is not to pass.
  @inline(__always)
  func judge(byteCount: UInt64, now: UInt64) -> (verdict: MeterVerdict, slot: UInt32) {
    let time = now &* Meter.unitsPerNanosecond
    var rate: UInt32 = 0
    var verdict = MeterVerdict.pass
    var slot: UInt32 = 0
    let isPackets = unsafe record.pointee.isPackets
    for index in 0..<(unsafe record.pointee.bandCount) {
      let band = unsafe bands + index
      let bandRate = unsafe band.pointee.rate
      let cost = Meter.cost(byteCount: byteCount, isPackets: isPackets, rate: bandRate)
      if unsafe Meter.passes(band, cost: cost, time: time) || bandRate <= rate { continue }
      rate = bandRate
      slot = unsafe band.pointee.slot
      let level = unsafe band.pointee.precedenceLevel
      verdict = level == 0 ? .drop : .remark(precedenceLevel: level)
    }
    return (verdict, slot)
  }

  /// Time that a packet takes at a rate, rounded.
  @inline(__always)
  static func cost(byteCount: UInt64, isPackets: Bool, rate: UInt32) -> UInt64 {
    let divisor = UInt64(max(rate, 1))
    // 10^9 ns for `rate` packets; 8 bits × 10^6 ns for `rate` bits of 1,000 bits a second. Bytes are kept below 2^30.
    let work = isPackets ? 1_000_000_000 : min(byteCount, 1 << 30) &* 8_000_000
    return (work &* unitsPerNanosecond &+ divisor / 2) / divisor
  }

  /// Takes a packet's share out of a bucket that is not empty.
  @inline(__always)
  private static func passes(_ band: UnsafeMutablePointer<BandRecord>, cost: UInt64, time: UInt64) -> Bool {
    var fullAt = unsafe band.pointee.fullAt.load(ordering: .relaxed)
    while true {
      let start = max(fullAt, time)
      guard unsafe start &- time < band.pointee.capacity else { return false }
      let (exchanged, original) = unsafe band.pointee.fullAt.weakCompareExchange(
        expected: fullAt, desired: start &+ cost, ordering: .relaxed)
      if exchanged { return true }
      fullAt = original
    }
  }

  // MARK: control's side

  init(_ description: MeterDescription, slot: UInt32, slots: [UInt32], version: UInt64) {
    let byteCount =
      MemoryLayout<MeterRecord>.stride + description.bands.count * MemoryLayout<BandRecord>.stride
    let memory = unsafe memoryBlock(byteCount: byteCount)
    unsafe record = memory.bindMemory(to: MeterRecord.self, capacity: 1)
    unsafe record.initialize(
      to: MeterRecord(
        head: RecordHead(id: description.id, slot: slot, version: version),
        isPackets: description.unit == .packetsPerSecond, bandCount: description.bands.count))
    for (index, band) in description.bands.enumerated() {
      var level: UInt8 = 0
      if case .dscpRemark(let precedenceLevel) = band.kind { level = precedenceLevel }
      unsafe (bands + index).initialize(
        to: BandRecord(
          fullAt: Atomic(0), capacity: Meter.capacity(band, hasBurst: description.hasBurst), rate: band.rate,
          slot: slots[index], precedenceLevel: level))
    }
  }

  /// Time in which a band's bucket fills: what the burst takes at the rate. Without one, a tenth of a second's worth:
  /// long enough for TCP's bursts, short enough that the rate is held over a second.
  private static func capacity(_ band: MeterDescription.Band, hasBurst: Bool) -> UInt64 {
    let second = UInt128(unitsPerNanosecond) * 1_000_000_000
    guard hasBurst, band.burst > 0 else { return UInt64(second / 10) }
    return UInt64(min(second * UInt128(band.burst) / UInt128(max(band.rate, 1)), 1 << 62))
  }

  func deallocate() {
    unsafe bands.deinitialize(count: record.pointee.bandCount)
    unsafe record.deinitialize(count: 1)
    unsafe free(record)
  }
}
