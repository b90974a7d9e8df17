// Bundles: changes that are gathered and made at one step, or not at all (OpenFlow 1.5 §7.3.9).

import OpenFlow
import VSwitchCore

/// A bundle that is being filled.
struct Bundle {
  /// Most messages, and bundles of a session: what a controller gathers is bounded.
  static let messageLimit = 2_000_000
  static let bundleLimit = 16
  static let packetLimit = 1024

  var flags: BundleFlags
  var isClosed = false
  var changes: [TableChange] = []
  /// Transactions of the messages that `changes` are of.
  var transactions: [UInt32] = []
  /// Packets, sent when the changes are made.
  var packets: [PacketOut] = []
}

extension ControllerSession {
  func handle(_ control: BundleControl) async throws(ErrorCode) -> BundleControl {
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
      try await commit(bundle)
      return BundleControl(bundle: id, .commitReply, flags: control.flags)
    case .discardRequest:
      guard bundles.removeValue(forKey: id) != nil else { throw .bundleFailedBadID }
      return BundleControl(bundle: id, .discardReply, flags: control.flags)
    case .openReply, .closeReply, .commitReply, .discardReply: throw .bundleFailedBadType
    }
  }

  private func commit(_ bundle: Bundle) async throws(ErrorCode) {
    let cause = BridgeAgent.Cause(session: number, xid: bundle.transactions.first ?? 0)
    do throws(BridgeAgent.Refusal) {
      try await bridge.change(bundle.changes, cause)
    } catch {
      // First what was wrong, with the message that was, then that the bundle failed: as Open vSwitch does.
      if bundle.changes.indices.contains(error.index) {
        let message = Message(
          version, xid: bundle.transactions[error.index], MessageBody(bundle.changes[error.index]))
        refuse(message, error.code)
      }
      throw .bundleFailedMessageFailed
    }
    for packet in bundle.packets { try? await bridge.send(packet) }
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
    if case .packetOut(let packet) = add.message.body {
      guard bundle.packets.count < Bundle.packetLimit else { throw .bundleFailedMessageTooMany }
      bundle.packets.append(packet)
    } else {
      bundle.changes.append(try tableChange(add.message.body))
      bundle.transactions.append(add.message.xid)
    }
  }
}

extension MessageBody {
  fileprivate init(_ change: TableChange) {
    self =
      switch change {
      case .flow(let mod): .flowMod(mod)
      case .group(let mod): .groupMod(mod)
      case .meter(let mod): .meterMod(mod)
      }
  }
}
