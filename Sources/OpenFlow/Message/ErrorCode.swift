// Every reason for which a request can be refused: OpenFlow 1.0 to 1.5 (1.5 §7.5.4) and Open vSwitch's extensions, free of
// any version. What number each has in a version: `ErrorCode+Numbers`. In words: `ErrorCode+Text`, `ErrorCode+Meaning`.

/// A reason for refusing a message. The groups are the standard's error types, then those of Open vSwitch.
package enum ErrorCode: UInt8, CaseIterable, Sendable, Error {
  // OFPHFC
  case helloFailedIncompatible, helloFailedPermission
  // OFPBRC
  case badRequestBadVersion, badRequestBadType, badRequestBadMultipart, badRequestBadExperimenter
  case badRequestBadExperimenterType, badRequestPermission, badRequestBadLength, badRequestBufferEmpty
  case badRequestBufferUnknown, badRequestBadTableID, badRequestIsSlave, badRequestBadPort, badRequestBadPacket
  case badRequestMultipartBufferOverflow, badRequestMultipartRequestTimeout, badRequestMultipartReplyTimeout
  case badRequestMultipartBadSchedule, badRequestPipelineFieldsOnly, badRequestUnknown
  // NXBRC
  case niciraRequestNXMInvalid, niciraRequestNXMBadType, niciraRequestMustBeZero, niciraRequestBadReason
  case niciraRequestMonitorBadEvent, niciraRequestUnencodableError
  // OFPBAC
  case badActionBadType, badActionBadLength, badActionBadExperimenter, badActionBadExperimenterType
  case badActionBadOutPort, badActionBadArgument, badActionPermission, badActionTooMany, badActionBadQueue
  case badActionBadOutGroup, badActionMatchInconsistent, badActionUnsupportedOrder, badActionBadTag
  case badActionBadSetType, badActionBadSetLength, badActionBadSetArgument, badActionBadSetMask, badActionBadMeter
  // NXBAC
  case niciraActionMustBeZero, niciraActionBadConjunction
  // OFPBIC
  case badInstructionUnknownInstruction, badInstructionUnsupportedInstruction, badInstructionBadTableID
  case badInstructionUnsupportedMetadata, badInstructionUnsupportedMetadataMask, badInstructionBadExperimenter
  case badInstructionBadExperimenterType, badInstructionBadLength, badInstructionPermission
  case badInstructionDuplicateInstruction
  // OFPBMC
  case badMatchBadType, badMatchBadLength, badMatchBadTag, badMatchBadEthernetAddressMask
  case badMatchBadNetworkAddressMask, badMatchBadWildcards, badMatchBadField, badMatchBadValue, badMatchBadMask
  case badMatchBadPrerequisite, badMatchDuplicateField, badMatchPermission
  // NXFMFC
  case niciraMatchInvalidTLVField
  // OFPFMFC
  case flowModFailedUnknown, flowModFailedTableFull, flowModFailedBadTableID, flowModFailedOverlap
  case flowModFailedPermission, flowModFailedBadTimeout, flowModFailedBadEmergencyTimeout, flowModFailedBadCommand
  case flowModFailedBadFlags, flowModFailedCannotSynchronize, flowModFailedBadPriority, flowModFailedIsSynchronize
  case flowModFailedUnsupported
  // NXFMFC
  case niciraFlowModHardware, niciraFlowModBadTableID
  // OFPGMFC
  case groupModFailedGroupExists, groupModFailedInvalidGroup, groupModFailedWeightUnsupported
  case groupModFailedOutOfGroups, groupModFailedOutOfBuckets, groupModFailedChainingUnsupported
  case groupModFailedWatchUnsupported, groupModFailedLoop, groupModFailedUnknownGroup, groupModFailedChainedGroup
  case groupModFailedBadType, groupModFailedBadCommand, groupModFailedBadBucket, groupModFailedBadWatch
  case groupModFailedPermission, groupModFailedUnknownBucket, groupModFailedBucketExists
  // OFPPMFC
  case portModFailedBadPort, portModFailedBadHardwareAddress, portModFailedBadConfig, portModFailedBadAdvertise
  case portModFailedPermission
  // OFPTMFC
  case tableModFailedBadTable, tableModFailedBadConfig, tableModFailedPermission
  // OFPQOFC
  case queueFailedBadPort, queueFailedBadQueue, queueFailedPermission
  // NXQOFC
  case niciraQueueQueueError
  // OFPSCFC
  case switchConfigFailedBadFlags, switchConfigFailedBadLength, switchConfigFailedPermission
  // OFPRRFC
  case roleRequestFailedStale, roleRequestFailedUnsupported, roleRequestFailedBadRole, roleRequestFailedIDUnsupported
  case roleRequestFailedIDInUse
  // OFPMMFC
  case meterModFailedUnknown, meterModFailedMeterExists, meterModFailedInvalidMeter, meterModFailedUnknownMeter
  case meterModFailedBadCommand, meterModFailedBadFlags, meterModFailedBadRate, meterModFailedBadBurst
  case meterModFailedBadBand, meterModFailedBadBandValue, meterModFailedOutOfMeters, meterModFailedOutOfBands
  // OFPTFFC
  case tableFeaturesFailedBadTable, tableFeaturesFailedBadMetadata, tableFeaturesFailedPermission
  case tableFeaturesFailedBadCapability, tableFeaturesFailedBadMaximumEntries, tableFeaturesFailedBadFeatures
  case tableFeaturesFailedBadCommand, tableFeaturesFailedTooMany
  // OFPBPC
  case badPropertyBadType, badPropertyBadLength, badPropertyBadValue, badPropertyTooMany, badPropertyDuplicateType
  case badPropertyBadExperimenter, badPropertyBadExperimenterType, badPropertyBadExperimenterValue
  case badPropertyPermission
  // OFPACFC
  case asyncConfigFailedInvalid, asyncConfigFailedUnsupported, asyncConfigFailedPermission
  // OFPMOFC
  case flowMonitorFailedUnknown, flowMonitorFailedMonitorExists, flowMonitorFailedInvalidMonitor
  case flowMonitorFailedUnknownMonitor, flowMonitorFailedBadCommand, flowMonitorFailedBadFlags
  case flowMonitorFailedBadTableID, flowMonitorFailedBadOut
  // OFPBFC
  case bundleFailedUnknown, bundleFailedPermission, bundleFailedBadID, bundleFailedBundleExist
  case bundleFailedBundleClosed, bundleFailedOutOfBundles, bundleFailedBadType, bundleFailedBadFlags
  case bundleFailedMessageBadLength, bundleFailedMessageBadXID, bundleFailedMessageUnsupported
  case bundleFailedMessageConflict, bundleFailedMessageTooMany, bundleFailedMessageFailed, bundleFailedTimeout
  case bundleFailedBundleInProgress, bundleFailedScheduleNotSupported, bundleFailedScheduleFuture
  case bundleFailedSchedulePast
  // NXBFC
  case niciraBundleBadVersion
  // NXTTMFC
  case niciraTLVTableBadCommand, niciraTLVTableBadOptionLength, niciraTLVTableBadFieldIndex, niciraTLVTableTableFull
  case niciraTLVTableAlreadyMapped, niciraTLVTableDuplicateEntry, niciraTLVTableInvalidTLVDeletion
  // NXR
  case niciraResumeNotSupported, niciraResumeStale
  // NXST
  case niciraStatisticsNotConfigured
}
