// Bundles: changes that are gathered and made at one step, or not at all (OpenFlow 1.5 §7.3.9).

import OpenFlow
import VSwitchCore

/// A bundle that is being filled.
struct Bundle {
  /// Most messages, and bundles of a session: what a controller gathers is bounded.
  static let messageLimit = 2_000_000
  static let bundleLimit = 16

  var flags: BundleFlags
  var isClosed = false
  var changes: [TableChange] = []
}

extension ControllerSession {
  /// - Parameter xid: of the request, for the error that tells which of the gathered messages failed.
  func handle(_ control: BundleControl, xid: UInt32) async throws(ErrorCode) -> BundleControl {
    let id = control.bundle
    switch control.kind {
    case .openRequest:
      if bundles[id] != nil {
        bundles[id] = nil
        throw .bundleFailedBadID
      }
      guard bundles.count < Bundle.bundleLimit else { throw .bundleFailedOutOfBundles }
      bundles[id] = Bundle(flags: control.flags)
      return BundleControl(bundle: id, .openReply, flags: control.flags)
    case .closeRequest:
      guard let bundle = bundles[id] else { throw .bundleFailedBadID }
      guard !bundle.isClosed else {
        bundles[id] = nil
        throw .bundleFailedBundleClosed
      }
      guard bundle.flags == control.flags else {
        bundles[id] = nil
        throw .bundleFailedBadFlags
      }
      bundles[id]?.isClosed = true
      return BundleControl(bundle: id, .closeReply, flags: control.flags)
    case .commitRequest:
      guard let bundle = bundles.removeValue(forKey: id) else { throw .bundleFailedBadID }
      guard bundle.flags == control.flags else { throw .bundleFailedBadFlags }
      try mayChange()
      do throws(ErrorCode) {
        try await bridge.change(bundle.changes)
      } catch {
        // First what was wrong, then that the bundle failed: as Open vSwitch does.
        connection?.send(Message(version, xid: xid, .error(ErrorMessage(error, data: []))))
        throw .bundleFailedMessageFailed
      }
      return BundleControl(bundle: id, .commitReply, flags: control.flags)
    case .discardRequest:
      guard bundles.removeValue(forKey: id) != nil else { throw .bundleFailedBadID }
      return BundleControl(bundle: id, .discardReply, flags: control.flags)
    case .openReply, .closeReply, .commitReply, .discardReply: throw .bundleFailedBadType
    }
  }

  func addToBundle(_ add: BundleAdd) throws(ErrorCode) {
    var bundle: Bundle
    if let known = bundles[add.bundle] {
      bundle = known
    } else {
      guard bundles.count < Bundle.bundleLimit else { throw .bundleFailedOutOfBundles }
      bundle = Bundle(flags: add.flags)
    }
    // Only one copy of what may be a long list.
    bundles[add.bundle] = nil
    guard !bundle.isClosed else { throw .bundleFailedBundleClosed }
    guard bundle.flags == add.flags else { throw .bundleFailedBadFlags }
    defer { bundles[add.bundle] = bundle }
    guard bundle.changes.count < Bundle.messageLimit else { throw .bundleFailedMessageTooMany }
    bundle.changes.append(try change(add.message.body))
  }
}
