// The standard's errors for what the flow tables refuse.

import VSwitchCore

extension ErrorCode {
  package init(_ error: TableError) {
    self =
      switch error {
      case .overlap: .flowModFailedOverlap
      case .tableFull, .tooManyRules, .outOfMemory: .flowModFailedTableFull
      // Table 254 is the switch's own, as it is Open vSwitch's.
      case .badTable(let table): table == 254 ? .badRequestPermission : .flowModFailedBadTableID
      case .badGotoTable: .badInstructionBadTableID
      case .unknownGroup: .badActionBadOutGroup
      case .unknownMeter: .meterModFailedInvalidMeter
      case .badOutPort: .badActionBadOutPort
      case .badSetField, .badSetValue: .badActionBadSetArgument
      case .inconsistentMatch: .badActionMatchInconsistent
      case .badArgument: .badActionBadArgument
      case .tooManyActions: .badActionTooMany
      case .badConjunction: .niciraActionBadConjunction
      case .groupExists: .groupModFailedGroupExists
      case .invalidGroup: .groupModFailedInvalidGroup
      case .groupToChangeUnknown: .groupModFailedUnknownGroup
      case .groupLoop: .groupModFailedLoop
      case .tooManyGroups: .groupModFailedOutOfGroups
      case .tooManyBuckets: .groupModFailedOutOfBuckets
      case .badBucket: .groupModFailedBadBucket
      case .unknownBucket: .groupModFailedUnknownBucket
      case .bucketExists: .groupModFailedBucketExists
      case .meterExists: .meterModFailedMeterExists
      case .meterToChangeUnknown: .meterModFailedUnknownMeter
      case .invalidMeter: .meterModFailedInvalidMeter
      case .tooManyMeters: .meterModFailedOutOfMeters
      case .tooManyBands: .meterModFailedOutOfBands
      case .badRate: .meterModFailedBadRate
      case .badBand: .meterModFailedBadBandValue
      }
  }
}
