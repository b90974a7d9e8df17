// A place for tests that block: those that run programs and wait for them. Swift's pool has one thread for each
// processor; a test that sleeps there keeps those that await from running at all, until their time is up. With this
// trait a suite runs on threads of its own, as many as there are processors.

import Dispatch
import Foundation
import Testing

/// Runs a suite's tests apart from those that await.
package struct BlockingTests: SuiteTrait, TestTrait, TestScoping {
  package var isRecursive: Bool { true }

  package func provideScope(
    for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
  ) async throws {
    // The scope of a whole suite only waits for its tests.
    guard testCase != nil else { return try await function() }
    try await withTaskExecutorPreference(BlockingExecutor.shared) { try await function() }
  }
}

extension Trait where Self == BlockingTests {
  /// The tests block their threads.
  package static var blocking: BlockingTests { BlockingTests() }
}

/// Threads for jobs that block.
private final class BlockingExecutor: TaskExecutor {
  static let shared = BlockingExecutor()
  private let queue: OperationQueue

  private init() {
    queue = OperationQueue()
    queue.maxConcurrentOperationCount = ProcessInfo.processInfo.activeProcessorCount
  }

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    queue.addOperation { [self] in unsafe job.runSynchronously(on: asUnownedTaskExecutor()) }
  }
}
