// A port that is open: what control code knows of it while the worker uses its queues.

import COFlow
import Glibc
import VSwitchCore

/// Bridge and name: how a configured port is found again.
struct PortKey: Hashable, Sendable {
  var bridge: String
  var name: String
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

  /// Its number as flow tables have it.
  var number: PortNumber { PortNumber(openFlow10: portNumber) }

  /// Whether the device behind the port has gone, so that the port has to be opened anew.
  func isDeviceGone() -> Bool {
    switch config.interface.kind {
    case .tap, .internal:
      return unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(IFNAMSIZ)) { name in
        unsafe coflow_tap_name(tapDescriptor, name.baseAddress) != 0
      }
    case .system:
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
  var linkName: String {
    guard tapDescriptor >= 0 else { return config.interface.name }
    return unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(IFNAMSIZ) + 1) { name in
      unsafe name.initialize(repeating: 0)
      guard let base = name.baseAddress, unsafe coflow_tap_name(tapDescriptor, base) == 0 else {
        return config.interface.name
      }
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

  /// Fills in what the system says of the port's link now.
  /// - Parameter guest: of a vhost-user port.
  func describe(_ state: inout PortState, engine: String, guest: VhostUserDescription?) {
    guard !config.interface.kind.isDeviceless else {
      state.isAdminUp = true
      state.isLinkUp = guest?.isUp ?? true
      state.mtu = guest?.mtu
      state.status = guest?.status ?? [:]
      return
    }
    state.status["io_engine"] = engine
    if let namespace = config.interface.options["netns"] { state.status["netns"] = namespace }
    do throws(LinkError) {
      try withLinks { links throws(LinkError) in
        let link = try links.link(named: linkName)
        state.interfaceIndex = link.index
        state.hardwareAddress = link.macAddress
        state.mtu = link.mtu
        state.isAdminUp = link.isAdminUp
        state.isLinkUp = link.isOperational
        if link.name != config.interface.name { state.status["link_name"] = link.name }
        let settings = try links.settings(ofLinkNamed: link.name)
        state.status["driver_name"] = settings.driver
        state.linkSpeed = settings.speedMegabitsPerSecond.map { $0 * 1_000_000 }
        state.isFullDuplex = settings.isFullDuplex
      }
    } catch {
      if state.error == nil { state.error = error.configError }
    }
  }
}
