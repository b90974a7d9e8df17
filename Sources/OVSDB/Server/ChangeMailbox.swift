// Changes on their way to one reader in the process. A reader who is slower than the transactions gets them merged:
// what waits is never more than one change for each row.

import Synchronization

final class ChangeMailbox: Sendable {
  private let waiting = Mutex(Changes())
  private let signal: AsyncStream<Void>
  private let signalContinuation: AsyncStream<Void>.Continuation

  init() { (signal, signalContinuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1)) }

  func put(_ changes: Changes) {
    waiting.withLock { $0.append(changes) }
    signalContinuation.yield()
  }

  func finish() { signalContinuation.finish() }

  /// For one reader.
  var stream: AsyncStream<Changes> {
    AsyncStream { [self] in
      for await _ in signal {
        let changes = waiting.withLock { waiting in
          defer { waiting = Changes() }
          return waiting
        }
        if !changes.isEmpty { return changes }
      }
      return nil
    }
  }
}
