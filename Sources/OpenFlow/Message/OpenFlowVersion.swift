// The protocol versions that are spoken, and sets of versions as hello messages carry them (OpenFlow 1.5 §7.5.1).

/// A version of OpenFlow; the raw value is the one in message headers.
package enum OpenFlowVersion: UInt8, CaseIterable, Comparable, Sendable {
  case v10 = 1
  case v13 = 4
  case v14 = 5
  case v15 = 6

  package static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }

  /// "1.0" and so on, as the standard is called.
  package var name: String {
    switch self {
    case .v10: "1.0"
    case .v13: "1.3"
    case .v14: "1.4"
    case .v15: "1.5"
    }
  }
}

/// A set of version numbers as a bitmap: bit n for header version n. It may have versions that are not spoken here.
package struct VersionSet: OptionSet, Hashable, Sendable {
  package let rawValue: UInt32
  package init(rawValue: UInt32) { self.rawValue = rawValue }

  package init(_ versions: some Sequence<OpenFlowVersion>) {
    rawValue = versions.reduce(0) { $0 | 1 << UInt32($1.rawValue) }
  }

  /// Every version up to a header's, 1.0 first: what a hello without a bitmap says.
  package init(upTo version: UInt8) {
    rawValue = version >= 31 ? 0xffff_fffe : (UInt32(1) << (UInt32(version) + 1)) - 2
  }

  /// All that are spoken here.
  package static let all = VersionSet(OpenFlowVersion.allCases)

  /// The highest version that is in the set and spoken here.
  package var highest: OpenFlowVersion? {
    OpenFlowVersion.allCases.last { rawValue & 1 << UInt32($0.rawValue) != 0 }
  }
}
