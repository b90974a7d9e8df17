// Starts the threads of this folder.

import COFlow
import Glibc

private final class ThreadBody {
  let run: @Sendable () -> Void
  init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}

/// Stack of the threads that this folder starts: they parse small messages, no more.
private let threadStackByteCount = 256 << 10

/// Starts a thread that runs `body`.
/// - Parameter name: at most 15 bytes; shown by ps and top.
/// - Returns: the thread, to be joined or detached once; nil with errno on failure.
func startThread(name: String, _ body: @escaping @Sendable () -> Void) -> (thread: pthread_t, failure: Int32) {
  var attributes = pthread_attr_t()
  unsafe pthread_attr_init(&attributes)
  unsafe pthread_attr_setstacksize(&attributes, threadStackByteCount)
  defer { unsafe pthread_attr_destroy(&attributes) }
  let context = unsafe Unmanaged.passRetained(
    ThreadBody {
      _ = unsafe coflow_thread_setup(name, -1)
      body()
    })
  var thread = pthread_t()
  let failure = unsafe pthread_create(
    &thread, &attributes,
    { context in
      guard let context = unsafe context else { return nil }
      unsafe Unmanaged<ThreadBody>.fromOpaque(context).takeRetainedValue().run()
      return nil
    }, context.toOpaque())
  if failure != 0 { unsafe context.release() }
  return (thread, failure)
}
