// Naive code recurses as deep as its input does. Thread: one of its own for each call.

import Foundation
import Synchronization
import Testing

/// Runs `body` on a thread with half a gigabyte of stack and waits for it.
package func onLargeStack<T: Sendable>(_ body: @escaping @Sendable () -> T) throws -> T {
  let result = Mutex<T?>(nil)
  let done = DispatchSemaphore(value: 0)
  let thread = Thread {
    let value = body()
    result.withLock { $0 = value }
    done.signal()
  }
  thread.stackSize = 1 << 29
  thread.start()
  done.wait()
  return try #require(result.withLock { $0 })
}
