// What ovs-ofctl 3.1.0 sent to a switch: `Recordings/ovs-ofctl.txt`, made by `Recordings/record.py`. Thread: any.

import Foundation

/// A message and the command that sent it.
struct Recording: Sendable, CustomStringConvertible {
  let command: String
  let bytes: [UInt8]
  var description: String { command }

  static let all: [Recording] = {
    let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("Recordings/ovs-ofctl.txt")
    let text = (try? String(contentsOf: path, encoding: .utf8)) ?? ""
    return text.split(separator: "\n").compactMap { line in
      let parts = line.split(separator: "|", maxSplits: 1)
      guard parts.count == 2, let end = parts[1].lastIndex(of: "|") else { return nil }
      return Recording(
        command: "\(parts[0]) \(parts[1][..<end])",
        bytes: OpenFlowTests.bytes(hex: String(parts[1][end...].dropFirst())))
    }
  }()
}
