// Column `options` of an interface: which keys a type knows, which it needs, and whether its name can be a device's.
// Pure. What a value means is checked by the datapath, which sees the system.

import VSwitchCore

enum InterfaceOptions {
  /// The options that the type knows.
  /// - Throws: in Open vSwitch's words where it has any.
  static func checked(
    _ options: [String: String], kind: InterfaceConfig.Kind, name: String
  ) throws(ConfigError) -> [String: String] {
    switch kind {
    case .internal, .system:
      try checkDeviceName(name)
      return [:]
    case .tap:
      try checkDeviceName(name)
      return try refusingOthers(options, known: ["netns", "owner", "group"], kind, name)
    case .patch:
      guard let peer = options["peer"], !peer.isEmpty else {
        throw ConfigError(
          cause: "\(name): patch type requires valid 'peer' argument",
          remedy: "set options:peer to the name of the patch port at the other end")
      }
      guard peer != name else {
        throw ConfigError(
          cause: "\(name): patch peer must not be self",
          remedy: "set options:peer to the name of the patch port at the other end")
      }
      return ["peer": peer]
    case .pcap:
      guard options["rx-file"] != nil || options["tx-file"] != nil else {
        throw ConfigError(
          cause: "\(name): pcap type requires 'rx-file' or 'tx-file'",
          remedy: "set options:rx-file to a capture to read in, or options:tx-file to one to write")
      }
      return try refusingOthers(options, known: ["rx-file", "tx-file"], kind, name)
    case .vhostUser:
      try checkSocketName(name)
      return [:]
    case .vhostUserClient:
      try checkSocketName(name)
      guard let path = options["vhost-server-path"], !path.isEmpty else {
        throw ConfigError(
          cause: "\(name): vhostuserclient type requires 'vhost-server-path'",
          remedy: "set options:vhost-server-path to the socket on which QEMU listens")
      }
      guard path.hasPrefix("/"), path.utf8.count <= 107, !path.utf8.contains(0) else {
        throw ConfigError(
          cause: "\(name): options:vhost-server-path is no path of a socket",
          remedy: "give an absolute path of at most 107 bytes")
      }
      return ["vhost-server-path": path]
    }
  }

  /// The name of a port that has a socket file, or a file of records, of that name in the run dir.
  private static func checkSocketName(_ name: String) throws(ConfigError) {
    let isValid =
      (1...64).contains(name.utf8.count) && !name.hasPrefix(".")
      && name.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7f && $0 != UInt8(ascii: "/") }
    // Not the daemon's own files.
    let isTaken =
      name.hasSuffix(".sock") || name.hasSuffix(".ctl") || name.hasSuffix(".pid") || name.hasSuffix(".rings")
    guard isValid, !isTaken, !name.contains(".sqlite") else {
      throw ConfigError(
        cause: "could not open network device \(name) (Invalid argument)",
        remedy: "choose a name of 1 to 64 characters without space and slash that is no file of the switch")
    }
  }

  /// A misspelled option of a type of ours must not be passed over in silence; Open vSwitch's types are written by
  /// programs that know more options than this build, and these do not count.
  private static func refusingOthers(
    _ options: [String: String], known: Set<String>, _ kind: InterfaceConfig.Kind, _ name: String
  ) throws(ConfigError) -> [String: String] {
    if let unknown = options.keys.filter({ !known.contains($0) }).min() {
      throw ConfigError(
        cause: "\(name): type \(kind.rawValue) has no option '\(unknown)'",
        remedy: "remove it; it knows " + known.sorted().joined(separator: ", "))
    }
    return options
  }

  /// What Linux takes as a device's name (dev_valid_name): 1 to 15 bytes, no slash, colon or space, not a directory.
  static func checkDeviceName(_ name: String) throws(ConfigError) {
    let isValid =
      (1...15).contains(name.utf8.count) && name != "." && name != ".."
      && name.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7f && $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: ":") }
    guard isValid else {
      throw ConfigError(
        cause: "could not open network device \(name) (Invalid argument)",
        remedy: "choose a name of 1 to 15 characters without space, slash and colon")
    }
  }
}
