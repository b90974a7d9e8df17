// The privileges of the running daemon: what it needs and nothing else. Thread: main, before any other thread, since
// Linux keeps all of this per thread and lets new threads inherit it. Docs/security.md says why each is needed.

import COFlow
import VSwitchCore

enum Privileges {
  /// Bits of capabilities(7).
  private static let networkAdministration: UInt64 = 1 << 12
  private static let rawSockets: UInt64 = 1 << 13

  /// CAP_NET_ADMIN: make taps, set links. CAP_NET_RAW: packet sockets of `system` ports. What takes more is opened
  /// before (`LinkMonitorSocket`) or by another process (`NamespaceBroker`).
  static let kept = networkAdministration | rawSockets

  /// What will not work for want of a capability; empty if all will. Taps that exist and belong to the daemon's user,
  /// and vhost-user ports, need none.
  static func missing() -> [String] {
    let effective = coflow_effective_capabilities()
    return [
      (
        networkAdministration,
        "CAP_NET_ADMIN is missing: taps are not made and links not set, only taps of this user open"
      ),
      (rawSockets, "CAP_NET_RAW is missing: no packet sockets, so no ports of type system"),
    ].filter { effective & $0.0 == 0 }.map(\.1)
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
