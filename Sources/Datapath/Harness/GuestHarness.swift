// A vhost-user port of a harness: its front-end's bytes and descriptors come in by calls, its rings are served by the harness's rounds.
// What sockets, the service's queue and the mailbox do elsewhere is left out, nothing else. Thread: one, the caller's.

import COFlow
import VSwitchCore

/// A guest's connection without a socket.
package final class GuestHarness {
  /// A rule was broken for which the connection ends; it has ended.
  package struct Ended: Error, CustomStringConvertible {
    package let description: String
  }

  /// Has the port; it must not go first.
  private let harness: DatapathHarness
  private let device: Device
  private var session: VhostUserSession
  private var reader = VhostUserMessageReader()

  init(_ port: VhostUserPort, _ worker: Worker, of harness: DatapathHarness) {
    self.harness = harness
    device = Device(port, worker)
    session = VhostUserSession(device: device, record: nil)
  }

  deinit { session.end() }

  /// Takes what a socket would give.
  /// - Parameter descriptors: come with the first byte, and are the harness's from now on.
  /// - Returns: the replies.
  package func receive(_ bytes: [UInt8], descriptors: [Int32] = []) throws(Ended) -> [UInt8] {
    var new = descriptors.map { OwnedDescriptor($0) }
    var left = bytes[...]
    var replies: [UInt8] = []
    do throws(VhostUserFault) {
      while !left.isEmpty {
        let piece = left.prefix(reader.wantedByteCount)
        left = left.dropFirst(piece.count)
        if let message = try reader.take(piece, descriptors: new) { replies += try session.handle(message).bytes }
        new = []
      }
    } catch {
      end()
      throw Ended(description: error.description)
    }
    return replies
  }

  /// The connection ends; what comes next is another one.
  package func end() {
    session.end()
    session = VhostUserSession(device: device, record: nil)
    reader = VhostUserMessageReader()
  }

  /// Stops the queues that broke a rule, as control code does when the worker rings.
  /// - Returns: the rules.
  @discardableResult
  package func stopFaultyQueues() -> [String] {
    let faults = device.port.notices(now: 0).faults
    for (queue, fault) in faults { session.queueFailed(queue, fault) }
    return faults.map(\.fault.description)
  }

  /// Queues that run.
  package var runningQueueCount: Int { session.runningQueues.count }

  private final class Device: VhostUserDevice {
    let port: VhostUserPort
    private let worker: Worker

    init(_ port: VhostUserPort, _ worker: Worker) {
      self.port = port
      self.worker = worker
    }

    func attach(_ queue: GuestQueue) {
      port.attach(queue)
      worker.wakeIfOpen(port)
    }
    func detach(_ queue: GuestQueue) { port.detach(queue, worker) }
    func pause(_ body: @escaping @Sendable () -> Void) { body() }
    func replace(_ queue: GuestQueue, call: OwnedDescriptor?) { queue.call = call }
    func replace(_ queue: GuestQueue, error: OwnedDescriptor?) { queue.error = error }
    func inject(_ frame: [UInt8]) { port.inject(frame) }
  }
}
