// One typed error for links, addresses and namespaces, in words that a user can act on. Thread: a value; any.

import CNetlink
import COFlow
import Glibc
import VSwitchCore

/// Why a link, address or namespace operation failed; printed as one line.
package struct LinkError: Error, Equatable, Sendable, CustomStringConvertible {
  /// What code may want to tell apart.
  package enum Code: Sendable {
    case noSuchLink, noSuchNamespace, alreadyExists, notPermitted, invalidName, invalidValue, busy, notSupported
    case noSuchAddress, systemFailure
  }

  package var code: Code
  /// What is wrong, without a full stop.
  package var cause: String
  /// What would mend it, as an imperative.
  package var remedy: String

  package init(_ code: Code, cause: String, remedy: String) {
    self.code = code
    self.cause = cause
    self.remedy = remedy
  }

  package var description: String { "\(cause): \(remedy)" }

  /// The same in the form that configuration is reported in.
  package var configError: ConfigError { ConfigError(cause: cause, remedy: remedy) }

  /// From errno.
  /// - Parameters:
  ///   - errno: positive.
  ///   - action: what was tried, as "set the MTU of link tap0 in namespace blue".
  init(errno: Int32, action: String) {
    let reason = systemText(errno)
    let code: Code
    let remedy: String
    switch errno {
    case ENODEV, ENXIO: (code, remedy) = (.noSuchLink, "check the name, or create the link first")
    case EPERM, EACCES:
      (code, remedy) = (.notPermitted, "run as root or with CAP_NET_ADMIN (namespaces: CAP_SYS_ADMIN)")
    case EEXIST: (code, remedy) = (.alreadyExists, "use another name, or remove what has it now")
    case EINVAL, ERANGE: (code, remedy) = (.invalidValue, "give a value that the link's driver accepts")
    case EBUSY: (code, remedy) = (.busy, "set the link down or release it elsewhere first")
    case EOPNOTSUPP, EAFNOSUPPORT: (code, remedy) = (.notSupported, "use a kernel and driver that support it")
    case EADDRNOTAVAIL: (code, remedy) = (.noSuchAddress, "check the address")
    default: (code, remedy) = (.systemFailure, "see the kernel's log (dmesg), then try again")
    }
    self.init(code, cause: "could not \(action) (\(reason))", remedy: remedy)
  }

  /// From a libnl return value, negative or not (`NLE_…`).
  init(netlink code: Int32, action: String) {
    let errno: Int32? =
      switch abs(code) {
      case NLE_NODEV: ENODEV
      case NLE_OBJ_NOTFOUND: ENODEV
      case NLE_PERM: EPERM
      case NLE_NOACCESS: EACCES
      case NLE_EXIST: EEXIST
      case NLE_INVAL: EINVAL
      case NLE_RANGE: ERANGE
      case NLE_BUSY: EBUSY
      case NLE_OPNOTSUPP: EOPNOTSUPP
      case NLE_AF_NOSUPPORT: EAFNOSUPPORT
      case NLE_NOADDR: EADDRNOTAVAIL
      case NLE_NOMEM: ENOMEM
      default: nil
      }
    if let errno {
      self.init(errno: errno, action: action)
    } else {
      let reason = unsafe String(cString: nl_geterror(code))
      self.init(
        .systemFailure, cause: "could not \(action) (\(reason))", remedy: "see the kernel's log (dmesg), then try again"
      )
    }
  }
}

/// The system's text for an errno value.
func systemText(_ errno: Int32) -> String {
  unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { text in
    guard let base = text.baseAddress, unsafe coflow_error_text(errno, base, 256) == 0 else { return "error \(errno)" }
    return unsafe String(cString: base)
  }
}
