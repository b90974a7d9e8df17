// Who is at the other end of a unix socket: only root and the user that the daemon runs as are served.

import Glibc
import Logging
import NIOCore
import NIOPosix

enum UnixPeer {
  /// Fails for a peer of another user.
  static func check(_ channel: any Channel, _ logger: Logger) -> EventLoopFuture<Void> {
    guard let provider = channel as? any SocketOptionProvider else {
      return channel.eventLoop.makeFailedFuture(TransportError("not a socket"))
    }
    let credentials: EventLoopFuture<PeerCredentials> = provider.unsafeGetSocketOption(
      level: .socket, name: NIOBSDSocket.Option(rawValue: SO_PEERCRED))
    return credentials.flatMapThrowing { peer in
      guard peer.uid == 0 || peer.uid == geteuid() else {
        logger.warning("client refused: it runs as another user", metadata: ["uid": "\(peer.uid)"])
        throw TransportError("client of uid \(peer.uid) refused")
      }
    }
  }
}

/// Linux's `struct ucred` (unix(7), SO_PEERCRED).
private struct PeerCredentials: Sendable {
  var pid: Int32 = 0
  var uid: UInt32 = 0
  var gid: UInt32 = 0
}
