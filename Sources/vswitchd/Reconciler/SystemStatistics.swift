// Open_vSwitch.statistics, for those who asked by other_config:enable-statistics: the keys and units of
// ovs-vswitchd.conf.db(5). The texts of /proc are read by pure functions; `current` asks the system, which blocks for as
// long as its file systems do.

import Glibc

enum SystemStatistics {
  /// All that can be told; what can't is left out.
  static func current() -> [String: String] {
    var result: [String: String] = [:]
    result["cpu"] = String(max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))))
    result["load_average"] = SmallFile.text("/proc/loadavg").flatMap(loadAverage)
    result["memory"] = SmallFile.text("/proc/meminfo").flatMap(memory)
    var now = timespec()
    if unsafe clock_gettime(CLOCK_BOOTTIME, &now) == 0, let text = SmallFile.text("/proc/self/stat") {
      result["process_vswitchd"] = process(
        text, pageKilobytes: sysconf(Int32(_SC_PAGESIZE)) / 1024, ticksPerSecond: sysconf(Int32(_SC_CLK_TCK)),
        uptimeMilliseconds: now.tv_sec * 1000 + now.tv_nsec / 1_000_000)
    }
    result["file_systems"] = SmallFile.text("/proc/self/mounts").flatMap { fileSystems($0, size: size) }
    return result
  }

  /// Of the last 1, 5 and 15 minutes.
  static func loadAverage(_ text: String) -> String? {
    let words = text.split(separator: " ").prefix(3)
    guard words.count == 3, words.allSatisfy({ Double($0) != nil }) else { return nil }
    return words.joined(separator: ",")
  }

  /// Kilobytes: RAM, RAM in use, of that what could be dropped, swap, swap in use.
  static func memory(_ text: String) -> String? {
    var values: [Substring: Int] = [:]
    for line in text.split(separator: "\n") {
      let words = line.split(whereSeparator: { $0 == " " || $0 == ":" })
      if words.count >= 2, let value = Int(words[1]) { values[words[0]] = value }
    }
    guard let total = values["MemTotal"], let free = values["MemFree"] else { return nil }
    let cached = (values["Buffers"] ?? 0) + (values["Cached"] ?? 0)
    let swap = values["SwapTotal"] ?? 0
    let numbers = [total, total - free, cached, swap, swap - (values["SwapFree"] ?? 0)]
    return numbers.map { String($0) }.joined(separator: ",")
  }

  /// Kilobytes of virtual and resident memory; milliseconds of processor time; crashes; milliseconds since the first
  /// and since the last start. This daemon has no monitor process: it has not crashed, and started once.
  /// - Parameter text: /proc/PID/stat (proc(5)).
  static func process(
    _ text: String, pageKilobytes: Int, ticksPerSecond: Int, uptimeMilliseconds: Int
  ) -> String? {
    // The second word is the program's name, in which anything may be.
    guard let end = text.lastIndex(of: ")"), ticksPerSecond > 0 else { return nil }
    let words = text[text.index(after: end)...].split(separator: " ")
    guard words.count > 21, let user = Int(words[11]), let system = Int(words[12]), let start = Int(words[19]),
      let virtualBytes = Int(words[20]), let residentPages = Int(words[21])
    else { return nil }
    let processor = (user + system) * 1000 / ticksPerSecond
    let age = max(0, uptimeMilliseconds - start * 1000 / ticksPerSecond)
    return [virtualBytes / 1024, residentPages * pageKilobytes, processor, 0, age, age].map { String($0) }
      .joined(separator: ",")
  }

  /// Local, writable file systems: mount point, kilobytes, kilobytes in use.
  /// - Parameters:
  ///   - text: /proc/self/mounts (fstab(5)).
  ///   - size: kilobytes in all and in use by mount point; nil if that can't be told.
  static func fileSystems(_ text: String, size: (String) -> (total: UInt64, used: UInt64)?) -> String? {
    var items: [String] = []
    for line in text.split(separator: "\n") {
      let words = line.split(separator: " ")
      guard words.count >= 4, words[0].hasPrefix("/"), words[3].split(separator: ",").contains("rw") else { continue }
      let point = unescaped(words[1])
      guard let (total, used) = size(point), total > 0 else { continue }
      let name = String(point.map { $0 == " " || $0 == "," ? "_" : $0 })
      items.append("\(name),\(total),\(used)")
    }
    return items.isEmpty ? nil : items.joined(separator: " ")
  }

  /// `\040` and its like as the characters that they stand for.
  private static func unescaped(_ text: Substring) -> String {
    var bytes: [UInt8] = []
    var rest = text.utf8[...]
    while let byte = rest.popFirst() {
      let digits = rest.prefix(3)
      if byte == UInt8(ascii: "\\"), digits.count == 3, let code = UInt8(String(Substring(digits)), radix: 8) {
        bytes.append(code)
        rest = rest.dropFirst(3)
      } else {
        bytes.append(byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  private static func size(_ point: String) -> (total: UInt64, used: UInt64)? {
    var status = statvfs()
    guard unsafe statvfs(point, &status) == 0 else { return nil }
    let unit = UInt64(status.f_frsize)
    let free = min(status.f_bfree, status.f_blocks)
    func kilobytes(_ blocks: UInt64) -> UInt64 { blocks.multipliedReportingOverflow(by: unit).partialValue / 1024 }
    return (kilobytes(UInt64(status.f_blocks)), kilobytes(UInt64(status.f_blocks - free)))
  }
}
