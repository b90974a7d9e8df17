// Where the desired state lives and where status is written back: the server in this process now, a remote
// ovsdb-server later. What is above (reconciler, control commands) knows only this.

import OVSDB

/// A database of the Open_vSwitch schema.
protocol ConfigurationStore: Sendable {
  /// The committed contents now.
  func snapshot() async -> DatabaseSnapshot
  /// The contents now and every change from then on; a slow reader gets several merged into one.
  func changes() async -> (snapshot: DatabaseSnapshot, changes: AsyncStream<Changes>)
  /// Runs a transaction of operations as in RFC 7047 §5.2; returns when it is durable.
  func transact(_ operations: [JSONValue]) async -> TransactionReply
}

extension DatabaseServer: ConfigurationStore {}
