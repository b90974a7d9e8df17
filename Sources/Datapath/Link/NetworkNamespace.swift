// Network namespaces: naming one, and doing work inside one.
//
// Thread: a namespace is a property of a thread, and one of the concurrency pool's threads must never have its changed:
// whatever ran there next would act in the wrong place. So work in a namespace runs on a thread of its own that ends
// with it. A socket stays in the namespace where it was opened, so only the opening has to be done that way.
// A descriptor or socket of a namespace keeps it alive after its name is gone: hold neither for long.

import COFlow
import Glibc

/// Which network namespace a link lives in.
package enum NetworkNamespace: Hashable, Sendable, CustomStringConvertible {
  /// The one that the process was started in.
  case own
  /// `/run/netns/NAME`, as `ip netns` makes them.
  case named(String)
  /// A file that refers to a namespace, as `/proc/PID/ns/net`.
  case path(String)
  /// An open descriptor of one (SIOCGSKNS, TUNGETDEVNETNS); stays the caller's.
  case descriptor(Int32)

  package var description: String {
    switch self {
    case .own: "the switch's own namespace"
    case .named(let name): "namespace \(name)"
    case .path(let path): "the namespace at \(path)"
    case .descriptor(let descriptor): "the namespace of descriptor \(descriptor)"
    }
  }

  /// Where `ip netns` keeps its names.
  package static let directory = "/run/netns"

  /// Runs `body` with a descriptor of the namespace that is open for just as long.
  func withDescriptor<Value>(_ body: (Int32) throws(LinkError) -> Value) throws(LinkError) -> Value {
    let path: String
    switch self {
    case .descriptor(let descriptor): return try body(descriptor)
    case .own: path = "/proc/self/ns/net"
    case .path(let given): path = given
    case .named(let name):
      // The name comes from the database: it must not lead out of the directory.
      guard !name.isEmpty, name != ".", name != "..", !name.utf8.contains(where: { $0 == 0x2f || $0 == 0 }),
        name.utf8.count <= 255
      else {
        throw LinkError(
          .invalidName, cause: "\(name.debugDescription) is no namespace name",
          remedy: "give the name of a file in \(Self.directory), without a slash")
      }
      path = "\(Self.directory)/\(name)"
    }
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      let error = errno
      if error == ENOENT || error == ENOTDIR {
        throw LinkError(
          .noSuchNamespace, cause: "\(self) does not exist", remedy: "create it first, as with `ip netns add`")
      }
      throw LinkError(errno: error, action: "open \(self)")
    }
    defer { close(descriptor) }
    return try body(descriptor)
  }
}

/// Runs `body` on a new thread inside `namespace` and waits for it. The calling thread's namespace is not touched.
/// - Parameter body: short and blocking; sockets it opens stay in the namespace.
/// - Returns: what `body` returns; throws what it throws, or why the namespace could not be entered.
package func withNetworkNamespace<Value: Sendable>(
  _ namespace: NetworkNamespace, _ body: @escaping @Sendable () throws(LinkError) -> Value
) throws(LinkError) -> Value {
  if case .own = namespace { return try body() }
  return try namespace.withDescriptor { descriptor throws(LinkError) in
    let outcome = Outcome<Value>()
    let failure = runThreadToEnd { [outcome] in
      let result = coflow_setns_network(descriptor)
      guard result == 0 else {
        if result == -EINVAL {
          outcome.result = .failure(
            LinkError(
              .noSuchNamespace, cause: "\(namespace) is no network namespace", remedy: "delete it and create it anew"))
        } else {
          outcome.result = .failure(LinkError(errno: -result, action: "enter \(namespace)"))
        }
        return
      }
      do throws(LinkError) {
        outcome.result = .success(try body())
      } catch {
        outcome.result = .failure(error)
      }
    }
    guard failure == 0, let result = outcome.result else {
      throw LinkError(errno: failure, action: "start a thread for \(namespace)")
    }
    return try result.get()
  }
}

/// Written by the thread, read after it was joined: never by two at once.
private final class Outcome<Value: Sendable>: @unchecked Sendable {
  var result: Result<Value, LinkError>?
}

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

/// Runs `body` on a thread of its own and waits for its end.
/// - Returns: 0, or the errno value why no thread could be started.
private func runThreadToEnd(_ body: @escaping @Sendable () -> Void) -> Int32 {
  let (thread, failure) = startThread(name: "netns", body)
  if failure == 0 { pthread_join(thread, nil) }
  return failure
}
