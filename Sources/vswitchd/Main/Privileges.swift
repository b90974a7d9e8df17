// The privileges of the running daemon: what it needs and nothing else. Thread: main, before any other thread, since
// Linux keeps all of this per thread and lets new threads inherit it. Docs/security.md says why each is needed.

import COFlow
import VSwitchCore

enum Privileges {
  /// Bits of capabilities(7).
  private static let networkBroadcast: UInt64 = 1 << 11
  private static let networkAdministration: UInt64 = 1 << 12
  private static let rawSockets: UInt64 = 1 << 13
  private static let systemAdministration: UInt64 = 1 << 21

  /// CAP_NET_ADMIN: make taps, set links. CAP_NET_RAW: packet sockets of `system` ports. CAP_SYS_ADMIN: setns(2) into
  /// the namespaces of `options:netns`. CAP_NET_BROADCAST: link events from there.
  static let kept = networkAdministration | rawSockets | systemAdministration | networkBroadcast

  /// - Throws: what is missing and how to start the daemon with it.
  static func check() throws(ConfigError) {
    let effective = coflow_effective_capabilities()
    for (bit, name) in [(networkAdministration, "CAP_NET_ADMIN"), (rawSockets, "CAP_NET_RAW")]
    where effective & bit == 0 {
      throw ConfigError(
        cause: "no permission to manage network devices (\(name) is missing)",
        remedy: "start vswitchd as root or by its systemd unit")
    }
  }

  /// Gives up everything else for good.
  static func drop() throws(ConfigError) {
    let steps: [(String, () -> Int32)] = [
      ("reduce capabilities", { coflow_limit_capabilities(kept) }),
      ("set no_new_privs", { coflow_forbid_new_privileges() }),
      ("install the system call filter", { coflow_filter_system_calls() }),
    ]
    for (what, step) in steps {
      let result = step()
      if result < 0 {
        throw ConfigError(
          cause: "could not \(what) (\(SystemError.text(-result)))",
          remedy: "allow it in the container or unit that vswitchd runs in")
      }
    }
  }
}
