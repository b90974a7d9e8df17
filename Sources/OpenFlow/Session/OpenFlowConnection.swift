// One OpenFlow connection of a switch: bytes to messages and back, greeting, order.
//
// Threads: the channel handler lives on its event loop; `send` and `close` may be called from anywhere. Bounds: what has come
// is handed on and no more is read before it was handled, so that a peer who talks faster than it is served waits in its own
// kernel; a peer who does not read is cut off when more than the limit waits for it. A message has 64 KB at most.
// Standard: OpenFlow 1.5 §6.3.1 (connection setup), §7.5.1 (hello).

import NIOCore
import Synchronization

/// Serves what a peer asks on one connection.
package protocol OpenFlowHandler: Sendable {
  /// Both sides have agreed on a version.
  func connected(_ connection: OpenFlowConnection, version: OpenFlowVersion) async
  /// Answers one message; the next one waits for it.
  func handle(_ message: Message, from connection: OpenFlowConnection) async
  /// A message that can't be read was refused.
  func refused(_ error: OpenFlowError) async
}

/// A connection to a controller or a management program.
package final class OpenFlowConnection: Sendable {
  /// Bytes that may wait for the peer.
  private static let pendingOutputByteLimit = 16 << 20

  package let channel: any Channel
  private let batches: AsyncStream<[[UInt8]]>
  private let continuation: AsyncStream<[[UInt8]]>.Continuation
  private let state = Mutex(State())

  private struct State {
    var pendingOutputByteCount = 0
    var isCutOff = false
    var lastHeard = NIODeadline.now()
    var decoder = MessageDecoder()
    /// Packets for the peer that were dropped because it does not read.
    var droppedCount: UInt64 = 0
  }

  package init(_ channel: any Channel) {
    self.channel = channel
    (batches, continuation) = AsyncStream.makeStream()
  }

  /// Adds the handler of bytes to the channel, which must not read by itself.
  package func install() throws {
    try channel.pipeline.syncOperations.addHandler(FrameHandler(connection: self))
  }

  /// When the peer last sent a byte.
  package var lastHeard: NIODeadline { state.withLock { $0.lastHeard } }

  /// Whether so much waits for the peer that what nobody asked for is better dropped.
  package var isCongested: Bool { state.withLock { $0.pendingOutputByteCount > 1 << 20 } }

  /// Whether flow changes of 1.0 name a table (NXT_FLOW_MOD_TABLE_ID).
  package func setFlowModTableID(_ isOn: Bool) { state.withLock { $0.decoder.flowModTableID = isOn } }

  /// Greets, agrees on a version, and hands each message to the handler, in order, until the connection ends.
  package func serve(_ versions: VersionSet, _ handler: some OpenFlowHandler) async {
    guard let highest = versions.highest else { return close() }
    send(Message(highest, .hello(Hello(versions: versions))))
    var version: OpenFlowVersion?
    for await batch in batches {
      for bytes in batch {
        do throws(DecodeFailure) {
          let message = try state.withLock { $0.decoder }.decode(bytes)
          if version == nil {
            version = agree(message, versions)
            guard let version else { return }
            await handler.connected(self, version: version)
          } else {
            await handler.handle(message, from: self)
          }
        } catch {
          guard version != nil, case .refused(let refusal) = error else {
            close()
            return
          }
          await handler.refused(refusal)
          send(refusal.message)
        }
      }
      channel.read()
    }
  }

  /// The version to speak; nil, and the connection ends, if there is none.
  private func agree(_ message: Message, _ versions: VersionSet) -> OpenFlowVersion? {
    guard case .hello(let hello) = message.body else {
      close()
      return nil
    }
    if let version = hello.versions.intersection(versions).highest { return version }
    let ours = OpenFlowVersion.allCases.filter { versions.contains(VersionSet([$0])) }.map(\.name)
    let text = "no common OpenFlow version: this switch speaks \(ours.joined(separator: ", "))"
    send(
      Message(
        versions.highest ?? .v10, xid: message.xid,
        .error(ErrorMessage(.helloFailedIncompatible, data: Array(text.utf8)))))
    closeAfterFlush()
    return nil
  }

  /// Sends a message; one that its version has no words for is left out.
  package func send(_ message: Message) {
    guard let parts = try? MessageEncoder().encodeParts(message) else { return }
    var buffer = channel.allocator.buffer(capacity: parts.reduce(0) { $0 + $1.count })
    for part in parts { buffer.writeBytes(part) }
    let count = buffer.readableBytes
    let (isAllowed, isFirstRefusal) = state.withLock { state in
      if state.isCutOff { return (false, false) }
      if state.pendingOutputByteCount > Self.pendingOutputByteLimit {
        state.isCutOff = true
        return (false, true)
      }
      state.pendingOutputByteCount += count
      return (true, false)
    }
    if isFirstRefusal { close() }
    guard isAllowed else { return }
    channel.writeAndFlush(buffer).whenComplete { [self] _ in state.withLock { $0.pendingOutputByteCount -= count } }
  }

  package func close() { channel.close(mode: .all, promise: nil) }

  /// Closes when what was sent before is out, and after 5 s at the latest.
  private func closeAfterFlush() {
    channel.writeAndFlush(ByteBuffer()).whenComplete { [channel] _ in channel.close(mode: .all, promise: nil) }
    channel.eventLoop.scheduleTask(in: .seconds(5)) { [channel] in channel.close(mode: .all, promise: nil) }
  }

  fileprivate func received(_ batch: [[UInt8]]) {
    state.withLock { $0.lastHeard = .now() }
    continuation.yield(batch)
  }
  fileprivate func ended() { continuation.finish() }
}

/// Cuts the stream into messages by the length in each header.
private final class FrameHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let connection: OpenFlowConnection
  private var waiting = ByteBuffer()
  private var batch: [[UInt8]] = []
  private var isBroken = false

  init(connection: OpenFlowConnection) { self.connection = connection }

  func handlerAdded(context: ChannelHandlerContext) { if context.channel.isActive { context.read() } }

  func channelActive(context: ChannelHandlerContext) {
    context.fireChannelActive()
    context.read()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    if isBroken { return }
    var buffer = Self.unwrapInboundIn(data)
    waiting.writeBuffer(&buffer)
    do throws(DecodeFailure) {
      while let count = try MessageDecoder.messageByteCount(waiting.readableBytesView),
        let bytes = waiting.readBytes(length: count)
      {
        batch.append(bytes)
      }
    } catch {
      // What came before is still handled.
      isBroken = true
    }
    waiting.discardReadBytes()
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    if !batch.isEmpty {
      connection.received(batch)
      batch = []
    } else if !isBroken {
      context.read()
    }
    if isBroken { context.close(promise: nil) }
    context.fireChannelReadComplete()
  }

  func channelInactive(context: ChannelHandlerContext) {
    connection.ended()
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
