// One connection of either end: bytes to messages and back, over a NIO channel.
// Threads: the channel handler lives on its event loop; `send` and `close` may be called from anywhere, and messages
// leave in the order of the calls that one caller makes. Bounds: a piece of input is handed to the consumer and no
// more is read before `readMore()`, so that a peer who talks faster than it is served waits in its own kernel; a peer
// who does not read is cut off when more than the limit waits for it. (One message may exceed the limit: the first
// dump of a large table must be possible.)

import NIOCore
import Synchronization
import Transport

/// A piece of what a peer sent.
struct JSONRPCBatch: Sendable {
  var messages: [JSONValue] = []
  /// The stream stops being JSON after these messages.
  var error: JSONError?
}

final class JSONRPCConnection: Sendable {
  let channel: any Channel
  let batches: AsyncStream<JSONRPCBatch>
  private let continuation: AsyncStream<JSONRPCBatch>.Continuation
  private let pendingOutputByteLimit: Int
  private let state = Mutex(State())

  private struct State {
    var pendingOutputByteCount = 0
    var isCutOff = false
    var lastHeard = NIODeadline.now()
    var hasSpoken = false
    var lastProbe: NIODeadline?
    var failure: String?
  }

  init(channel: any Channel, pendingOutputByteLimit: Int) {
    self.channel = channel
    self.pendingOutputByteLimit = pendingOutputByteLimit
    (batches, continuation) = AsyncStream.makeStream()
  }

  /// When the peer last sent a byte.
  var lastHeard: NIODeadline { state.withLock { $0.lastHeard } }

  /// Whether a whole message has come.
  var hasSpoken: Bool { state.withLock { $0.hasSpoken } }

  /// Why the connection ended, where an error ended it.
  var failure: String? { state.withLock { $0.failure } }

  /// Whether the peer does not keep up with what it is sent.
  var isCongested: Bool { state.withLock { $0.pendingOutputByteCount > pendingOutputByteLimit / 8 } }

  /// The consumer is done with the last batch.
  func readMore() { channel.read() }

  func send(_ message: JSONValue) {
    let bytes = message.serializedBytes()
    let (isAllowed, isFirstRefusal) = state.withLock { state in
      if state.isCutOff { return (false, false) }
      if state.pendingOutputByteCount > pendingOutputByteLimit {
        state.isCutOff = true
        return (false, true)
      }
      state.pendingOutputByteCount += bytes.count
      return (true, false)
    }
    if isFirstRefusal { close() }
    guard isAllowed else { return }
    channel.writeAndFlush(ByteBuffer(bytes: bytes)).whenComplete { [self] _ in
      state.withLock { $0.pendingOutputByteCount -= bytes.count }
    }
  }

  /// Asks a silent peer for a sign of life.
  /// - Returns: false if it has said nothing since it was asked before.
  func probe() -> Bool {
    let isFirst = state.withLock { state in
      if let last = state.lastProbe, state.lastHeard < last { return false }
      state.lastProbe = .now()
      return true
    }
    if isFirst { send(["id": "echo", "method": "echo", "params": []]) }
    return isFirst
  }

  func close() { channel.close(mode: .all, promise: nil) }

  /// Closes when what was sent before is out, and after 5 s at the latest.
  func closeAfterFlush() {
    channel.writeAndFlush(ByteBuffer()).whenComplete { [channel] _ in channel.close(mode: .all, promise: nil) }
    channel.eventLoop.scheduleTask(in: .seconds(5)) { [channel] in channel.close(mode: .all, promise: nil) }
  }

  fileprivate func received(_ batch: JSONRPCBatch) {
    if !batch.messages.isEmpty { state.withLock { $0.hasSpoken = true } }
    continuation.yield(batch)
  }
  fileprivate func failed(_ error: any Error) { state.withLock { $0.failure = TransportError.reason(error) } }
  fileprivate func heard() { state.withLock { $0.lastHeard = .now() } }
  fileprivate func ended() { continuation.finish() }
}

/// What the unfinished messages of all clients of a listener may take together. A client may always have a share of
/// its own; beyond that, whoever asks for more than is left is refused.
final class JSONRPCInputBudget: Sendable {
  static let ownShare = 256 << 10
  private let left: Mutex<Int>

  init(byteLimit: Int) { left = Mutex(byteLimit) }

  /// - Returns: false if there is no room for it: nothing was changed.
  func change(from old: Int, to new: Int) -> Bool {
    let growth = max(new - Self.ownShare, 0) - max(old - Self.ownShare, 0)
    return left.withLock { left in
      if growth > left { return false }
      left -= growth
      return true
    }
  }
}

/// The handler at the end of the channel's pipeline.
final class JSONRPCChannelHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let connection: JSONRPCConnection
  private var parser: JSONParser
  private var batch = JSONRPCBatch()
  private var isFinished = false
  private let budget: JSONRPCInputBudget?
  private var bufferedByteCount = 0

  init(connection: JSONRPCConnection, limits: JSONLimits, budget: JSONRPCInputBudget? = nil) {
    self.connection = connection
    self.budget = budget
    parser = JSONParser(limits: limits)
  }

  func channelActive(context: ChannelHandlerContext) {
    context.fireChannelActive()
    context.read()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    connection.heard()
    if isFinished { return }
    let buffer = Self.unwrapInboundIn(data)
    parser.append(buffer.readableBytesView)
    do throws(JSONError) {
      while let message = try parser.next() { batch.messages.append(message) }
    } catch {
      batch.error = error
      isFinished = true
    }
    settle(isFinished ? 0 : parser.bufferedByteCount)
  }

  private func settle(_ count: Int) {
    guard let budget else { return }
    if budget.change(from: bufferedByteCount, to: count) {
      bufferedByteCount = count
      return
    }
    batch.error = JSONError(description: "the server holds too many unfinished messages", byteOffset: count)
    isFinished = true
    parser = JSONParser()
    settle(0)
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    if !batch.messages.isEmpty || batch.error != nil {
      connection.received(batch)
      batch = JSONRPCBatch()
    } else if !isFinished {
      context.read()
    }
    context.fireChannelReadComplete()
  }

  func channelInactive(context: ChannelHandlerContext) {
    settle(0)
    connection.ended()
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    connection.failed(error)
    context.close(promise: nil)
  }
}
