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
  /// Changes that have gone into bundles since somebody was answered or something else was asked.
  private var gatheredCount = 0
  /// From so many on more of them are let come before the next is read.
  private static let gatheredLimit = 64
  private static let gatheringTime = TimeAmount.microseconds(300)

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
    if batch.isEmpty {
      let gathered = connection.handleAtOnce(&waiting, &decoder)
      gatheredCount = gathered == 0 ? 0 : gatheredCount + gathered
    }
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
    } else if !isBroken, gatheredCount >= Self.gatheredLimit {
      // A long bundle is written change by change. Read as often, it would cost more than what is done with it.
      context.eventLoop.scheduleTask(in: Self.gatheringTime) { [channel = context.channel] in channel.read() }
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
