// Opens what a configured interface asks for. Thread: control code. Errors are in Open vSwitch's words where it has any.

import COFlow
import Glibc
import VSwitchCore

/// What opening gave: the port for the worker (nil for patch ports, which need none) and control's notes.
struct OpenedPort {
  var io: PortIO?
  var tapDescriptor: Int32 = -1
  var interfaceIndex: Int?
}

/// Opens ports.
struct PortOpener {
  let captureDirectory: String
  let runDirectory: String
  let vhostUser: VhostUserService

  /// Opens an interface into a slot.
  /// - Parameters:
  ///   - mailbox: of the worker that the port is for.
  ///   - sockets: those of the pass that the port is opened in.
  func open(
    _ config: PortConfig, slot: UInt16, mailbox: Mailbox, _ sockets: inout PacketSocketSupply
  ) throws(ConfigError) -> OpenedPort {
    switch config.interface.kind {
    case .tap, .internal: return try openTap(config.interface, slot: slot)
    case .system: return try openSystem(config.interface, slot: slot, &sockets)
    case .patch:
      guard let peer = config.interface.options["peer"], !peer.isEmpty else {
        throw ConfigError(
          cause: "\(config.interface.name): patch type requires valid 'peer' argument",
          remedy: "set options:peer to the name of the patch port at the other bridge")
      }
      // Both ends of a router's port have its name. One that names itself alone has no peer (`SlotTable`).
      return OpenedPort()
    case .pcap: return try openPcap(config.interface, slot: slot)
    case .vhostUser, .vhostUserClient: return try openVhostUser(config.interface, slot: slot, mailbox: mailbox)
    }
  }

  // MARK: vhost-user

  private func openVhostUser(
    _ interface: InterfaceConfig, slot: UInt16, mailbox: Mailbox
  ) throws(ConfigError) -> OpenedPort {
    let own = runDirectory + "/" + interface.name
    var endpoint = VhostUserEndpoint.Config(
      name: interface.name, mode: .server, socketPath: own, recordPath: own + ".rings",
      mtuRequest: interface.mtuRequest)
    if interface.kind == .vhostUserClient {
      guard let path = interface.options["vhost-server-path"], !path.isEmpty else {
        throw ConfigError(
          cause: "\(interface.name): vhostuserclient type requires 'vhost-server-path'",
          remedy: "set options:vhost-server-path to the socket on which QEMU listens")
      }
      endpoint.mode = .client
      endpoint.socketPath = path
    }
    return OpenedPort(io: try vhostUser.open(endpoint, slot: slot, mailbox: mailbox))
  }

  // MARK: tap

  private func openTap(_ interface: InterfaceConfig, slot: UInt16) throws(ConfigError) -> OpenedPort {
    let owner = try account(interface, "owner") { name in
      unsafe getpwnam(name).map { unsafe Int32(bitPattern: $0.pointee.pw_uid) }
    }
    let group = try account(interface, "group") { name in
      unsafe getgrnam(name).map { unsafe Int32(bitPattern: $0.pointee.gr_gid) }
    }
    let name = interface.name
    let namespace = interface.options["netns"].map { NetworkNamespace.named($0) } ?? .own
    let descriptor = try openTapDevice(in: namespace)
    guard descriptor >= 0 else { throw tapError(name, -descriptor, namespace) }
    let result = attachTap(descriptor, name, owner: owner, group: group)
    guard result == 0 else {
      close(descriptor)
      throw tapError(name, -result, namespace)
    }
    let features = coflow_tap_offloads(descriptor)
    guard features >= 0 else {
      close(descriptor)
      throw ConfigError(
        cause: "tap \(name) has no offloads (\(systemText(-features)))", remedy: "use Linux 6.1 or later")
    }
    var capabilities: OffloadCapabilities = [.checksum, .tso4, .tso6, .tsoECN]
    if features == 1 { capabilities.formUnion([.uso4, .uso6]) }
    let io = TapPort(slot: slot, descriptor: descriptor, capabilities: capabilities)
    return OpenedPort(io: io, tapDescriptor: descriptor)
  }

  /// - Returns: an open /dev/net/tun of that namespace, or a negative errno.
  private func openTapDevice(in namespace: NetworkNamespace) throws(ConfigError) -> Int32 {
    if case .own = namespace { return coflow_tap_device_open() }
    do throws(LinkError) {
      var opened = try NamespaceBroker.shared.open(in: namespace)
      return opened.takeTun()
    } catch { throw error.configError }
  }

  private func account(
    _ interface: InterfaceConfig, _ key: String, _ lookUp: (String) -> Int32?
  ) throws(ConfigError) -> Int32 {
    guard let text = interface.options[key] else { return -1 }
    guard let id = Int32(text) ?? lookUp(text), id >= 0 else {
      throw ConfigError(
        cause: "\(interface.name): there is no \(key == "owner" ? "user" : "group") \(text)",
        remedy: "set options:\(key) to a name or number that exists")
    }
    return id
  }

  private func tapError(_ name: String, _ error: Int32, _ namespace: NetworkNamespace) -> ConfigError {
    let remedy =
      switch error {
      case EBUSY: "another program has the tap: end it, or choose another name"
      case EINVAL: "a link of that name exists and is no tap: use type=system, or choose another name"
      case EPERM, EACCES: "run the switch with CAP_NET_ADMIN"
      case ENOENT: "load the kernel's tun module (modprobe tun)"
      default: "look at the link with `ip link show \(name)`"
      }
    return ConfigError(cause: "could not open network device \(name) (\(systemText(error)))", remedy: remedy)
  }

  // MARK: system

  private func openSystem(
    _ interface: InterfaceConfig, slot: UInt16, _ sockets: inout PacketSocketSupply
  ) throws(ConfigError) -> OpenedPort {
    let link: Link
    do throws(LinkError) {
      link = try LinkService().link(named: interface.name)
    } catch {
      guard error.code == .noSuchLink else { throw error.configError }
      throw ConfigError(
        cause: "could not open network device \(interface.name) (No such device)",
        remedy: "create the device, or set type=tap to have the switch make one")
    }
    // An existing tap, named without a type. One that no program has is opened as such: a packet socket would only see
    // the wrong end of it. One that a guest has (libvirt's) has its other end there: as another queue of it the switch
    // would take the guest's packets away.
    if link.kind == "tun", !link.isCarrierOn { return try openTap(interface, slot: slot) }
    let socket = sockets.take()
    let result =
      socket.descriptor < 0
      ? socket.descriptor : coflow_packet_bind(socket.descriptor, Int32(truncatingIfNeeded: link.index))
    guard result >= 0 else {
      socket.close()
      throw ConfigError(
        cause: "could not open network device \(interface.name) (\(systemText(-result)))",
        remedy: -result == EPERM ? "run the switch with CAP_NET_RAW" : "check that it is an Ethernet link")
    }
    let io = SystemPort(
      slot: slot, descriptor: socket.descriptor, ring: socket.frames,
      capabilities: [.checksum, .tso4, .tso6, .tsoECN, .uso4, .uso6])
    return OpenedPort(io: io, interfaceIndex: link.index)
  }

  // MARK: pcap

  private func openPcap(_ interface: InterfaceConfig, slot: UInt16) throws(ConfigError) -> OpenedPort {
    let directory = CaptureDirectory(captureDirectory)
    let input = interface.options["rx-file"]
    let output = interface.options["tx-file"]
    guard input != nil || output != nil else {
      throw ConfigError(
        cause: "\(interface.name): a pcap port needs a file",
        remedy: "set options:rx-file to read a capture, options:tx-file to write one")
    }
    let port = PcapPort(slot: slot)
    if let input { try port.read(input, in: directory) }
    if let output { try port.write(output, in: directory) }
    return OpenedPort(io: port)
  }
}

/// Makes an open /dev/net/tun the tap `name`.
/// - Returns: 0 or a negative errno.
private func attachTap(_ descriptor: Int32, _ name: String, owner: Int32, group: Int32) -> Int32 {
  unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(IFNAMSIZ) + 1) { buffer in
    unsafe buffer.initialize(repeating: 0)
    for (position, byte) in name.utf8.prefix(Int(IFNAMSIZ) - 1).enumerated() {
      unsafe buffer[position] = CChar(bitPattern: byte)
    }
    return unsafe coflow_tap_attach(descriptor, buffer.baseAddress, owner, group)
  }
}
