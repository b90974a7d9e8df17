// Messages to the service manager that started us, sd_notify(3): one datagram, no library.

import COFlow
import Logging

enum ServiceManager {
  /// Sends a message such as `READY=1`; does nothing if nobody waits for it.
  static func notify(_ message: String, logger: Logger) {
    guard let socket = Environment.variable("NOTIFY_SOCKET"), !socket.isEmpty else { return }
    let result = unsafe coflow_notify(socket, message)
    if result < 0 {
      logger.warning(
        "could not tell the service manager: check its NOTIFY_SOCKET",
        metadata: ["message": "\(message)", "reason": "\(SystemError.text(-result))"])
    }
  }
}
