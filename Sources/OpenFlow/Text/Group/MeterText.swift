// Meters as text (ovs-ofctl(8), "Meter Syntax"), in both directions.

import VSwitchCore

extension FlowTextParser {
  /// A meter to add, change or delete: `meter=1 kbps burst stats bands=type=drop rate=100 burst_size=50`.
  package func meter(_ text: String, command: MeterMod.Command = .add) throws(FlowTextError) -> MeterMod {
    let slice = TextSlice(text)
    var meter = MeterDescription(id: 0, unit: .kilobitsPerSecond)
    meter.keepsStatistics = false
    var hasID = false
    var units: Set<Bool> = []
    var reader = KeyValueReader(slice)
    var bands: TextSlice?
    while let pair = try reader.next() {
      let key = pair.key.string
      switch key {
      case "meter":
        hasID = true
        switch pair.value.string {
        case "all" where command == .delete: meter.id = MeterMod.allMeters
        case "controller": meter.id = 0xffff_fffe
        case "slowpath": meter.id = 0xffff_fffd
        default: meter.id = try pair.value.number("meter", in: 1...MeterMod.maximumMeter)
        }
      case "kbps" where command != .delete: units.insert(true)
      case "pktps" where command != .delete: units.insert(false)
      case "burst" where command != .delete: meter.hasBurst = true
      case "stats" where command != .delete: meter.keepsStatistics = true
      case "band" where command != .delete, "bands" where command != .delete:
        bands = slice.from(pair.value.lower, to: slice.upper)
      default: throw pair.key.error("a meter has no \(pair.key.quoted) here", remedy: "see ovs-ofctl(8), Meter Syntax")
      }
      if bands != nil { break }
    }
    guard hasID || command == .delete else { throw slice.error("the meter has no number", remedy: "add meter=NUMBER") }
    if !hasID { meter.id = MeterMod.allMeters }
    guard command != .delete else { return MeterMod(command, meter) }
    guard units.count == 1 else {
      let cause = units.isEmpty ? "the meter has neither kbps nor pktps" : "the meter has both kbps and pktps"
      throw slice.error(cause, remedy: "give one of them")
    }
    if units.contains(false) { meter.unit = .packetsPerSecond }
    guard let bands else { throw slice.error("the meter has no bands", remedy: "add band=type=drop,rate=NUMBER") }
    try readBands(bands, into: &meter)
    return MeterMod(command, meter)
  }

  private func readBands(_ text: TextSlice, into meter: inout MeterDescription) throws(FlowTextError) {
    struct Band {
      var kind: String
      var at: TextSlice
      var rate: UInt32?
      var burst: UInt32?
      var precedence: UInt8?
    }
    var bands: [Band] = []
    var reader = KeyValueReader(text)
    while let pair = try reader.next() {
      let value = pair.value
      if pair.key.equals("type") {
        bands.append(Band(kind: value.string, at: value))
        continue
      }
      guard !bands.isEmpty else { throw pair.key.error("the band has no type", remedy: "begin it with type=drop") }
      let last = bands.count - 1
      switch pair.key.string {
      case "rate": bands[last].rate = try value.number("rate")
      case "burst_size":
        guard meter.hasBurst else {
          throw pair.key.error("burst_size needs burst", remedy: "add burst before the bands")
        }
        bands[last].burst = try value.number("burst_size")
      case "prec_level": bands[last].precedence = try value.number("prec_level")
      default:
        throw pair.key.error("a band has no \(pair.key.quoted)", remedy: "give type, rate, burst_size or prec_level")
      }
    }
    guard !bands.isEmpty else { throw text.error("the meter has no bands", remedy: "add band=type=drop,rate=NUMBER") }
    for band in bands {
      let kind: MeterDescription.BandKind
      switch band.kind {
      case "drop":
        guard band.precedence == nil else {
          throw band.at.error("a drop band has no prec_level", remedy: "leave it out")
        }
        kind = .drop
      case "dscp_remark":
        guard let level = band.precedence, level > 0 else {
          throw band.at.error("the dscp_remark band has no prec_level", remedy: "add prec_level=1 or more")
        }
        kind = .dscpRemark(precedenceLevel: level)
      default: throw band.at.error("there is no band type \(band.at.quoted)", remedy: "give drop or dscp_remark")
      }
      guard let rate = band.rate else { throw band.at.error("the band has no rate", remedy: "add rate=NUMBER") }
      meter.bands.append(.init(kind: kind, rate: rate, burst: band.burst ?? 0))
    }
  }
}

package enum MeterPrinter {
  static func id(_ id: UInt32) -> String {
    switch id {
    case MeterMod.allMeters: "all"
    case 0xffff_fffe: "controller"
    case 0xffff_fffd: "slowpath"
    default: "\(id)"
    }
  }

  /// What dump-meters prints of a meter: a line, and one for each band. An empty line stands between meters.
  package static func text(_ meter: MeterDescription) -> String {
    var text = "meter=" + id(meter.id) + (meter.unit == .kilobitsPerSecond ? " kbps" : " pktps")
    if meter.hasBurst { text += " burst" }
    if meter.keepsStatistics { text += " stats" }
    text += " bands="
    for band in meter.bands {
      switch band.kind {
      case .drop: text += "\ntype=drop rate=\(band.rate)"
      case .dscpRemark: text += "\ntype=dscp_remark rate=\(band.rate)"
      }
      if meter.hasBurst { text += " burst_size=\(band.burst)" }
      if case .dscpRemark(let level) = band.kind { text += " prec_level=\(level)" }
    }
    return text
  }

  /// Counters of a meter, as meter-stats prints them. An empty line stands between meters.
  package static func text(_ meter: MeterCounters) -> String {
    var text =
      "meter:\(id(meter.meter)) flow_count:\(meter.flowCount) packet_in_count:\(meter.packetInCount) "
      + "byte_in_count:\(meter.byteInCount) duration:\(FlowPrinter.text(meter.duration)) bands:"
    for (index, band) in meter.bands.enumerated() {
      text += "\n\(index): packet_count:\(band.packetCount) byte_count:\(band.byteCount)"
    }
    return text
  }
}
