// Where log lines go: standard error or a file that log rotation may have renamed (SIGHUP opens it anew), and the
// levels that decide. Any thread; one lock, held while a line is written, so that lines never mix.

import Glibc
import Logging
import Synchronization
import VSwitchCore

/// The process's log.
final class LogSink: Sendable {
  private struct State {
    var descriptor: Int32
    var levels: LogLevels
    var limit = LogRateLimit()
  }

  /// Nil for standard error.
  let path: String?
  private let state: Mutex<State>

  /// - Parameter path: file to append to, made with mode 0600; nil for standard error.
  init(path: String?, level: Logger.Level) throws(ConfigError) {
    self.path = path
    let descriptor = if let path { try Self.open(path) } else { STDERR_FILENO }
    state = Mutex(State(descriptor: descriptor, levels: LogLevels(level)))
  }

  /// The levels of all modules.
  var levels: LogLevels { state.withLock { $0.levels } }

  /// The level of a module; nil: it is silent.
  func level(of module: String) -> Logger.Level? { state.withLock { $0.levels[module] } }

  func change(_ body: (inout LogLevels) -> Void) { state.withLock { body(&$0.levels) } }

  /// Opens the file anew under its name; the old one stays in use if that fails.
  func reopen() throws(ConfigError) {
    guard let path else { return }
    let descriptor = try Self.open(path)
    let old = state.withLock { state in
      defer { state.descriptor = descriptor }
      return state.descriptor
    }
    close(old)
  }

  /// Writes one line if its place in the code may log now.
  /// - Parameter text: the line after its time; made only if it will be written.
  func write(site: LogRateLimit.Site, isLimited: Bool, text: () -> String) {
    let now = Self.nowMilliseconds()
    state.withLock { state in
      var suppressed = 0
      if isLimited {
        guard let count = state.limit.admit(site, nowMilliseconds: now) else { return }
        suppressed = count
      }
      var line = LogText.timestamp(millisecondsSince1970: now) + " " + text()
      if suppressed > 0 { line += " suppressed=\(suppressed)" }
      line += "\n"
      line.withUTF8 { bytes in
        // One write: lines of several processes in one file stay whole. A log that can't be written has no
        // better place to say so.
        _ = unsafe Glibc.write(state.descriptor, bytes.baseAddress, bytes.count)
      }
    }
  }

  private static func open(_ path: String) throws(ConfigError) -> Int32 {
    let descriptor = unsafe Glibc.open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0o600)
    guard descriptor >= 0 else {
      throw ConfigError(
        cause: "could not open log file \(path) (\(SystemError.text(errno)))",
        remedy: "make its directory and let the daemon write there, or choose another --log-file")
    }
    return descriptor
  }

  private static func nowMilliseconds() -> Int64 {
    var time = timespec()
    unsafe clock_gettime(CLOCK_REALTIME, &time)
    return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
  }
}
