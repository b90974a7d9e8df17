// One OpenFlow connection of a switch: bytes to messages and back, greeting, order, signs of life.
//
// Threads: the channel handler (FrameHandler.swift) lives on its event loop; the rest may be called from anywhere. Bounds:
// what has come is handed on and no more is read before it was handled, so that a peer who talks faster than it is served
// waits in its own kernel; a peer who does not read is cut off when more than the limit waits for it, and long answers
// wait for it (`drain`), but not for ever. A message has 64 KB at most.
// Standard: OpenFlow 1.5 §6.3.1 (connection setup), §7.5.1 (hello).

import NIOCore
import Synchronization

/// A message with the bytes that it came in: a refusal carries those.
package struct ReceivedMessage: Sendable {
  package let message: Message
  package let bytes: [UInt8]

  package init(_ message: Message, bytes: [UInt8]) {
    self.message = message
    self.bytes = bytes
  }
}

/// Serves what a peer asks on one connection.
package protocol OpenFlowHandler: Sendable {
  /// Both sides have agreed on a version.
  func connected(_ connection: OpenFlowConnection, version: OpenFlowVersion) async
  /// Answers one message; the next one waits for it.
  func handle(_ received: ReceivedMessage, from connection: OpenFlowConnection) async
  /// Makes changes of rules that have come together, in order; what comes behind them waits.
  func handle(flowMods: [ReceivedMessage], from connection: OpenFlowConnection) async
  /// A message that can't be read was refused.
  func refused(_ error: OpenFlowError) async
  /// What it does at once; nil if it has nothing of that kind.
  var immediate: (any ImmediateOpenFlowHandler)? { get }
}

extension OpenFlowHandler {
  package var immediate: (any ImmediateOpenFlowHandler)? { nil }

  package func handle(flowMods: [ReceivedMessage], from connection: OpenFlowConnection) async {
    for received in flowMods { await handle(received, from: connection) }
  }
}

/// Gets a copy of every message of a connection, in both directions.
package protocol OpenFlowMirror: Sendable {
  func copy(_ messages: [[UInt8]])
  /// Whether anybody gets them.
  var isWanted: Bool { get }
}

/// A connection to a controller or a management program.
package final class OpenFlowConnection: Sendable {
  /// Bytes that may wait for the peer.
  private static let pendingOutputByteLimit = 16 << 20
  /// Long answers go on when no more than this waits.
  private static let drainedByteCount = 1 << 20
  /// A peer that takes nothing of a long answer for so long is cut off.
  private static let drainSeconds: Int64 = 30

  package let channel: any Channel
  private let batches: AsyncStream<[[UInt8]]>
  private let continuation: AsyncStream<[[UInt8]]>.Continuation
  private let mirror: (any OpenFlowMirror)?
  private let state = Mutex(State())

  private struct State {
    var pendingOutputByteCount = 0
    var waitingPacketCount = 0
    var droppedCount: UInt64 = 0
    /// Bytes that have gone to the peer.
    var writtenByteCount = 0
    var isCutOff = false
    var hasEnded = false
    var lastHeard = NIODeadline.now()
    var lastProbe: NIODeadline?
    var decoder = MessageDecoder()
    var version: OpenFlowVersion?
    /// Once the version is agreed on.
    var immediate: (any ImmediateOpenFlowHandler)?
    var failure: String?
    /// Who waits for the peer to have read.
    var waiters: [CheckedContinuation<Void, Never>] = []
  }

  package init(_ channel: any Channel, mirror: (any OpenFlowMirror)? = nil) {
    self.channel = channel
    self.mirror = mirror
    (batches, continuation) = AsyncStream.makeStream()
  }

  /// Adds the handler of bytes to the channel, which must not read by itself.
  package func install() throws {
    try channel.pipeline.syncOperations.addHandler(FrameHandler(connection: self))
  }

  /// When the peer last sent a byte.
  package var lastHeard: NIODeadline { state.withLock { $0.lastHeard } }

  /// The version that was agreed on; nil before that.
  package var version: OpenFlowVersion? { state.withLock { $0.version } }

  /// Why the connection ended, where that is known.
  package var failure: String? { state.withLock { $0.failure } }

  /// Whether so much waits for the peer that what nobody asked for is better dropped.
  package var isCongested: Bool { state.withLock { $0.pendingOutputByteCount > Self.drainedByteCount } }

  /// Whether flow changes of 1.0 name a table (NXT_FLOW_MOD_TABLE_ID).
  package func setFlowModTableID(_ isOn: Bool) { state.withLock { $0.decoder.flowModTableID = isOn } }

  // MARK: receiving

  /// Greets, agrees on a version, and hands each message to the handler, in order, until the connection ends.
  package func serve(_ versions: VersionSet, _ handler: some OpenFlowHandler) async {
    guard let highest = versions.highest else { return close() }
    send(Message(highest, .hello(Hello(versions: versions))))
    for await batch in batches {
      // Changes of rules come by the thousand: those that are here are handed on together.
      var flowMods: [ReceivedMessage] = []
      for bytes in batch {
        do throws(DecodeFailure) {
          let message = try state.withLock { $0.decoder }.decode(bytes)
          if version == nil {
            guard let version = agree(message, versions) else { return }
            state.withLock { $0.version = version }
            await handler.connected(self, version: version)
            state.withLock { $0.immediate = handler.immediate }
            continue
          }
          mirror?.copy([bytes])
          if case .flowMod = message.body {
            flowMods.append(ReceivedMessage(message, bytes: bytes))
            continue
          }
          await hand(&flowMods, to: handler)
          await handler.handle(ReceivedMessage(message, bytes: bytes), from: self)
        } catch {
          await hand(&flowMods, to: handler)
          guard version != nil, case .refused(let refusal) = error else {
            end("the peer does not speak OpenFlow")
            return
          }
          mirror?.copy([bytes])
          await handler.refused(refusal)
          send(refusal.message)
        }
      }
      await hand(&flowMods, to: handler)
      channel.read()
    }
  }

  private func hand(_ flowMods: inout [ReceivedMessage], to handler: some OpenFlowHandler) async {
    switch flowMods.count {
    case 0: return
    case 1: await handler.handle(flowMods[0], from: self)
    default: await handler.handle(flowMods: flowMods, from: self)
    }
    flowMods = []
  }

  /// The version to speak; nil, and the connection ends, if there is none.
  private func agree(_ message: Message, _ versions: VersionSet) -> OpenFlowVersion? {
    guard case .hello(let hello) = message.body else {
      end("the peer did not greet")
      return nil
    }
    if let version = hello.versions.intersection(versions).highest { return version }
    let ours = OpenFlowVersion.allCases.filter { versions.contains(VersionSet([$0])) }.map(\.name)
    let text = "no common OpenFlow version: this switch speaks \(ours.joined(separator: ", "))"
    send(
      Message(
        versions.highest ?? .v10, xid: message.xid,
        .error(ErrorMessage(.helloFailedIncompatible, data: Array(text.utf8)))))
    state.withLock { $0.failure = text }
    closeAfterFlush()
    return nil
  }

  // MARK: sending

  /// Sends a message; one that its version has no words for is left out.
  package func send(_ message: Message) {
    guard let parts = try? MessageEncoder().encodeParts(message) else {
      // Who asked must not wait for ever.
      if message.xid != 0, case .multipartReply = message.body {
        send(
          Message(message.version, xid: message.xid, .error(ErrorMessage(.niciraRequestUnencodableError, data: []))))
      }
      return
    }
    send(parts)
  }

  /// Sends a packet of a rule, unless as many of them wait for the peer to read.
  package func send(_ packet: Message, unlessWaiting limit: Int) {
    let isAllowed = state.withLock { state in
      guard state.waitingPacketCount < limit, state.pendingOutputByteCount <= Self.drainedByteCount else {
        state.droppedCount += 1
        return false
      }
      state.waitingPacketCount += 1
      return true
    }
    guard isAllowed else { return }
    send(packet)
    // Written after it, so that it is out when this is.
    channel.writeAndFlush(ByteBuffer()).whenComplete { [self] _ in state.withLock { $0.waitingPacketCount -= 1 } }
  }

  /// Packets that were dropped because the peer does not read.
  package var droppedCount: UInt64 { state.withLock { $0.droppedCount } }

  /// Sends messages that are written already.
  package func send(_ messages: [[UInt8]]) {
    if version != nil { mirror?.copy(messages) }
    var buffer = channel.allocator.buffer(capacity: messages.reduce(0) { $0 + $1.count })
    for message in messages { buffer.writeBytes(message) }
    write(buffer)
  }

  private func write(_ buffer: ByteBuffer) {
    let count = buffer.readableBytes
    let (isAllowed, isFirstRefusal) = state.withLock { state in
      if state.isCutOff || state.hasEnded { return (false, false) }
      if state.pendingOutputByteCount > Self.pendingOutputByteLimit {
        state.isCutOff = true
        return (false, true)
      }
      state.pendingOutputByteCount += count
      return (true, false)
    }
    if isFirstRefusal { end("the peer does not read what it is sent") }
    guard isAllowed else { return }
    channel.writeAndFlush(buffer).whenComplete { [self] _ in wrote(count) }
  }

  private func wrote(_ count: Int) {
    let waiters = state.withLock { state in
      state.pendingOutputByteCount -= count
      state.writtenByteCount += count
      guard state.pendingOutputByteCount <= Self.drainedByteCount else { return [CheckedContinuation<Void, Never>]() }
      defer { state.waiters = [] }
      return state.waiters
    }
    for waiter in waiters { waiter.resume() }
  }

  /// Waits until the peer has taken most of what it was sent; one that takes nothing for long is cut off.
  package func drain() async {
    let written = state.withLock { state in
      state.pendingOutputByteCount > Self.drainedByteCount ? state.writtenByteCount : nil
    }
    guard let written else { return }
    let watch = watchDraining(since: written)
    await withCheckedContinuation { continuation in
      let isDone = state.withLock { state in
        if state.hasEnded || state.pendingOutputByteCount <= Self.drainedByteCount { return true }
        state.waiters.append(continuation)
        return false
      }
      if isDone { continuation.resume() }
    }
    watch.cancel()
  }

  private func watchDraining(since written: Int) -> RepeatedTask {
    let last = Mutex(written)
    let interval = TimeAmount.seconds(Self.drainSeconds)
    return channel.eventLoop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { [self] _ in
      let now = state.withLock { $0.writtenByteCount }
      let before = last.withLock { last in
        defer { last = now }
        return last
      }
      if before == now { end("the peer does not read what it asked for") }
    }
  }

  // MARK: signs of life, end

  /// Asks a silent peer for a sign of life, and ends the connection if it gives none.
  /// - Parameter milliseconds: how long it may be silent before it is asked, and then again.
  package func startProbing(milliseconds: Int64) {
    let interval = TimeAmount.milliseconds(milliseconds)
    // Looked at more often than that, so that a probe comes in time.
    let period = TimeAmount.milliseconds(max(milliseconds / 4, 10))
    let task = channel.eventLoop.scheduleRepeatedTask(initialDelay: period, delay: period) { [self] _ in
      let now = NIODeadline.now()
      enum Step { case wait, probe, end }
      let step = state.withLock { state -> Step in
        if let probe = state.lastProbe, state.lastHeard < probe { return now - probe >= interval ? .end : .wait }
        guard now - state.lastHeard >= interval, state.version != nil else { return .wait }
        state.lastProbe = now
        return .probe
      }
      switch step {
      case .wait: break
      case .probe: send(Message(version ?? .v10, .echoRequest([])))
      case .end: end("no response to inactivity probe after \(milliseconds) ms")
      }
    }
    channel.closeFuture.whenComplete { _ in task.cancel() }
  }

  /// Ends the connection if no version is agreed on by then.
  package func limitHandshake(seconds: Int64) {
    let task = channel.eventLoop.scheduleTask(in: .seconds(seconds)) { [self] in
      if version == nil { end("the peer did not greet in \(seconds) s") }
    }
    channel.closeFuture.whenComplete { _ in task.cancel() }
  }

  package func close() { channel.close(mode: .all, promise: nil) }

  /// Closes for a reason.
  func end(_ reason: String) {
    state.withLock { state in if state.failure == nil { state.failure = reason } }
    close()
  }

  /// Closes when what was sent before is out, and after 5 s at the latest.
  private func closeAfterFlush() {
    channel.writeAndFlush(ByteBuffer()).whenComplete { [channel] _ in channel.close(mode: .all, promise: nil) }
    channel.eventLoop.scheduleTask(in: .seconds(5)) { [channel] in channel.close(mode: .all, promise: nil) }
  }

  // MARK: from the channel

  func received(_ batch: [[UInt8]]) { continuation.yield(batch) }

  /// Handles at once what can be, on the event loop, while no message is on the long way.
  /// - Parameter buffer: what has come; loses the messages that were handled.
  /// - Returns: changes that were put into bundles, if nobody waits for an answer.
  func handleAtOnce(_ buffer: inout ByteBuffer, _ decoder: inout FrequentMessageDecoder) -> Int {
    let found = state.withLock { state -> (any ImmediateOpenFlowHandler, OpenFlowVersion, Bool)? in
      // One that does not read its answers is waited for, on the long way.
      guard let handler = state.immediate, let version = state.version,
        state.pendingOutputByteCount <= Self.drainedByteCount
      else { return nil }
      return (handler, version, state.decoder.flowModTableID)
    }
    // Who listens in gets copies, on the long way.
    guard let (handler, version, flowModTableID) = found, handler.isReady, mirror.map({ !$0.isWanted }) ?? true else {
      return 0
    }
    var reader = ImmediateReader(handler, version, flowModTableID: flowModTableID, answers: ByteBuffer())
    unsafe buffer.withUnsafeReadableBytes { bytes in unsafe reader.handle(RawSpan(_unsafeBytes: bytes), &decoder) }
    buffer.moveReaderIndex(forwardBy: reader.handledByteCount)
    if reader.answers.readableBytes > 0 { writeAtOnce(reader.answers) }
    return reader.gatheredCount
  }

  /// Writes on the event loop, where a peer that reads gets it at once, and nothing has to be kept of it.
  private func writeAtOnce(_ answers: ByteBuffer) {
    guard state.withLock({ !$0.isCutOff && !$0.hasEnded }) else { return }
    channel.writeAndFlush(answers, promise: nil)
    let waiting = (try? channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? nil
    guard waiting != 0 else { return }
    // The rest counts until what is written behind it is out.
    let count = answers.readableBytes
    state.withLock { $0.pendingOutputByteCount += count }
    channel.writeAndFlush(ByteBuffer()).whenComplete { [self] _ in wrote(count) }
  }

  func heard() { state.withLock { $0.lastHeard = .now() } }

  func ended() {
    continuation.finish()
    let waiters = state.withLock { state in
      state.hasEnded = true
      defer { state.waiters = [] }
      return state.waiters
    }
    for waiter in waiters { waiter.resume() }
  }
}
