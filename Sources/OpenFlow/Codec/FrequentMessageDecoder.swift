// The messages that come by the million: changes of rules, alone and in bundles, and what comes between them. They are read here
// by the codecs that read all messages, but without the boxes that a `Message` is made of, and instructions that are those of
// the message before are not read again. Whatever is not plainly one of these is left to `MessageDecoder`, which also says what
// is wrong with it. Thread: a value; any.

import VSwitchCore

/// A message that comes often.
package enum FrequentMessage: Equatable {
  case flowMod(FlowMod)
  case bundleAdd(bundle: UInt32, flags: BundleFlags, FlowMod)
  case barrierRequest
  case echoRequest
}

/// Reads them.
package struct FrequentMessageDecoder {
  private var instructions = InstructionCache()

  package init() {}

  /// - Parameter bytes: one message exactly.
  /// - Returns: nil for any other message, and for one that is to be refused.
  package mutating func decode(_ bytes: RawSpan, _ version: OpenFlowVersion, flowModTableID: Bool) -> FrequentMessage? {
    guard bytes.byteCount >= 8 else { return nil }
    var reader = WireReader(bytes)
    do throws(ErrorCode) {
      guard try reader.u8() == version.rawValue else { return nil }
      let type = try reader.u8()
      guard Int(try reader.u16()) == bytes.byteCount else { return nil }
      let xid = try reader.u32()
      switch type {
      case 2: return .echoRequest
      case 4 where version == .v10: return try nicira(&reader, flowModTableID: flowModTableID)
      case 14:
        let mod = try FlowModCodec.decode(
          &reader, version, flowModTableID: flowModTableID, instructions: &instructions)
        return reader.isAtEnd ? .flowMod(mod) : nil
      case 18 where version == .v10, 20 where version != .v10: return reader.isAtEnd ? .barrierRequest : nil
      case 34 where version > .v13: return try bundleAdd(&reader, version, xid: xid)
      default: return nil
      }
    } catch {
      return nil
    }
  }

  /// Open vSwitch's change of a rule in 1.0.
  private mutating func nicira(_ reader: inout WireReader, flowModTableID: Bool) throws(ErrorCode) -> FrequentMessage? {
    guard try reader.u32() == Experimenter.nicira, try reader.u32() == NiciraMessage.flowMod else { return nil }
    let mod = try FlowModCodec.decodeNicira(&reader, flowModTableID: flowModTableID)
    return reader.isAtEnd ? .flowMod(mod) : nil
  }

  private mutating func bundleAdd(_ reader: inout WireReader, _ version: OpenFlowVersion, xid: UInt32) throws(ErrorCode)
    -> FrequentMessage?
  {
    let (bundle, flags, inner) = try BundleCodec.decodeAddHeader(&reader, version)
    guard inner.xid == xid, inner.type == 14 else { return nil }
    var body = try reader.part(inner.byteCount - 8, .bundleFailedMessageBadLength)
    let mod = try FlowModCodec.decode(&body, version, flowModTableID: false, instructions: &instructions)
    return body.isAtEnd ? .bundleAdd(bundle: bundle, flags: flags, mod) : nil
  }
}

/// The instructions of the latest rule: rules come in runs that do the same.
struct InstructionCache {
  /// Longer ones are not kept.
  private static let wordLimit = 32

  private var words: [UInt64] = []
  private var version: OpenFlowVersion?
  private var latest = Instructions()

  init() {}

  /// What the bytes to a cursor's end say, if it is known; goes past them.
  mutating func find(_ reader: inout WireReader, _ version: OpenFlowVersion) -> Instructions? {
    guard version == self.version, reader.remaining == 8 * words.count, reader.isNext(words) else { return nil }
    guard (try? reader.skip(reader.remaining)) != nil else { return nil }
    return latest
  }

  /// - Parameter reader: before the instructions.
  mutating func keep(_ instructions: Instructions, _ reader: WireReader, _ version: OpenFlowVersion) {
    // In 1.0 what an action says depends on the match.
    guard version > .v10, reader.remaining <= 8 * InstructionCache.wordLimit, let words = reader.nextWords() else {
      self.version = nil
      return
    }
    self.version = version
    self.words = words
    latest = instructions
  }
}
