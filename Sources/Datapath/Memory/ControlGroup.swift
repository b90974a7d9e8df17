// The memory limit of the control group that the daemon runs in (`MemoryMax=` of a unit, a container's limit): no allocation
// fails at it, the kernel ends the process instead. So what grows asks first.
//
// Thread: any; each question reads a few files of /sys/fs/cgroup. Standard: the kernel's Documentation/admin-guide/cgroup-v2.rst
// ("memory.max", "memory.current", "memory.stat"), cgroup-v1/memory.rst.

import Foundation

/// A control group and those around it.
struct ControlGroup: Sendable {
  /// Directories of the group and those that it is in, as far as they limit memory.
  private let directories: [String]

  /// The group that this process is in.
  static let own = ControlGroup(
    (try? String(contentsOfFile: "/proc/self/cgroup", encoding: .utf8)) ?? "", root: "/sys/fs/cgroup")

  /// - Parameters:
  ///   - list: lines `number:controllers:path` (cgroups(7)); version 2 has the number 0.
  ///   - root: where the hierarchy is mounted.
  init(_ list: String, root: String) {
    var directories: [String] = []
    for line in list.split(separator: "\n") {
      let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard parts.count == 3 else { continue }
      let base: String
      if parts[0] == "0" {
        base = root
      } else if parts[1].split(separator: ",").contains("memory") {
        base = root + "/memory"
      } else {
        continue
      }
      var path = parts[2].split(separator: "/")
      while true {
        directories.append(([base] + path.map(String.init)).joined(separator: "/"))
        if path.popLast() == nil { break }
      }
    }
    self.directories = directories
  }

  /// Whether the limits leave so many bytes more.
  func hasRoom(for byteCount: Int) -> Bool { directories.allSatisfy { Self.room(in: $0) >= byteCount } }

  /// Bytes below the limit of one group: what files are cached in it gives way.
  private static func room(in directory: String) -> Int {
    let limit = number(directory + "/memory.max") ?? number(directory + "/memory.limit_in_bytes")
    guard let limit else { return .max }
    let used = number(directory + "/memory.current") ?? number(directory + "/memory.usage_in_bytes") ?? 0
    var cached = 0
    let statistics = (try? String(contentsOfFile: directory + "/memory.stat", encoding: .utf8)) ?? ""
    for line in statistics.split(separator: "\n") {
      let parts = line.split(separator: " ")
      guard parts.count == 2, parts[0] == "inactive_file" || parts[0] == "active_file" else { continue }
      cached += Int(parts[1]) ?? 0
    }
    return max(limit - max(used - cached, 0), 0)
  }

  /// The number in a file; nil without such a file, or for "max".
  private static func number(_ path: String) -> Int? {
    guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return nil }
    return Int(text.trimmingCharacters(in: .whitespacesAndNewlines))
  }
}
