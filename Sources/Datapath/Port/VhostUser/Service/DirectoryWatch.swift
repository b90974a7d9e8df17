// Tells when something appears in the directories where sockets are waited for (inotify(7)).
// Thread: the service's queue.

import COFlow
import Dispatch
import Glibc

/// Directories by who waits for a socket in them.
final class DirectoryWatch {
  private let descriptor: Int32
  private let source: any DispatchSourceRead
  private var slots: [Int32: Set<UInt16>] = [:]
  private let appeared: (Set<UInt16>) -> Void

  /// Nil where the system has no watches left.
  init?(queue: DispatchQueue, appeared: @escaping (Set<UInt16>) -> Void) {
    descriptor = coflow_watch_open()
    guard descriptor >= 0 else { return nil }
    self.appeared = appeared
    let descriptor = descriptor
    source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: queue)
    source.setEventHandler { [weak self] in self?.read() }
    source.setCancelHandler { _ = Glibc.close(descriptor) }
    source.activate()
  }

  func close() { source.cancel() }

  /// - Returns: false if the directory is not there, or can't be watched.
  func add(_ directory: String, for slot: UInt16) -> Bool {
    let number = unsafe directory.withCString { unsafe coflow_watch_directory(descriptor, $0) }
    guard number >= 0 else { return false }
    slots[number, default: []].insert(slot)
    return true
  }

  /// Nobody waits for the slot's socket any more. (The directory stays watched: it costs nothing and there are few.)
  func remove(_ slot: UInt16) {
    for number in slots.keys { slots[number]?.remove(slot) }
  }

  private func read() {
    var numbers = [Int32](repeating: 0, count: 64)
    let count = unsafe numbers.withUnsafeMutableBufferPointer { numbers in
      unsafe coflow_watch_drain(descriptor, numbers.baseAddress, Int32(numbers.count))
    }
    let found = numbers.prefix(Int(max(count, 0)))
    let isAny = found.contains(-1) || count == 64
    appeared(isAny ? slots.values.reduce([]) { $0.union($1) } : found.reduce([]) { $0.union(slots[$1] ?? []) })
  }
}
