// The asking end of an OpenFlow connection, for management programs: one question after the other, changes in order, all of
// it within one task. Echo requests are answered on the way. What comes is read only as it is asked for, so that an answer of
// a million rules waits in the kernel and not in memory. Standard: OpenFlow 1.5 §6.3.1, §7.3.

import NIOCore
import NIOPosix

/// A connection to a switch; used by the task that opened it alone.
package final class OpenFlowClient {
  /// What was agreed on.
  package let version: OpenFlowVersion
  private var input: Input
  private let output: NIOAsyncChannelOutboundWriter<ByteBuffer>
  private var encoder = MessageEncoder()
  /// That of the greeting was 1.
  private var lastXID: UInt32 = 1

  private init(_ version: OpenFlowVersion, _ input: Input, _ output: NIOAsyncChannelOutboundWriter<ByteBuffer>) {
    self.version = version
    self.input = input
    self.output = output
  }

  /// Where a switch listens.
  package enum Address: Sendable, Equatable {
    case unix(path: String)
    case tcp(host: String, port: Int)
  }

  /// Connects, agrees on the highest common version, runs `body` and closes.
  /// - Parameter prepare: adds what is between the socket and OpenFlow (TLS) to the new channel.
  package static func connected<Result>(
    to address: Address, versions: VersionSet, prepare: @escaping @Sendable (any Channel) throws -> Void = { _ in },
    _ body: (OpenFlowClient) async throws -> Result
  ) async throws -> Result {
    let bootstrap = ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup).connectTimeout(.seconds(10))
    @Sendable func wrap(_ channel: any Channel) -> EventLoopFuture<NIOAsyncChannel<ByteBuffer, ByteBuffer>> {
      channel.eventLoop.makeCompletedFuture {
        try prepare(channel)
        return try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
      }
    }
    let channel =
      switch address {
      case .unix(let path): try await bootstrap.connect(unixDomainSocketPath: path, channelInitializer: wrap)
      case .tcp(let host, let port): try await bootstrap.connect(host: host, port: port, channelInitializer: wrap)
      }
    return try await channel.executeThenClose { inbound, outbound in
      var input = Input(inbound.makeAsyncIterator())
      let greeting = Message(versions.highest ?? .v10, xid: 1, .hello(Hello(versions: versions)))
      try await outbound.write(ByteBuffer(bytes: try MessageEncoder().encode(greeting)))
      guard let first = try await input.next() else { throw OpenFlowClientError.closed }
      if case .error(let error) = first.body { throw OpenFlowClientError.refused(error, xid: first.xid) }
      guard case .hello(let hello) = first.body else { throw OpenFlowClientError.noHello }
      guard let version = hello.versions.intersection(versions).highest else {
        throw OpenFlowClientError.noCommonVersion(hello.versions)
      }
      return try await body(OpenFlowClient(version, input, outbound))
    }
  }

  // MARK: single messages

  /// Sends a message.
  /// - Returns: its transaction.
  @discardableResult
  package func send(_ body: MessageBody) async throws -> UInt32 {
    lastXID &+= 1
    try await output.write(ByteBuffer(bytes: try encoder.encode(Message(version, xid: lastXID, body))))
    return lastXID
  }

  /// The next message that is no part of keeping the connection; nil when the switch has closed it.
  package func next() async throws -> Message? {
    while let message = try await input.next() {
      switch message.body {
      case .hello, .echoReply: continue
      case .echoRequest(let data):
        let reply = Message(message.version, xid: message.xid, .echoReply(data))
        try await output.write(ByteBuffer(bytes: try encoder.encode(reply)))
      default: return message
      }
    }
    return nil
  }

  /// Sends a question and waits for the answer.
  package func ask(_ body: MessageBody) async throws -> Message {
    let xid = try await send(body)
    while let message = try await next() {
      guard message.xid == xid else { continue }
      if case .error(let error) = message.body { throw OpenFlowClientError.refused(error, xid: xid) }
      return message
    }
    throw OpenFlowClientError.closed
  }

  /// Asks, and hands on each part of the answer as it comes.
  package func ask(
    _ request: MultipartRequest, _ each: (_ part: MultipartReply, _ xid: UInt32) throws -> Void
  ) async throws {
    let xid = try await send(.multipartRequest(request))
    while let message = try await next() {
      guard message.xid == xid else { continue }
      switch message.body {
      case .multipartReply(let reply):
        try each(reply, xid)
        if !reply.hasMore { return }
      case .error(let error): throw OpenFlowClientError.refused(error, xid: xid)
      default: throw OpenFlowClientError.closed
      }
    }
    throw OpenFlowClientError.closed
  }

  // MARK: changes

  /// In 1.0: rules may have all of Open vSwitch's fields, and changes name a table.
  package func useExtendedRules() async throws {
    guard version == .v10 else { return }
    try await send(.setFlowFormat(.nxm))
    try await send(.flowModTableID(true))
    encoder.flowModTableID = true
    _ = try await barrier([:])
  }

  /// Makes changes one after the other; waits for each, and stops at the first that is refused.
  /// - Returns: which was refused, and why; nil if none was.
  package func change(_ bodies: [MessageBody]) async throws -> Refusal? {
    for (index, body) in bodies.enumerated() {
      let xid = try await send(body)
      if let refusal = try await barrier([xid: index]) { return refusal }
    }
    return nil
  }

  /// Makes all changes at one step, or none (a bundle, §7.3.9). Not in 1.0.
  /// - Returns: which was refused, and why; nil if none was.
  package func changeAtOnce(_ bodies: [MessageBody]) async throws -> Refusal? {
    let id: UInt32 = 1
    let flags: BundleFlags = [.atomic, .ordered]
    _ = try await ask(.bundleControl(BundleControl(bundle: id, .openRequest, flags: flags)))
    var indexes: [UInt32: Int] = [:]
    var buffer = ByteBuffer()
    for (index, body) in bodies.enumerated() {
      lastXID &+= 1
      let inner = Message(version, xid: lastXID, body)
      let add = Message(version, xid: lastXID, .bundleAdd(BundleAdd(bundle: id, flags: flags, inner)))
      buffer.writeBytes(try encoder.encode(add))
      indexes[lastXID] = index
      if buffer.readableBytes > 1 << 16 {
        try await output.write(buffer)
        buffer.clear()
      }
    }
    try await output.write(buffer)
    if let refusal = try await barrier(indexes) {
      try await send(.bundleControl(BundleControl(bundle: id, .discardRequest, flags: flags)))
      return refusal
    }
    let commit = try await send(.bundleControl(BundleControl(bundle: id, .commitRequest, flags: flags)))
    var refusal: Refusal?
    while let message = try await next() {
      if case .error(let error) = message.body {
        if let index = indexes[message.xid] { refusal = refusal ?? Refusal(index: index, error: error) }
        if message.xid == commit { return refusal ?? Refusal(index: nil, error: error) }
      } else if message.xid == commit {
        return refusal
      }
    }
    throw OpenFlowClientError.closed
  }

  /// A change that a switch refused.
  package struct Refusal {
    /// Of the change; nil if the switch does not tell.
    package var index: Int?
    package var error: ErrorMessage
  }

  /// Waits until all that was sent is done.
  /// - Parameter indexes: of the changes that errors may be about, by their transactions.
  private func barrier(_ indexes: [UInt32: Int]) async throws -> Refusal? {
    let xid = try await send(.barrierRequest)
    var refusal: Refusal?
    while let message = try await next() {
      if message.xid == xid { return refusal }
      if case .error(let error) = message.body, refusal == nil {
        refusal = Refusal(index: indexes[message.xid], error: error)
      }
    }
    throw OpenFlowClientError.closed
  }
}

/// Cuts what comes into messages.
private struct Input {
  private var chunks: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator
  private var waiting = ByteBuffer()

  init(_ chunks: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator) { self.chunks = chunks }

  mutating func next() async throws -> Message? {
    while true {
      if let count = try MessageDecoder.messageByteCount(waiting.readableBytesView),
        let bytes = waiting.readBytes(length: count)
      {
        do {
          return try MessageDecoder().decode(bytes)
        } catch {
          throw OpenFlowClientError.unreadable
        }
      }
      guard var chunk = try await chunks.next() else { return nil }
      waiting.discardReadBytes()
      waiting.writeBuffer(&chunk)
    }
  }
}
