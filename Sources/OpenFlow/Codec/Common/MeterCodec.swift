// Meters, the same from 1.3 on (OpenFlow 1.3 §7.3.4.5, §7.3.5.12 to §7.3.5.14).

import VSwitchCore

enum MeterCodec {
  private static let kilobits: UInt16 = 1
  private static let packets: UInt16 = 2
  private static let burst: UInt16 = 4
  private static let statistics: UInt16 = 8

  static func decodeMod(_ reader: inout WireReader) throws(ErrorCode) -> MeterMod {
    guard reader.remaining % 8 == 0 else { throw .badRequestBadLength }
    let commandNumber = try reader.u16()
    let flags = try reader.u16()
    let id = try reader.u32()
    guard commandNumber < 3, let command = MeterMod.Command(rawValue: UInt8(commandNumber)) else {
      throw .meterModFailedBadCommand
    }
    guard id != 0, command == .delete || id != MeterMod.allMeters else { throw .meterModFailedInvalidMeter }
    guard command != .delete else {
      _ = reader.rest()
      return MeterMod(command, MeterDescription(id: id, unit: .kilobitsPerSecond))
    }
    var meter = try meter(id, flags)
    while !reader.isAtEnd { meter.bands.append(try band(&reader, meter)) }
    guard !meter.bands.isEmpty else { throw .meterModFailedOutOfBands }
    return MeterMod(command, meter)
  }

  private static func meter(_ id: UInt32, _ flags: UInt16) throws(ErrorCode) -> MeterDescription {
    guard flags & ~0xf == 0, (flags & kilobits != 0) != (flags & packets != 0) else { throw .meterModFailedBadFlags }
    var meter = MeterDescription(id: id, unit: flags & kilobits != 0 ? .kilobitsPerSecond : .packetsPerSecond)
    meter.hasBurst = flags & burst != 0
    meter.keepsStatistics = flags & statistics != 0
    return meter
  }

  private static func band(_ reader: inout WireReader, _ meter: MeterDescription) throws(ErrorCode)
    -> MeterDescription.Band
  {
    let type = try reader.u16()
    guard try reader.u16() == 16 else { throw type == 1 || type == 2 ? .badRequestBadLength : .meterModFailedBadBand }
    let rate = try reader.u32()
    let burst = try reader.u32()
    let level = try reader.u8()
    try reader.skip(3)
    let kind: MeterDescription.BandKind
    switch type {
    case 1: kind = .drop
    case 2: kind = .dscpRemark(precedenceLevel: level)
    default: throw .meterModFailedBadBand
    }
    guard rate > 0 else { throw .meterModFailedBadRate }
    return MeterDescription.Band(kind: kind, rate: rate, burst: meter.hasBurst ? burst : 0)
  }

  static func encode(_ mod: MeterMod, to writer: inout WireWriter) throws(EncodeError) {
    writer.u16(UInt16(mod.command.rawValue))
    guard mod.command != .delete else {
      writer.u16(0)
      writer.u32(mod.meter.id)
      return
    }
    writer.u16(flags(mod.meter))
    writer.u32(mod.meter.id)
    bands(mod.meter, &writer)
  }

  private static func flags(_ meter: MeterDescription) -> UInt16 {
    let unit =
      switch meter.unit {
      case .kilobitsPerSecond: kilobits
      case .packetsPerSecond: packets
      }
    return unit | (meter.hasBurst ? burst : 0) | (meter.keepsStatistics ? statistics : 0)
  }

  private static func bands(_ meter: MeterDescription, _ writer: inout WireWriter) {
    for band in meter.bands {
      var level: UInt8 = 0
      switch band.kind {
      case .drop: writer.u16(1)
      case .dscpRemark(let precedence):
        writer.u16(2)
        level = precedence
      }
      writer.u16(16)
      writer.u32(band.rate)
      writer.u32(band.burst)
      writer.u8(level)
      writer.zeros(3)
    }
  }

  static func decodeDescription(_ reader: inout WireReader) throws(ErrorCode) -> MeterDescription {
    let length = Int(try reader.u16())
    let flags = try reader.u16()
    var meter = try meter(try reader.u32(), flags)
    var bands = try reader.part(length - 8)
    while !bands.isAtEnd { meter.bands.append(try band(&bands, meter)) }
    return meter
  }

  static func encodeDescription(_ meter: MeterDescription, to writer: inout WireWriter) throws(EncodeError) {
    let start = writer.count
    writer.u16(0)
    writer.u16(flags(meter))
    writer.u32(meter.id)
    bands(meter, &writer)
    guard writer.count - start <= 0xffff else { throw EncodeError.tooLong }
    writer.patch16(UInt16(truncatingIfNeeded: writer.count - start), at: start)
  }

  static func decodeStatistics(_ reader: inout WireReader) throws(ErrorCode) -> MeterCounters {
    var meter = MeterCounters(meter: try reader.u32())
    let length = Int(try reader.u16())
    var entry = try reader.part(length - 6)
    try entry.skip(6)
    meter.flowCount = try entry.u32()
    meter.packetInCount = try entry.u64()
    meter.byteInCount = try entry.u64()
    meter.duration = ElapsedTime(seconds: try entry.u32(), nanoseconds: try entry.u32())
    while !entry.isAtEnd {
      meter.bands.append(GroupCounters.Counter(packetCount: try entry.u64(), byteCount: try entry.u64()))
    }
    return meter
  }

  static func encodeStatistics(_ meter: MeterCounters, to writer: inout WireWriter) throws(EncodeError) {
    let start = writer.count
    writer.u32(meter.meter)
    writer.u16(0)
    writer.zeros(6)
    writer.u32(meter.flowCount)
    writer.u64(meter.packetInCount)
    writer.u64(meter.byteInCount)
    writer.u32(meter.duration.seconds)
    writer.u32(meter.duration.nanoseconds)
    for band in meter.bands {
      writer.u64(band.packetCount)
      writer.u64(band.byteCount)
    }
    guard writer.count - start <= 0xffff else { throw EncodeError.tooLong }
    writer.patch16(UInt16(truncatingIfNeeded: writer.count - start), at: start + 4)
  }

  /// 1.5 has 8 bytes more; ovs-ofctl wants 1.3's 16 bytes in every version, and gets them.
  static func decodeFeatures(_ reader: inout WireReader) throws(ErrorCode) -> MeterFeatures {
    var features = MeterFeatures()
    features.maximumMeters = try reader.u32()
    features.bandKinds = try reader.u32()
    features.capabilities = try reader.u32()
    features.maximumBands = try reader.u8()
    features.maximumColors = try reader.u8()
    try reader.skip(2)
    if reader.remaining == 8 {
      features.features = try reader.u32()
      try reader.skip(4)
    }
    return features
  }

  static func encodeFeatures(_ features: MeterFeatures, to writer: inout WireWriter) {
    writer.u32(features.maximumMeters)
    writer.u32(features.bandKinds)
    writer.u32(features.capabilities)
    writer.u8(features.maximumBands)
    writer.u8(features.maximumColors)
    writer.zeros(2)
    if features.features != 0 {
      writer.u32(features.features)
      writer.zeros(4)
    }
  }
}
