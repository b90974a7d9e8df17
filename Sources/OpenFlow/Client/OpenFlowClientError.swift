// Why a management program's connection failed.

/// A fault of the asking end.
package enum OpenFlowClientError: Error {
  /// The switch refused a question.
  case refused(ErrorMessage, xid: UInt32)
  /// The peer speaks only these versions.
  case noCommonVersion(VersionSet)
  /// What the peer said first is no greeting.
  case noHello
  /// A message that can't be read.
  case unreadable
  /// The switch went away.
  case closed
}
