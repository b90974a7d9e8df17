// The control side of all vhost-user ports: one serial queue on which sockets are read, messages handled and timers run.
//
// Thread: the queue; `open`, `close` and `description` may be called from any other thread and wait for it. It calls the
// worker through its mailbox and never takes a lock of the datapath, which may be held by whoever waits for it.

import COFlow
import Dispatch
import Glibc
import Synchronization
import VSwitchCore

/// What a port's status shows.
struct VhostUserDescription: Equatable, Sendable {
  var isConnected = false
  /// Some queue runs.
  var isUp = false
  var mtu: Int?
  var status: [String: String] = [:]
}

/// All endpoints of a datapath.
final class VhostUserService: @unchecked Sendable {
  let queue = DispatchQueue(label: "vhost-user")
  /// Rung by a worker when a port has something to say.
  let notice: Int32
  /// Told the port's name when its status has changed.
  private let changed: @Sendable (String) -> Void
  private var endpoints: [UInt16: VhostUserEndpoint] = [:]
  private var noticeSource: (any DispatchSourceRead)?
  private var directories: DirectoryWatch?

  /// - Parameter changed: called on the service's queue.
  init(changed: @escaping @Sendable (String) -> Void) throws(ConfigError) {
    self.changed = changed
    notice = coflow_event_open()
    guard notice >= 0 else {
      throw ConfigError(cause: "no descriptor for vhost-user ports", remedy: "raise the limit of open files")
    }
    let source = DispatchSource.makeReadSource(fileDescriptor: notice, queue: queue)
    source.setEventHandler { [weak self] in
      guard let self else { return }
      coflow_event_drain(self.notice)
      for endpoint in self.endpoints.values { endpoint.readNotices() }
    }
    source.activate()
    noticeSource = source
  }

  /// Opens a port's socket; the connection comes later.
  /// - Parameter mailbox: of the worker that the port is for.
  /// - Returns: the port for the worker.
  func open(
    _ config: VhostUserEndpoint.Config, slot: UInt16, mailbox: Mailbox
  ) throws(ConfigError) -> VhostUserPort {
    let result: Result<VhostUserPort, ConfigError> = queue.sync {
      do throws(ConfigError) {
        let endpoint = try VhostUserEndpoint(config, slot: slot, mailbox: mailbox, service: self)
        endpoints[slot] = endpoint
        return .success(endpoint.port)
      } catch { return .failure(error) }
    }
    return try result.get()
  }

  /// Ends a port's connection and takes its queues from the worker, which still has the port.
  func close(slot: UInt16) {
    queue.sync {
      endpoints.removeValue(forKey: slot)?.close()
      directories?.remove(slot)
    }
  }

  /// Has `body` take ports from one worker to another, while no endpoint asks anything of either.
  /// - Parameter slots: those that are no endpoint's stay what they are.
  func move(_ slots: [UInt16], to mailbox: Mailbox, _ body: () -> Void) {
    queue.sync {
      body()
      for slot in slots { endpoints[slot]?.mailbox = mailbox }
    }
  }

  /// A port's `mtu_request` has changed.
  func setMTURequest(slot: UInt16, _ mtu: Int?) {
    queue.sync { endpoints[slot]?.setMTURequest(mtu) }
  }

  /// Has `socketMayHaveAppeared` called for a slot when something appears in a directory.
  /// - Returns: false if it can't be watched.
  func watch(_ directory: String, for slot: UInt16) -> Bool {
    if directories == nil {
      directories = DirectoryWatch(queue: queue) { [weak self] slots in
        for slot in slots { self?.endpoints[slot]?.socketMayHaveAppeared() }
      }
    }
    return directories?.add(directory, for: slot) ?? false
  }

  func description(slot: UInt16) -> VhostUserDescription? {
    queue.sync { endpoints[slot]?.description }
  }

  func statusChanged(_ name: String) { changed(name) }

  /// Ends everything; call before the worker ends.
  func shutdown() {
    queue.sync {
      for endpoint in endpoints.values { endpoint.close() }
      endpoints = [:]
      noticeSource?.cancel()
      noticeSource = nil
      directories?.close()
      directories = nil
    }
  }

  deinit { _ = Glibc.close(notice) }
}
