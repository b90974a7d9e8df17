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
  /// Each with the transaction of its message.
  var changes = TableChangeList()
  /// Packets, sent when the changes are made.
  var packets: [PacketOut] = []
}

/// The bundles of a session.
struct Bundles {
  private var open: [UInt32: Bundle] = [:]

  /// Opens, closes or gives away a bundle.
  /// - Returns: a bundle whose changes are to be made now.
  mutating func handle(_ control: BundleControl) throws(ErrorCode) -> Bundle? {
    let id = control.bundle
    switch control.kind {
    case .openRequest:
      guard open.removeValue(forKey: id) == nil else { throw .bundleFailedBadID }
      guard open.count < Bundle.bundleLimit else { throw .bundleFailedOutOfBundles }
      open[id] = Bundle(flags: control.flags)
    case .closeRequest:
      guard var bundle = open.removeValue(forKey: id) else { throw .bundleFailedBadID }
      guard !bundle.isClosed else { throw .bundleFailedBundleClosed }
      guard bundle.flags == control.flags else { throw .bundleFailedBadFlags }
      bundle.isClosed = true
      open[id] = bundle
    case .commitRequest:
      guard let bundle = open.removeValue(forKey: id) else { throw .bundleFailedBadID }
      guard bundle.flags == control.flags else { throw .bundleFailedBadFlags }
      return bundle
    case .discardRequest:
      guard open.removeValue(forKey: id) != nil else { throw .bundleFailedBadID }
    case .openReply, .closeReply, .commitReply, .discardReply: throw .bundleFailedBadType
    }
    return nil
  }

  /// Changes a bundle, which begins with its first message if it was not opened.
  mutating func add(to id: UInt32, _ flags: BundleFlags, _ change: (inout Bundle) throws(ErrorCode) -> Void)
    throws(ErrorCode)
  {
    // Only one copy of what may be a long list.
    guard var bundle = open.removeValue(forKey: id) ?? begin(flags) else { throw .bundleFailedOutOfBundles }
    // One that was closed, or has other flags, goes.
    guard !bundle.isClosed else { throw .bundleFailedBundleClosed }
    guard bundle.flags == flags else { throw .bundleFailedBadFlags }
    defer { open[id] = bundle }
    guard bundle.changes.count < Bundle.messageLimit else { throw .bundleFailedMessageTooMany }
    try change(&bundle)
  }

  private func begin(_ flags: BundleFlags) -> Bundle? {
    open.count < Bundle.bundleLimit ? Bundle(flags: flags) : nil
  }
}

extension ControllerSession {
  func handle(_ control: BundleControl) async throws(ErrorCode) -> BundleControl {
    if let bundle = try work.handle(control) {
      try mayChange()
      try await commit(bundle)
    }
    let answer: BundleControl.Kind =
      switch control.kind {
      case .openRequest: .openReply
      case .closeRequest: .closeReply
      case .commitRequest: .commitReply
      default: .discardReply
      }
    return BundleControl(bundle: control.bundle, answer, flags: control.flags)
  }

  private func commit(_ bundle: Bundle) async throws(ErrorCode) {
    let cause = BridgeAgent.Cause(session: number, xid: bundle.changes.isEmpty ? 0 : bundle.changes[0].tag)
    do throws(BridgeAgent.Refusal) {
      try await bridge.change(bundle.changes, cause)
    } catch {
      // First what was wrong, with the message that was, then that the bundle failed: as Open vSwitch does.
      if error.index < bundle.changes.count {
        let (change, xid) = bundle.changes[error.index]
        let message = Message(version, xid: xid, MessageBody(change))
        // A bundle keeps changes, not the bytes that they came in.
        refuse(ReceivedMessage(message, bytes: (try? MessageEncoder().encode(message)) ?? []), error.code)
      }
      throw .bundleFailedMessageFailed
    }
    for packet in bundle.packets { try? await bridge.send(packet) }
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
