// Messages that are answered where they come in, on the connection's event loop, without waking another thread: changes of rules,
// what is put into bundles, barriers, signs of life. The first message that is anything else, or that the handler has not the
// time for now, and all that came with it, go the long way (`OpenFlowHandler`).
//
// Thread: the event loop. Order: nothing is read while messages are on the long way.

import NIOCore
import VSwitchCore

/// A change that was refused.
package struct FlowModRefusal: Sendable {
  /// Of those that were handed on.
  package var index: Int
  package var code: ErrorCode

  package init(index: Int, code: ErrorCode) {
    self.index = index
    self.code = code
  }
}

/// Does at once what takes microseconds. Called on an event loop, which serves others, too.
package protocol ImmediateOpenFlowHandler: Sendable {
  /// Whether messages may be handled at once; else all go the long way.
  var isReady: Bool { get }
  /// Makes changes that have come together, each by itself, in order. What comes in afterwards is forwarded by them.
  /// - Returns: those that were refused, in order; nil if nothing was done.
  func change(_ flowMods: [FlowMod]) -> [FlowModRefusal]?
  /// Adds a change to a bundle.
  func add(_ mod: FlowMod, xid: UInt32, to bundle: UInt32, _ flags: BundleFlags) throws(ErrorCode)
}

/// Handles what has come, message by message.
struct ImmediateReader {
  let handler: any ImmediateOpenFlowHandler
  let version: OpenFlowVersion
  let flowModTableID: Bool
  /// Answers, to be sent in one piece.
  private(set) var answers: ByteBuffer
  /// Changes that were put into bundles, if nobody waits for an answer.
  var gatheredCount: Int { answers.readableBytes == 0 ? addedCount : 0 }
  private var addedCount = 0
  /// Bytes of whole messages that are done.
  private(set) var handledByteCount = 0
  /// Changes that are not made yet, and where each message begins; the last one ends where the next message begins.
  private var flowMods: [FlowMod] = []
  private var starts: [Int] = []

  init(_ handler: any ImmediateOpenFlowHandler, _ version: OpenFlowVersion, flowModTableID: Bool, answers: ByteBuffer) {
    self.handler = handler
    self.version = version
    self.flowModTableID = flowModTableID
    self.answers = answers
  }

  /// Handles messages from the first on, as far as that can be done now.
  mutating func handle(_ bytes: RawSpan, _ decoder: inout FrequentMessageDecoder) {
    var offset = 0
    while let end = ImmediateReader.messageEnd(bytes, offset) {
      let message = bytes.extracting(offset..<end)
      switch decoder.decode(message, version, flowModTableID: flowModTableID) {
      case .flowMod(let mod):
        flowMods.append(mod)
        starts.append(offset)
      case .bundleAdd(let bundle, let flags, let mod):
        guard change(bytes, end: offset) else { return }
        add(mod, to: bundle, flags, message)
        addedCount += 1
        handledByteCount = end
      case .barrierRequest:
        guard change(bytes, end: offset) else { return }
        answer(version == .v10 ? 19 : 21, message, data: 8..<8)
        handledByteCount = end
      case .echoRequest:
        guard change(bytes, end: offset) else { return }
        answer(3, message, data: 8..<message.byteCount)
        handledByteCount = end
      case nil:
        _ = change(bytes, end: offset)
        return
      }
      offset = end
    }
    _ = change(bytes, end: offset)
  }

  /// Where the message that begins at an offset ends; nil if it is not all there.
  private static func messageEnd(_ bytes: RawSpan, _ offset: Int) -> Int? {
    guard bytes.byteCount - offset >= 8 else { return nil }
    let count = Int(
      UInt16(bigEndian: unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset + 2, as: UInt16.self)))
    return count >= 8 && count <= bytes.byteCount - offset ? offset + count : nil
  }

  /// Makes the changes that wait.
  /// - Returns: false if they can't be made now.
  private mutating func change(_ bytes: RawSpan, end: Int) -> Bool {
    guard !flowMods.isEmpty else { return true }
    guard let refused = handler.change(flowMods) else { return false }
    for refusal in refused where flowMods.indices.contains(refusal.index) {
      let next = refusal.index + 1
      refuse(bytes.extracting(starts[refusal.index]..<(next < starts.count ? starts[next] : end)), refusal.code)
    }
    flowMods.removeAll(keepingCapacity: true)
    starts.removeAll(keepingCapacity: true)
    handledByteCount = end
    return true
  }

  private mutating func add(_ mod: FlowMod, to bundle: UInt32, _ flags: BundleFlags, _ message: RawSpan) {
    do throws(ErrorCode) {
      try handler.add(mod, xid: ImmediateReader.xid(message), to: bundle, flags)
    } catch {
      refuse(message, error)
    }
  }

  // MARK: answers

  private static func xid(_ message: RawSpan) -> UInt32 {
    UInt32(bigEndian: unsafe message.unsafeLoadUnaligned(fromByteOffset: 4, as: UInt32.self))
  }

  /// Answers with a type and a part of the message.
  private mutating func answer(_ type: UInt8, _ message: RawSpan, data: Range<Int>) {
    answers.writeInteger(version.rawValue)
    answers.writeInteger(type)
    answers.writeInteger(UInt16(8 + data.count))
    answers.writeInteger(ImmediateReader.xid(message))
    if !data.isEmpty { unsafe message.extracting(data).withUnsafeBytes { _ = unsafe answers.writeBytes($0) } }
  }

  private mutating func refuse(_ message: RawSpan, _ code: ErrorCode) {
    let data = unsafe message.withUnsafeBytes { unsafe Array($0) }
    let error = OpenFlowError(code, version: version, xid: ImmediateReader.xid(message), data: data)
    if let bytes = try? MessageEncoder().encode(error.message) { answers.writeBytes(bytes) }
  }
}
