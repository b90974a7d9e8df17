// What a session drives, made of memory: it keeps the queues and serves nothing.

@testable import Datapath

final class FakeDevice: VhostUserDevice {
  var queues: [Int: GuestQueue] = [:]
  var injected: [[UInt8]] = []
  private(set) var events: [String] = []

  func attach(_ queue: GuestQueue) {
    queues[queue.index] = queue
    events.append("attach \(queue.index)")
  }
  func detach(_ queue: GuestQueue) {
    queues[queue.index] = nil
    events.append("detach \(queue.index)")
  }
  func pause(_ body: @escaping @Sendable () -> Void) { body() }
  func replace(_ queue: GuestQueue, call: OwnedDescriptor?) { queue.call = call }
  func replace(_ queue: GuestQueue, error: OwnedDescriptor?) { queue.error = error }
  func inject(_ frame: [UInt8]) { injected.append(frame) }
}
