// What keeps a row of Manager or Controller at work: its target is served again whenever that ends, each time after a longer
// pause. Thread: the task of its caller, until that is cancelled.

/// A target that is served until its task is cancelled.
package struct RemoteRun: Sendable {
  /// As the row has it.
  package var target: String
  /// The longest pause (`max_backoff`).
  package var backoffLimitMilliseconds: Int64
  /// The row's SSL has `bootstrap_ca_cert`.
  package var wantsBootstrap: Bool
  /// Where sockets may be.
  package var sockets: ConfinedDirectory
  /// Of a TCP target that names none.
  package var defaultPort: Int

  package init(
    target: String, backoffLimitMilliseconds: Int64, wantsBootstrap: Bool, sockets: ConfinedDirectory, defaultPort: Int
  ) {
    self.target = target
    self.backoffLimitMilliseconds = backoffLimitMilliseconds
    self.wantsBootstrap = wantsBootstrap
    self.sockets = sockets
    self.defaultPort = defaultPort
  }

  /// Serves the target again and again; returns at once if it is none that can be served.
  /// - Parameters:
  ///   - serve: listens, or connects, and returns when that has ended.
  ///   - fail: is told why the target, or one time of serving it, failed.
  package func run(
    serve: (RemoteTarget) async throws -> Void, fail: (any Error) -> Void
  ) async {
    let parsed: RemoteTarget
    do throws(TransportError) {
      parsed = try RemoteTarget(target, sockets: sockets, defaultPort: defaultPort)
      if wantsBootstrap && parsed.endpoint.isTLS {
        throw TransportError(
          "bootstrap_ca_cert would trust whoever comes first: put the CA certificate in its file and clear it")
      }
    } catch {
      // Another target is another row's.
      fail(error)
      return
    }
    let clock = ContinuousClock()
    var backoff: Int64 = 1000
    while !Task.isCancelled {
      let began = clock.now
      do { try await serve(parsed) } catch { fail(error) }
      if clock.now - began > .milliseconds(backoffLimitMilliseconds) { backoff = 1000 }
      let pause = min(backoff, backoffLimitMilliseconds)
      try? await clock.sleep(for: .milliseconds(pause), tolerance: .milliseconds(pause / 10))
      backoff = min(backoff * 2, backoffLimitMilliseconds)
    }
  }
}
