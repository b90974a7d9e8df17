// Where the desired state lives and where status is written back: the server in this process, or a real ovsdb-server
// elsewhere. What is above (reconciler, control commands) knows only this and can't tell the two apart.

import OVSDB

/// A database of the Open_vSwitch schema.
protocol ConfigurationStore: Sendable {
  /// The contents now, as far as they may be acted on.
  func snapshot() async -> DatabaseSnapshot
  /// The contents now and every change from then on; a slow reader gets several merged into one. When a transaction of this
  /// process is answered, what it did is in the mailbox.
  func subscribe() async -> (snapshot: DatabaseSnapshot, mailbox: ChangeMailbox)
  /// Runs a transaction of operations as in RFC 7047 §5.2; returns when it is durable and in the contents. The error
  /// "unavailable" means that nothing was done and that `readiness` will tell when to try again.
  func transact(_ operations: [JSONValue]) async -> TransactionReply
  /// Whether the contents are current and ours to write.
  var access: DatabaseAccess { get async }
  /// An element whenever the store has become ready: what could not be written before can be now.
  func readiness() async -> AsyncStream<Void>
  func usage() async -> DatabaseUsage
}

extension DatabaseServer: ConfigurationStore {
  /// It is in this process: always here, and its lock always ours.
  package nonisolated var access: DatabaseAccess { .ready }
  package nonisolated func readiness() -> AsyncStream<Void> { AsyncStream { $0.finish() } }
}

extension RemoteDatabase: ConfigurationStore {}
