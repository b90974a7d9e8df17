// Sets of versions that descriptions need.

extension VersionSet {
  /// OpenFlow 1.3 and later.
  static let from13 = VersionSet([.v13, .v14, .v15])
  static let v10 = VersionSet([OpenFlowVersion.v10])
}

extension OpenFlowVersion {
  /// As in the first line of a printed message; nothing for 1.0.
  package var suffix: String { self == .v10 ? "" : " (OF\(name))" }
}
