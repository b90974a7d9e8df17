// What refusals of the tables are called in OpenFlow (1.5 §7.5.4). Where Open vSwitch and the standard differ: Docs/openflow.md.

import OpenFlow
import VSwitchCore

extension TableError {
  /// The standard's error for it.
  var errorCode: ErrorCode {
    switch self {
    case .overlap: .flowModFailedOverlap
    case .tableFull: .flowModFailedTableFull
    case .badTable: .flowModFailedBadTableID
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
    case .badBand: .meterModFailedBadBand
    }
  }
}
