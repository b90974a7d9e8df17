// What the tables, groups and meters can do, as controllers ask for it (OpenFlow 1.5 §7.3.5.18, §7.3.5.12, §7.3.5.15).

import OpenFlow
import VSwitchCore

extension BridgeAgent {
  /// Meter numbers from here on mean several (OFPM_…).
  static var allMeters: UInt32 { 0xffff_fffd }

  /// One table stands for all, which are alike: the answer stays small (some controllers take long over large ones).
  nonisolated var tableFeatures: [TableFeatures] {
    let matched = Field.allCases.filter { !isInternal($0) }
    let written = matched.filter(\.isWritable)
    var features = TableFeatures(table: 0)
    features.metadataMatch = .max
    features.metadataWrite = .max
    features.maximumEntries = 1_000_000
    features.rules.instructions = 0b111_1110
    features.rules.nextTables = Array(1..<UInt8(FlowTables.tableCount))
    // Output, copy TTL, set and decrement TTL, push and pop, queue, group, set-field, and in 1.5 copy-field and meter.
    features.rules.writeActions = 0b11_0111_1111_1111_1000_0000_0000 | 1
    features.rules.applyActions = features.rules.writeActions
    features.rules.writeSetFields = written
    features.rules.applySetFields = written
    features.rules.writeCopyFields = written
    features.rules.applyCopyFields = written
    features.matchFields = matched.map { TableFeatures.MatchField($0, isMaskable: $0.isMaskable) }
    features.wildcards = matched
    return [features]
  }

  private nonisolated func isInternal(_ field: Field) -> Bool {
    switch field {
    case .innerVLANTCI, .innerVLANID, .innerVLANPriority, .hash, .recirculationID, .packetType: true
    default: false
    }
  }

  nonisolated func groupFeatures(_ version: OpenFlowVersion) -> GroupFeatures {
    // Numbers of actions are the version's.
    let all = GroupFeatures.PerKind(
      maximumGroups: UInt32(GroupMod.groupLimit), actions: version == .v10 ? 0xfff : 0x0fff_f801)
    var features = GroupFeatures()
    features.capabilities = 0b111
    features.all = all
    features.select = all
    features.indirect = all
    features.fastFailover = all
    return features
  }

  nonisolated var meterFeatures: MeterFeatures {
    var features = MeterFeatures()
    features.maximumMeters = UInt32(MeterMod.meterLimit)
    features.bandKinds = 0b110
    features.capabilities = 0b1111
    features.maximumBands = UInt8(MeterMod.bandLimit)
    return features
  }
}
