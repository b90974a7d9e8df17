// The meter table (OpenFlow 1.5 §6.8 and §7.3.4.5). Thread: control, within a transaction.
//
// A meter that is modified keeps its own counters; its bands, and their buckets, start anew. Deleting a meter deletes the
// rules that use it.

import Synchronization

extension MeterMod {
  /// Most meters of a bridge.
  public static let meterLimit = 1 << 18
  /// Most bands of a meter.
  public static let bandLimit = 8
}

/// A meter, with what has been counted (OpenFlow 1.5 §7.3.5.12).
public struct MeterStatistics: Equatable, Sendable {
  public var id: UInt32
  /// Rules that use it.
  public var flowCount: Int
  /// All packets that came to it.
  public var input: Statistics
  /// Packets by the band that decided.
  public var bands: [Statistics]
  public var createdAt: UInt64
}

/// What control code keeps of a meter.
struct MeterState {
  var record: Meter
  var description: MeterDescription
  var slot: UInt32
  var bandSlots: [UInt32]
  var createdAt: UInt64
}

extension MeterDescription {
  func check() throws(TableError) {
    // The last ones are those of packets to controllers (OFPM_SLOWPATH, OFPM_CONTROLLER).
    guard id > 0, id <= MeterMod.maximumMeter || id == 0xffff_fffd || id == 0xffff_fffe else {
      throw .invalidMeter(id)
    }
    guard (1...MeterMod.bandLimit).contains(bands.count) else { throw .tooManyBands }
    for band in bands {
      if band.rate == 0 { throw .badRate }
      if band.kind == .dscpRemark(precedenceLevel: 0) { throw .badBand }
    }
  }
}

extension FlowTables {
  func perform(_ mod: MeterMod, now: UInt64) throws(TableError) {
    let id = mod.meter.id
    switch mod.command {
    case .add:
      guard meters[id] == nil else { throw .meterExists(id) }
      try setMeter(mod.meter, now: now)
    case .modify:
      guard meters[id] != nil else { throw .meterToChangeUnknown(id) }
      try setMeter(mod.meter, now: now)
    case .delete:
      if id == MeterMod.allMeters {
        for id in meters.keys.sorted() { deleteMeter(id, now: now) }
      } else {
        deleteMeter(id, now: now)
      }
    }
  }

  private func setMeter(_ description: MeterDescription, now: UInt64) throws(TableError) {
    try description.check()
    let old = meters[description.id]
    guard old != nil || meters.count < MeterMod.meterLimit else { throw .tooManyMeters }
    guard headroom.mayGrow(ruleCount: ruleCount, by: 1 + description.bands.count) else { throw .tooManyMeters }
    var taken: [UInt32] = []
    func take() -> UInt32? {
      let slot = slots.take(counters: unsafe root.pointee.counters)
      if let slot { taken.append(slot) }
      return slot
    }
    let meterSlot = old?.slot ?? take()
    let bandSlots = description.bands.compactMap { _ in take() }
    guard let meterSlot, bandSlots.count == description.bands.count else {
      for slot in taken { slots.release(slot) }
      throw .tooManyMeters
    }
    let record = Meter(description, slot: meterSlot, slots: bandSlots, version: transaction.version)
    if let versioned = record.versioned {
      unsafe root.pointee.meters.insert(versioned) { unsafe retire($0) }
    }
    exchangeMeter(
      description.id, old,
      MeterState(
        record: record, description: description, slot: meterSlot, bandSlots: bandSlots,
        createdAt: old?.createdAt ?? now), slotsTaken: taken)
  }

  private func deleteMeter(_ id: UInt32, now: UInt64) {
    guard let old = meters[id] else { return }
    if ruleReferences.meters[id, default: 0] > 0 {
      for rule in rulesWithReferences() where References(rule.code.instructions).meters.contains(id) {
        delete(rule, reason: .meterDelete, now: now)
      }
    }
    exchangeMeter(id, old, nil, slotsTaken: [])
  }

  private func exchangeMeter(_ id: UInt32, _ old: MeterState?, _ new: MeterState?, slotsTaken: [UInt32]) {
    old?.record.versioned?.setRemoved(transaction.version)
    meters[id] = new
    transaction.needsVersion = true
    unsafe transaction.steps.append(.meter(id: id, old: old, new: new, slotsTaken: slotsTaken))
  }

  /// Undoes an exchange.
  func restoreMeter(_ id: UInt32, _ old: MeterState?, _ new: MeterState?, slotsTaken: [UInt32]) {
    old?.record.versioned?.setRemoved(RuleRecord.never)
    meters[id] = old
    if let record = new?.record, let versioned = record.versioned {
      versioned.setAdded(RuleRecord.never)
      unsafe root.pointee.meters.remove(versioned)
      retired.add(.freeMeter(record))
    }
    for slot in slotsTaken { slots.release(slot) }
  }

  /// What goes when a meter was replaced or deleted, once no reader looks for it.
  func retireMeter(_ old: MeterState, replacedBy new: MeterState?) {
    retired.add(.unlinkMeter(old.record))
    for slot in old.bandSlots { retired.add(.freeSlot(slot)) }
    if new == nil { retired.add(.freeSlot(old.slot)) }
  }

  // MARK: what is asked

  /// The meters by number; of one alone if it is given.
  public func meterDescriptions(_ id: UInt32? = nil) -> [MeterDescription] {
    meters.values.filter { id == nil || $0.description.id == id }.map(\.description).sorted { $0.id < $1.id }
  }

  /// Statistics of the meters by number; of one alone if it is given.
  public func meterStatistics(_ id: UInt32? = nil) -> [MeterStatistics] {
    meters.values.filter { id == nil || $0.description.id == id }.map { state in
      let counters = unsafe root.pointee.counters
      return MeterStatistics(
        id: state.description.id, flowCount: ruleReferences.meters[state.description.id, default: 0],
        input: counters.sum(state.slot), bands: state.bandSlots.map { counters.sum($0) }, createdAt: state.createdAt)
    }.sorted { $0.id < $1.id }
  }
}
