// Changes that become visible together (OpenFlow 1.5 §7.3.9; the Open Networking Foundation's extension 230 for 1.3).

/// Flags of a bundle, the same in all of its messages.
package struct BundleFlags: OptionSet, Hashable, Sendable {
  package let rawValue: UInt16
  package init(rawValue: UInt16) { self.rawValue = rawValue }
  package static let atomic = BundleFlags(rawValue: 1 << 0)
  package static let ordered = BundleFlags(rawValue: 1 << 1)
}

/// Opens, closes, commits or discards a bundle, or answers that.
package struct BundleControl: Equatable, Sendable {
  package enum Kind: UInt16, Sendable, CaseIterable {
    case openRequest = 0
    case openReply = 1
    case closeRequest = 2
    case closeReply = 3
    case commitRequest = 4
    case commitReply = 5
    case discardRequest = 6
    case discardReply = 7
  }
  package var bundle: UInt32
  package var kind: Kind
  package var flags: BundleFlags

  package init(bundle: UInt32, _ kind: Kind, flags: BundleFlags) {
    self.bundle = bundle
    self.kind = kind
    self.flags = flags
  }
}

/// A message of a bundle.
package struct BundleAdd: Equatable, Sendable {
  package var bundle: UInt32
  package var flags: BundleFlags
  /// With the outer message's version and xid.
  package var message: Message

  package init(bundle: UInt32, flags: BundleFlags, _ message: Message) {
    self.bundle = bundle
    self.flags = flags
    self.message = message
  }
}

/// What bundles the switch can do; 1.5.
package struct BundleFeatures: Equatable, Sendable {
  /// Atomic 1, ordered 2, scheduled 4.
  package var capabilities: UInt16

  package init(capabilities: UInt16) { self.capabilities = capabilities }
}
