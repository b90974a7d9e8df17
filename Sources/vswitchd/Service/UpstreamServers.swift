// Sockets towards the DNS servers that a resolver forwards to. Each question has a socket of its own, whose port the kernel
// chooses at random, connected, so that it takes datagrams of its server alone (RFC 5452 §9.2). On event loops of NIO; any
// thread. Bounds: as many sockets as the resolvers have questions in flight; a message by TCP has at most 65,535 bytes.

import NIOCore
import NIOPosix
import Synchronization
import VSwitchCore

/// What came of a question.
struct UpstreamOutcome: Sendable {
  var network: String
  var number: UInt64
  /// Nil: the server can't be reached.
  var bytes: [UInt8]?
}

final class UpstreamServers: Sendable {
  struct Key: Hashable, Sendable {
    var network: String
    var number: UInt64
  }

  private let group: any EventLoopGroup
  /// Nil: the socket is being opened.
  private let channels = Mutex<[Key: (any Channel)?]>([:])
  private let deliver: @Sendable (UpstreamOutcome) -> Void

  init(
    group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton,
    deliver: @escaping @Sendable (UpstreamOutcome) -> Void
  ) {
    self.group = group
    self.deliver = deliver
  }

  /// Asks; what comes of it is delivered with the key, a datagram after the other until the question is closed.
  func ask(_ key: Key, server: IPAddress, port: Int = 53, _ bytes: [UInt8], overTCP: Bool) {
    channels.withLock { $0[key] = .some(nil) }
    let deliver = deliver
    let fail: @Sendable () -> Void = { deliver(UpstreamOutcome(network: key.network, number: key.number, bytes: nil)) }
    let receive: @Sendable ([UInt8]) -> Void = {
      deliver(UpstreamOutcome(network: key.network, number: key.number, bytes: $0))
    }
    guard let address = try? SocketAddress(ipAddress: server.description, port: port) else { return fail() }
    let connected: EventLoopFuture<any Channel> =
      overTCP
      ? ClientBootstrap(group: group).connectTimeout(.seconds(2)).channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(StreamAnswerHandler(receive: receive, fail: fail))
        }
      }.connect(to: address)
      : DatagramBootstrap(group: group).channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(DatagramAnswerHandler(receive: receive, fail: fail))
        }
      }.connect(to: address)
    connected.whenComplete { [self] result in
      guard case .success(let channel) = result else { return fail() }
      let isWanted = channels.withLock { channels in
        guard channels[key] != nil else { return false }
        channels[key] = .some(channel)
        return true
      }
      guard isWanted else {
        channel.close(promise: nil)
        return
      }
      var buffer = channel.allocator.buffer(capacity: bytes.count + 2)
      if overTCP { buffer.writeInteger(UInt16(clamping: bytes.count)) }
      buffer.writeBytes(bytes)
      let sent =
        overTCP
        ? channel.writeAndFlush(buffer)
        : channel.writeAndFlush(AddressedEnvelope(remoteAddress: address, data: buffer))
      sent.whenFailure { _ in fail() }
    }
  }

  func close(_ key: Key) {
    let channel = channels.withLock { $0.removeValue(forKey: key) }
    if let channel = channel ?? nil { channel.close(promise: nil) }
  }

  func closeAll() {
    let all = channels.withLock { channels in
      defer { channels = [:] }
      return channels.values.compactMap(\.self)
    }
    for channel in all { channel.close(promise: nil) }
  }
}

/// Datagrams of the one server.
private final class DatagramAnswerHandler: ChannelInboundHandler {
  typealias InboundIn = AddressedEnvelope<ByteBuffer>
  private let receive: @Sendable ([UInt8]) -> Void
  private let fail: @Sendable () -> Void

  init(receive: @escaping @Sendable ([UInt8]) -> Void, fail: @escaping @Sendable () -> Void) {
    self.receive = receive
    self.fail = fail
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    receive(Array(unwrapInboundIn(data).data.readableBytesView))
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { fail() }
}

/// One message with its length before it (RFC 1035 §4.2.2).
private final class StreamAnswerHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  private let receive: @Sendable ([UInt8]) -> Void
  private let fail: @Sendable () -> Void
  private var received: [UInt8] = []
  private var isDone = false

  init(receive: @escaping @Sendable ([UInt8]) -> Void, fail: @escaping @Sendable () -> Void) {
    self.receive = receive
    self.fail = fail
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard !isDone else { return }
    received += unwrapInboundIn(data).readableBytesView
    guard received.count >= 2 else { return }
    let count = Int(received[0]) << 8 | Int(received[1])
    guard received.count >= count + 2 else { return }
    isDone = true
    receive(Array(received[2..<(2 + count)]))
  }

  func channelInactive(context: ChannelHandlerContext) {
    if !isDone { fail() }
    isDone = true
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
