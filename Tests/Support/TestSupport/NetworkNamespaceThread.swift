// Work inside a network namespace. A namespace is a property of a thread, and one of the concurrency pool's must never have
// its changed: so the work has a thread of its own that ends with it.

import CTestSupport
import Foundation
import Glibc
import Synchronization

/// Runs `body` on a new thread inside the namespace `/run/netns/NAME` and waits for it; sockets it opens stay there.
package func inNetworkNamespace<Value: Sendable>(_ name: String, _ body: @escaping @Sendable () throws -> Value) throws
  -> Value
{
  let file = unsafe open("/run/netns/\(name)", O_RDONLY | O_CLOEXEC)
  guard file >= 0 else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
  defer { close(file) }
  let outcome = Outcome<Value>()
  let ended = DispatchSemaphore(value: 0)
  Thread {
    if ctest_enter_network_namespace(file) != 0 {
      let error = POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO)
      outcome.result.withLock { $0 = .failure(error) }
    } else {
      let result = Result { try body() }
      outcome.result.withLock { $0 = result }
    }
    ended.signal()
  }.start()
  ended.wait()
  return try outcome.result.withLock { try ($0 ?? .failure(POSIXError(.EIO))).get() }
}

private final class Outcome<Value: Sendable>: Sendable {
  let result = Mutex<Result<Value, any Error>?>(nil)
}
