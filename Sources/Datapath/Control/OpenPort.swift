// A port that is open: what control code knows of it while the worker uses its queues.

import COFlow
import Glibc
import VSwitchCore

/// Bridge and name: how a configured port is found again.
struct PortKey: Hashable, Sendable {
  var bridge: String
  var name: String
}

/// A port's guard at work: three slots stand for one port. The device's own slot is a port of the guard's bridge; two more are as
/// patch ports that join that bridge to the port's own.
struct OpenGuard: Equatable, Sendable {
  var config: PortGuard
  /// What the port's own bridge knows the port by.
  let outerSlot: UInt16
  /// What the guard's bridge knows that bridge by.
  let innerSlot: UInt16
}

/// An open port.
struct OpenPort: Sendable {
  let bridge: String
  var config: PortConfig
  let slot: UInt16
  var portNumber: UInt16
  /// Descriptor of a tap, to ask where its device is; -1 for others.
  var tapDescriptor: Int32 = -1
  /// Interface index of a system port when it was opened.
  var interfaceIndex: Int?
  /// Whether its link was up when last looked at: it is live for groups and bundles.
  var isLinkUp = true
  var guarding: OpenGuard?

  /// The slot by which its bridge knows it.
  var bridgeSlot: UInt16 { guarding?.outerSlot ?? slot }

  /// All that stand for it: its device's, and those of its guard.
  var slots: [UInt16] { [slot, guarding?.outerSlot, guarding?.innerSlot].compactMap { $0 } }

  /// Its number as flow tables have it.
  var number: PortNumber { PortNumber(openFlow10: portNumber) }

  /// Whether the device behind the port has gone, so that the port has to be opened anew.
  func isDeviceGone() -> Bool {
    switch config.interface.kind {
    case .tap, .internal: return tapName() == nil
    case .system:
      if tapDescriptor >= 0 { return tapName() == nil }
      guard let link = try? LinkService().link(named: config.interface.name) else { return true }
      return link.index != interfaceIndex
    case .patch, .pcap, .vhostUser, .vhostUserClient: return false
    }
  }

  /// Calls `body` with a service for the namespace where the port's link is now.
  func withLinks<Value>(_ body: (LinkService) throws(LinkError) -> Value) throws(LinkError) -> Value {
    guard let namespace = foreignNamespace() else { return try body(try LinkService()) }
    defer { close(namespace) }
    return try body(try LinkService(.descriptor(namespace)))
  }

  /// A descriptor of the namespace where the port's link is, to be closed by the caller; nil if it is the switch's own.
  func foreignNamespace() -> Int32? {
    guard tapDescriptor >= 0 else { return nil }
    let namespace = coflow_tap_namespace(tapDescriptor)
    guard namespace >= 0 else { return nil }
    if isOwnNamespace(namespace) {
      close(namespace)
      return nil
    }
    return namespace
  }

  /// The name of the port's link, which its user may have changed.
  var linkName: String { tapName() ?? config.interface.name }

  /// The name of the tap's device now; nil if it has gone, or the port is no tap.
  private func tapName() -> String? {
    guard tapDescriptor >= 0 else { return nil }
    return unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(IFNAMSIZ) + 1) { name in
      unsafe name.initialize(repeating: 0)
      guard let base = name.baseAddress, unsafe coflow_tap_name(tapDescriptor, base) == 0 else { return nil }
      return unsafe String(cString: base)
    }
  }

  private func isOwnNamespace(_ descriptor: Int32) -> Bool {
    var theirs = stat()
    var ours = stat()
    return unsafe fstat(descriptor, &theirs) == 0 && stat("/proc/self/ns/net", &ours) == 0
      && theirs.st_ino == ours.st_ino && theirs.st_dev == ours.st_dev
  }
}

extension OpenPort {
  /// Gives the link the MTU and MAC address that its configuration asks for.
  /// - Returns: what could not be done.
  func adjustLink() -> ConfigError? {
    let interface = config.interface
    guard interface.mtuRequest != nil || interface.hardwareAddress != nil, !interface.kind.isDeviceless else {
      return nil
    }
    do throws(LinkError) {
      try withLinks { links throws(LinkError) in
        let link = try links.link(named: linkName)
        if let mtu = interface.mtuRequest, mtu != link.mtu { try links.setMTU(mtu, index: link.index) }
        if let address = interface.hardwareAddress, address != link.macAddress, interface.kind == .internal {
          try links.setMACAddress(address, index: link.index)
        }
      }
    } catch { return error.configError }
    return nil
  }

  /// Asks the system about the port's link.
  /// - Parameters:
  ///   - engine: how its packets are read and written.
  ///   - ownLinks: a service for the switch's own namespace, opened when first needed.
  ///   - watch: begins to listen in a namespace, before it is asked; false if that can't be done.
  /// - Returns: what it says, and where the link is: in another namespace, and then whether its events are heard.
  func describeLink(
    engine: String, _ ownLinks: inout LinkService?, watch: (NetworkNamespace) -> Bool
  ) throws(LinkError) -> (description: LinkDescription, isForeign: Bool, isHeard: Bool) {
    let name = try currentLinkName()
    guard let namespace = foreignNamespace() else {
      let links: LinkService
      if let opened = ownLinks { links = opened } else { links = try LinkService() }
      ownLinks = links
      return (try describeLink(named: name, engine: engine, links), false, true)
    }
    defer { close(namespace) }
    let isHeard = watch(.descriptor(namespace))
    return (try describeLink(named: name, engine: engine, LinkService(.descriptor(namespace))), true, isHeard)
  }

  /// The name of the port's link; throws if the device has gone, even where another has its name by now.
  private func currentLinkName() throws(LinkError) -> String {
    guard tapDescriptor >= 0 else { return config.interface.name }
    guard let name = tapName() else { throw goneError }
    return name
  }

  private func describeLink(
    named name: String, engine: String, _ links: LinkService
  ) throws(LinkError) -> LinkDescription {
    let link = try links.link(named: name)
    if let interfaceIndex, interfaceIndex != link.index { throw goneError }
    let settings = try links.settings(ofLinkNamed: link.name)
    var description = LinkDescription(
      index: link.index, hardwareAddress: link.macAddress, mtu: link.mtu, isAdminUp: link.isAdminUp,
      isOperational: link.isOperational, speed: settings.speedMegabitsPerSecond.map { $0 * 1_000_000 },
      isFullDuplex: settings.isFullDuplex)
    if link.name != config.interface.name { description.status["link_name"] = link.name }
    description.status["driver_name"] = settings.driver
    description.status["io_engine"] = engine
    description.status["netns"] = config.interface.options["netns"]
    return description
  }

  private var goneError: LinkError {
    LinkError(errno: ENODEV, action: "open network device \(config.interface.name)")
  }
}
