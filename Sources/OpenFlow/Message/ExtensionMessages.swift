// Open vSwitch's own tables: tunnel options and connections (NXT_TLV_TABLE_MOD, NXT_CT_FLUSH).

import VSwitchCore

/// Which option of a tunnel header a metadata field stands for.
package struct TLVMapping: Equatable, Sendable {
  package var optionClass: UInt16
  package var optionType: UInt8
  /// Of the option's value.
  package var byteCount: UInt8
  /// n of tun_metadata n.
  package var fieldIndex: UInt16

  package init(optionClass: UInt16, optionType: UInt8, byteCount: UInt8, fieldIndex: UInt16) {
    self.optionClass = optionClass
    self.optionType = optionType
    self.byteCount = byteCount
    self.fieldIndex = fieldIndex
  }
}

/// Changes the table of tunnel options.
package struct TLVTableMod: Equatable, Sendable {
  package enum Command: UInt16, Sendable, CaseIterable {
    case add = 0
    case delete = 1
    case clear = 2
  }
  package var command: Command
  package var mappings: [TLVMapping]

  package init(_ command: Command, _ mappings: [TLVMapping]) {
    self.command = command
    self.mappings = mappings
  }
}

/// The table of tunnel options.
package struct TLVTable: Equatable, Sendable {
  package var maximumByteCount: UInt32
  package var maximumFieldCount: UInt16
  package var mappings: [TLVMapping]

  package init(maximumByteCount: UInt32, maximumFieldCount: UInt16, mappings: [TLVMapping]) {
    self.maximumByteCount = maximumByteCount
    self.maximumFieldCount = maximumFieldCount
    self.mappings = mappings
  }
}

/// Which connections are to be forgotten.
package struct ConntrackFlush: Equatable, Sendable {
  /// 0: any.
  package var ipProtocol: UInt8 = 0
  package var isIPv6 = false
  /// Nil: all zones.
  package var zone: UInt16?
  package var original = ConnectionPattern()
  package var reply = ConnectionPattern()

  package init() {}
}
