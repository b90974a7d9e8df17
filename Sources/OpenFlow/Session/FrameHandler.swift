// Cuts the stream of a connection into messages by the length in each header. Lives on the channel's event loop.

import Glibc
import NIOCore

final class FrameHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let connection: OpenFlowConnection
  private var waiting = ByteBuffer()
  private var batch: [[UInt8]] = []
  private var isBroken = false
  private var decoder = FrequentMessageDecoder()

  init(connection: OpenFlowConnection) { self.connection = connection }

  func handlerAdded(context: ChannelHandlerContext) { if context.channel.isActive { context.read() } }

  func channelActive(context: ChannelHandlerContext) {
    context.fireChannelActive()
    context.read()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    if isBroken { return }
    connection.heard()
    var buffer = Self.unwrapInboundIn(data)
    if waiting.readableBytes == 0 { waiting = buffer } else { waiting.writeBuffer(&buffer) }
    // Behind messages that go the long way all do.
    if batch.isEmpty { connection.handleAtOnce(&waiting, &decoder) }
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
    // What is read next gets a buffer of its own.
    if waiting.readableBytes == 0 { waiting = ByteBuffer() } else { waiting.discardReadBytes() }
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    if !batch.isEmpty {
      connection.received(batch)
      batch = []
    } else if !isBroken {
      context.read()
    }
    if isBroken { connection.end("the peer does not speak OpenFlow") }
    context.fireChannelReadComplete()
  }

  func channelInactive(context: ChannelHandlerContext) {
    connection.ended()
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { connection.end(Self.reason(error)) }

  private static func reason(_ error: any Error) -> String {
    guard let error = error as? IOError else { return "\(error)" }
    return unsafe String(cString: strerror(error.errnoCode))
  }
}
