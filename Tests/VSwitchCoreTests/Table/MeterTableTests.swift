import TestSupport
import Testing
import VSwitchCore

/// Meters by a clock that is passed in.
@Suite struct MeterTableTests {
  private let tables = FlowTables(workerCount: 1, seed: 7)
  private let second: UInt64 = 1_000_000_000

  private func meter(
    _ unit: MeterDescription.Unit, _ bands: [MeterDescription.Band], hasBurst: Bool = true
  ) -> MeterDescription {
    var meter = MeterDescription(id: 1, unit: unit)
    meter.bands = bands
    meter.hasBurst = hasBurst
    return meter
  }

  private func apply(byteCount: UInt64, now: UInt64) -> MeterVerdict? {
    let reader = tables.reader
    guard let meter = reader.meter(1, version: reader.version) else { return nil }
    return reader.apply(meter, worker: 0, byteCount: byteCount, now: now)
  }

  @Test func packetsPassUpToTheBurstAndThenAtTheRate() throws {
    let band = MeterDescription.Band(kind: .drop, rate: 100, burst: 20)
    try tables.apply(MeterMod(.add, meter(.packetsPerSecond, [band])), now: 0)
    let burst = (0..<50).filter { _ in apply(byteCount: 1500, now: second) == .pass }.count
    #expect(burst == 20)
    // A thousand a second for ten seconds: a tenth of them.
    var passed = 0
    for step in UInt64(1)...10_000 where apply(byteCount: 60, now: second + step * second / 1000) == .pass {
      passed += 1
    }
    #expect(passed == 1000)
    let statistics = try #require(tables.meterStatistics(1).first)
    #expect(statistics.input.packetCount == 10_050)
    #expect(statistics.bands.map(\.packetCount) == [10_050 - 1020])
  }

  @Test(arguments: [UInt64(64), 1500, 65_000])
  func bytesPassAtTheRateWhateverTheirPacketSize(byteCount: UInt64) throws {
    // 8 Mb/s, with a burst of 80 kb: smaller than the largest packet.
    let band = MeterDescription.Band(kind: .drop, rate: 8000, burst: 80)
    try tables.apply(MeterMod(.add, meter(.kilobitsPerSecond, [band])), now: 0)
    var bytes: UInt64 = 0
    for step in UInt64(0)..<20_000 where apply(byteCount: byteCount, now: second + step * second / 2000) == .pass {
      bytes += byteCount
    }
    // Ten seconds at 1 MB/s, if that much is offered, and what the burst and the last packet let pass more.
    let expected = min(10_000_000, byteCount * 20_000)
    #expect(bytes >= expected - byteCount && bytes <= expected + 10_000 + byteCount)
  }

  @Test func highestExceededRateDecides() throws {
    let bands = [
      MeterDescription.Band(kind: .dscpRemark(precedenceLevel: 1), rate: 10, burst: 2),
      MeterDescription.Band(kind: .drop, rate: 20, burst: 4),
    ]
    try tables.apply(MeterMod(.add, meter(.packetsPerSecond, bands)), now: 0)
    let verdicts = (0..<6).map { _ in apply(byteCount: 60, now: second) }
    #expect(verdicts == [.pass, .pass, .remark(precedenceLevel: 1), .remark(precedenceLevel: 1), .drop, .drop])
    #expect(tables.meterStatistics(1).first?.bands.map(\.packetCount) == [2, 2])
  }

  @Test func remarkingRaisesThePrecedenceWithinItsClass() {
    // AF11, AF12, AF13 are 10, 12, 14 (RFC 2597 §6).
    #expect(MeterVerdict.remarked(dscp: 10, precedenceLevel: 1) == 12)
    #expect(MeterVerdict.remarked(dscp: 12, precedenceLevel: 1) == 14)
    #expect(MeterVerdict.remarked(dscp: 34, precedenceLevel: 200) == 38)
    for dscp in [UInt8(0), 46, 8, 48, 14, 63] {
      #expect(MeterVerdict.remarked(dscp: dscp, precedenceLevel: 1) == dscp)
    }
  }

  @Test func changesAndTheirErrors() throws {
    let good = meter(.packetsPerSecond, [MeterDescription.Band(kind: .drop, rate: 10)])
    try tables.apply(MeterMod(.add, good), now: 1)
    #expect(throws: TableError.meterExists(1)) { try tables.apply(MeterMod(.add, good), now: 1) }
    var other = good
    other.id = 2
    #expect(throws: TableError.meterToChangeUnknown(2)) { try tables.apply(MeterMod(.modify, other), now: 1) }
    other.id = 0
    #expect(throws: TableError.invalidMeter(0)) { try tables.apply(MeterMod(.add, other), now: 1) }
    other = meter(.packetsPerSecond, [])
    #expect(throws: TableError.tooManyBands) { try tables.apply(MeterMod(.modify, other), now: 1) }
    other.bands = [MeterDescription.Band(kind: .drop, rate: 0)]
    #expect(throws: TableError.badRate) { try tables.apply(MeterMod(.modify, other), now: 1) }
    other.bands = [MeterDescription.Band(kind: .dscpRemark(precedenceLevel: 0), rate: 1)]
    #expect(throws: TableError.badBand) { try tables.apply(MeterMod(.modify, other), now: 1) }
    #expect(tables.meterDescriptions() == [good])
    _ = apply(byteCount: 1, now: 1)
    var faster = good
    faster.bands[0].rate = 20
    try tables.apply(MeterMod(.modify, faster), now: 2)
    #expect(tables.meterStatistics().map(\.input.packetCount) == [1])
    #expect(tables.meterStatistics().map(\.createdAt) == [1])
  }

  @Test func deletingAMeterDeletesTheRulesThatUseIt() throws {
    let description = meter(.packetsPerSecond, [MeterDescription.Band(kind: .drop, rate: 10)])
    var mod = FlowMod()
    mod.instructions.meter = 1
    mod.flags = .sendFlowRemoved
    #expect(throws: TableError.unknownMeter(1)) { try tables.apply(mod, now: 1) }
    try tables.apply(MeterMod(.add, description), now: 1)
    try tables.apply(mod, now: 1)
    mod.table = 1
    mod.instructions = Instructions(apply: [.meter(1)])
    try tables.apply(mod, now: 1)
    mod.table = 2
    mod.instructions = Instructions()
    try tables.apply(mod, now: 1)
    #expect(tables.meterStatistics(1).first?.flowCount == 2)
    try tables.apply(MeterMod(.delete, description), now: 1)
    #expect(tables.rules().map(\.table) == [2])
    #expect(tables.endGracePeriod(tables.beginGracePeriod()).map(\.reason) == [.meterDelete, .meterDelete])
    try tables.apply(MeterMod(.delete, description), now: 1)
  }
}
