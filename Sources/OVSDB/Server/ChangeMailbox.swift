// Changes on their way to one reader in the process. A reader who is slower than the transactions gets them merged:
// what waits is never more than one change for each row.

import Synchronization

/// What one reader has not taken yet of a database's changes. Any thread.
package final class ChangeMailbox: Sendable {
  private let waiting = Mutex(Changes())
  /// An element when changes have come: there may be none left by the time it is read. For one reader.
  package let signals: AsyncStream<Void>
  private let signalContinuation: AsyncStream<Void>.Continuation

  init() { (signals, signalContinuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1)) }

  func put(_ changes: Changes) {
    waiting.withLock { $0.append(changes) }
    signalContinuation.yield()
  }

  func finish() { signalContinuation.finish() }

  /// Takes what has come since the last call: when a transaction is answered, what it did is here.
  package func take() -> Changes {
    waiting.withLock { waiting in
      defer { waiting = Changes() }
      return waiting
    }
  }

  /// For one reader, instead of `signals`.
  var stream: AsyncStream<Changes> {
    AsyncStream { [self] in
      for await _ in signals {
        let changes = take()
        if !changes.isEmpty { return changes }
      }
      return nil
    }
  }
}
