// Files of a few kilobytes that are read whole: /proc, /etc. Any thread; blocks for as long as the kernel does.

import Glibc

enum SmallFile {
  static let byteLimit = 1 << 20

  /// The file's text; nil if it can't be read or is larger than the limit.
  static func text(_ path: String) -> String? {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var text: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 16384)
    while text.count <= byteLimit {
      let count = unsafe read(descriptor, &buffer, buffer.count)
      if count == 0 { return String(decoding: text, as: UTF8.self) }
      if count < 0 {
        if errno == EINTR { continue }
        return nil
      }
      text += buffer[..<count]
    }
    return nil
  }
}
