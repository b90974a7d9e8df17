// What the system said of open ports' links, kept until an event says that it may be otherwise: so that a change of one
// port costs questions about that one, however many there are.
//
// Thread: whoever holds the lock of `Datapath`. Invariant: nothing is kept of a link whose events are not heard, nor of
// one that could not be asked: whatever is kept is no older than the last event of its link that has been read.

import VSwitchCore

/// What the system says of the link behind a port.
struct LinkDescription: Equatable, Sendable {
  var index: Int
  var hardwareAddress: MACAddress?
  var mtu: Int
  var isAdminUp: Bool
  var isOperational: Bool
  /// Bits per second.
  var speed: Int?
  var isFullDuplex: Bool?
  /// driver_name, io_engine, netns where it was asked for, and link_name where its user has given it another than the
  /// port's. Made once: a copy of it is told from another state's at once.
  var status: [String: String] = [:]

  /// Fills in the columns that it decides.
  func fill(_ state: inout PortState) {
    state.interfaceIndex = index
    state.hardwareAddress = hardwareAddress
    state.mtu = mtu
    state.isAdminUp = isAdminUp
    state.isLinkUp = isOperational
    state.linkSpeed = speed
    state.isFullDuplex = isFullDuplex
    state.status = status
  }
}

/// The descriptions that stand.
struct LinkDescriptions: Sendable {
  private var descriptions: [PortKey: LinkDescription] = [:]
  /// Of links in the switch's own namespace.
  private var keysByIndex: [Int: PortKey] = [:]
  /// Of links in other namespaces, where other links may have the same index.
  private var foreignKeys: Set<PortKey> = []

  subscript(key: PortKey) -> LinkDescription? { descriptions[key] }

  mutating func keep(_ description: LinkDescription, of key: PortKey, isForeign: Bool) {
    forget(key)
    descriptions[key] = description
    if isForeign { foreignKeys.insert(key) } else { keysByIndex[description.index] = key }
  }

  mutating func forget(_ key: PortKey) {
    guard let old = descriptions.removeValue(forKey: key) else { return }
    if foreignKeys.remove(key) == nil { keysByIndex[old.index] = nil }
  }

  mutating func forgetAll() { self = LinkDescriptions() }

  /// Forgets what an event may have made untrue.
  /// - Returns: the ports concerned.
  mutating func forget(after notice: LinkNotice) -> [PortKey] {
    var keys: [PortKey] = []
    if notice.namespaceID == nil {
      if let key = keysByIndex[notice.index] { keys.append(key) }
    } else {
      keys = foreignKeys.filter { descriptions[$0]?.index == notice.index }
    }
    for key in keys { forget(key) }
    return keys
  }
}
