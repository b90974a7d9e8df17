// What the Open_vSwitch row says of the machine: its operating system, and the name that it has among others. Open
// vSwitch leaves that to its start script, ovs-ctl; this switch has none, so it does it itself, from the same files.

import OVSDB

/// The machine as its Open_vSwitch row tells it.
struct SystemInformation: Sendable, Equatable {
  /// `system_type`, such as "debian".
  var type: String
  /// `system_version`, such as "12".
  var version: String
  /// The value for external_ids:system-id where the row has none: OVN knows the machine by it.
  var identifier: String

  /// - Parameter text: the contents of a file, by its path.
  init(generator: inout some RandomNumberGenerator, text: (String) -> String?) {
    func word(_ path: String) -> String? {
      guard let line = text(path)?.split(whereSeparator: \.isNewline).first.map(String.init) else { return nil }
      let word = line.filter { !$0.isWhitespace }
      return word.isEmpty ? nil : word
    }
    let release = Self.assignments(text("/etc/os-release") ?? "")
    type = word("/etc/openvswitch/system-type.conf") ?? release["ID"] ?? "unknown"
    version = word("/etc/openvswitch/system-version.conf") ?? release["VERSION_ID"] ?? "unknown"
    identifier = word("/etc/openvswitch/system-id.conf") ?? RowUUID(generator: &generator).description
  }

  static func current() -> SystemInformation {
    var generator = SystemRandomNumberGenerator()
    return SystemInformation(generator: &generator, text: SmallFile.text)
  }

  /// os-release(5): NAME=value or NAME="value" by line.
  private static func assignments(_ text: String) -> [String: String] {
    var result: [String: String] = [:]
    for line in text.split(whereSeparator: \.isNewline) where !line.hasPrefix("#") {
      let parts = line.split(separator: "=", maxSplits: 1)
      guard parts.count == 2 else { continue }
      let value = parts[1].filter { $0 != "\"" && $0 != "'" }
      if !value.isEmpty { result[String(parts[0])] = String(value) }
    }
    return result
  }
}
