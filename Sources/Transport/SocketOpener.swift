// Sockets of every kind of endpoint, listening and connecting, as all of this switch's protocols have them: a unix socket is
// private from birth and serves root and our own user alone; TLS wants a certificate of both ends. Channels do not read
// by themselves. Threads: any; `open` is called on the new channel's event loop.

import Glibc
import Logging
import NIOCore
import NIOPosix
import NIOSSL

/// How one endpoint is listened on or connected to.
package struct SocketOpener: Sendable {
  private let endpoint: Endpoint
  private let tls: ServerTLS?
  private let group: any EventLoopGroup
  private let logger: Logger
  private let open: @Sendable (any Channel) throws -> Void

  /// - Parameters:
  ///   - tls: for an `ssl` endpoint; its files are read again for each connection.
  ///   - open: adds a protocol's handlers to a new channel; a throw refuses it.
  package init(
    _ endpoint: Endpoint, tls: ServerTLS?, group: any EventLoopGroup, logger: Logger,
    open: @escaping @Sendable (any Channel) throws -> Void
  ) {
    self.endpoint = endpoint
    self.tls = tls
    self.group = group
    self.logger = logger
    self.open = open
  }

  /// Listens.
  /// - Throws: `TransportError`; wrong TLS files are told now, not to the first client.
  package func listen(backlog: Int32 = 128) async throws -> any Channel {
    if endpoint.isTLS { _ = try context() }
    let bootstrap = ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: backlog)
      .childChannelOption(.autoRead, value: false)
      .childChannelInitializer { channel in admit(channel) }
    switch endpoint {
    case .unix(let path):
      let socket = try UnixListener(path: path)
      do {
        let listener = try await bootstrap.withBoundSocket(socket.descriptor).get()
        try socket.publish()
        return listener
      } catch {
        socket.discard()
        throw error is TransportError ? error : TransportError("cannot listen on \(path): \(error)")
      }
    case .tcp(let host, let port), .ssl(let host, let port):
      do {
        return try await bootstrap.serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
          .bind(host: host, port: port).get()
      } catch {
        throw TransportError(
          "cannot listen on \(endpoint): \(TransportError.reason(error)): choose a free port of this host")
      }
    }
  }

  /// Connects, in 10 s at most; TLS is not agreed on yet when this returns.
  /// - Throws: `TransportError`, the cause.
  package func connect() async throws -> any Channel {
    if endpoint.isTLS { _ = try context() }
    let bootstrap = ClientBootstrap(group: group)
      .channelOption(.autoRead, value: false)
      .connectTimeout(.seconds(10))
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          // Names are not checked: certificates of Open vSwitch name switches and not hosts (ovs-pki(8)).
          if endpoint.isTLS {
            try channel.pipeline.syncOperations.addHandler(
              NIOSSLClientHandler(context: context(), serverHostname: nil))
          }
          try open(channel)
        }
      }
    do {
      switch endpoint {
      case .unix(let path): return try await bootstrap.connect(unixDomainSocketPath: path).get()
      case .tcp(let host, let port), .ssl(let host, let port):
        return try await bootstrap.connect(host: host, port: port).get()
      }
    } catch {
      throw error is TransportError ? error : TransportError(TransportError.reason(error))
    }
  }

  /// Removes the file of a unix socket that is closed.
  package func removeFile() {
    if case .unix(let path) = endpoint { _ = unsafe unlink(path) }
  }

  private func admit(_ channel: any Channel) -> EventLoopFuture<Void> {
    guard case .unix = endpoint else {
      return channel.eventLoop.makeCompletedFuture {
        if endpoint.isTLS {
          try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context()))
        }
        try open(channel)
      }
    }
    return UnixPeer.check(channel, logger).flatMapThrowing { try open(channel) }
  }

  private func context() throws(TransportError) -> NIOSSLContext {
    guard let tls else {
      throw TransportError("\(endpoint) needs TLS keys: give them with set-ssl PRIVATE-KEY CERTIFICATE CA-CERT")
    }
    return try tls.context()
  }
}
