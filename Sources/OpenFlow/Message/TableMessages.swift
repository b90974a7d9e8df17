// Flow tables: settings, statistics, features (OpenFlow 1.5 §7.3.4.2, §7.3.5.4, §7.3.5.17, §7.3.5.18, §7.4.5).

import VSwitchCore

/// Settings of a table, in changes and descriptions.
package struct TableDescription: Equatable, Sendable {
  /// When a table is nearly full, and no more; in percent of free entries.
  package struct Vacancy: Equatable, Sendable {
    package var downPercent: UInt8
    package var upPercent: UInt8
    /// What is free now; descriptions only.
    package var currentPercent: UInt8 = 0

    package init(downPercent: UInt8, upPercent: UInt8) {
      self.downPercent = downPercent
      self.upPercent = upPercent
    }
  }
  /// 0xff in a change: all tables.
  package var table: UInt8
  /// A full table evicts rules; 1.4 and later.
  package var evicts = false
  /// By what rules are chosen for eviction: bit 0 other, 1 importance, 2 lifetime; nil: not said.
  package var evictionFlags: UInt32?
  package var sendsVacancyEvents = false
  package var vacancy: Vacancy?

  package init(table: UInt8) { self.table = table }
}

/// A table's vacancy went past a limit.
package struct TableStatus: Equatable, Sendable {
  package enum Reason: UInt8, Sendable, CaseIterable {
    case vacancyDown = 3
    case vacancyUp = 4
  }
  package var reason: Reason
  package var table: TableDescription

  package init(_ reason: Reason, _ table: TableDescription) {
    self.reason = reason
    self.table = table
  }
}

/// Counters of a table.
package struct TableCounters: Equatable, Sendable {
  package var table: UInt8
  package var activeCount: UInt32 = 0
  package var lookupCount: UInt64 = 0
  package var matchedCount: UInt64 = 0
  /// 1.0 only.
  package var name = ""
  /// 1.0 only.
  package var maximumEntries: UInt32 = 0
  /// Fields that can be left open, bits of 1.0's wildcards; 1.0 only.
  package var wildcards: UInt32 = 0

  package init(table: UInt8) { self.table = table }
}

/// What a table can do; in a request what it is to do.
package struct TableFeatures: Equatable, Sendable {
  /// What rules of the table may say.
  package struct Rules: Equatable, Sendable {
    /// Bit n for instruction type n.
    package var instructions: UInt32 = 0
    /// Tables that goto_table reaches.
    package var nextTables: [UInt8] = []
    /// Bit n for action type n (1.5's numbers).
    package var writeActions: UInt32 = 0
    package var applyActions: UInt32 = 0
    package var writeSetFields: [Field] = []
    package var applySetFields: [Field] = []
    /// 1.5 only.
    package var writeCopyFields: [Field] = []
    package var applyCopyFields: [Field] = []

    package init() {}
  }
  /// A field that rules can match, and whether with a mask.
  package struct MatchField: Hashable, Sendable {
    package var field: Field
    package var isMaskable: Bool

    package init(_ field: Field, isMaskable: Bool) {
      self.field = field
      self.isMaskable = isMaskable
    }
  }
  package var table: UInt8
  /// Up to 31 bytes.
  package var name = ""
  package var metadataMatch: UInt64 = 0
  package var metadataWrite: UInt64 = 0
  /// Eviction 1 << 2, vacancy events 1 << 3; 1.4 and later.
  package var capabilities: UInt32 = 0
  package var maximumEntries: UInt32 = 0
  /// 1.5 only: 0 replace, 1 modify, 2 enable, 3 disable (in requests); features: ingress 1, egress 2, first egress 16.
  package var command: UInt8 = 0
  package var features: UInt32 = 0
  package var rules = Rules()
  /// Of the table-miss rule; nil: as the others.
  package var missRules: Rules?
  package var matchFields: [MatchField] = []
  /// Fields that can be left open.
  package var wildcards: [Field] = []
  /// 1.4 and later: tables that it is synchronized from; nil: not said.
  package var synchronizedFrom: [UInt8]?
  /// Whether it has properties at all: a request without asks to take a table away.
  package var hasProperties = true

  package init(table: UInt8) { self.table = table }
}
