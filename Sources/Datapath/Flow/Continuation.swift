// Where a packet goes on that waits for a controller (`controller(pause)`, NXT_RESUME): the keys of the flows that it came
// through, by which translation finds the point again (`Resumption`). A controller gets it as bytes that mean nothing to it
// and brings them back; the switch keeps nothing meanwhile. Who brings other bytes has a packet dropped.
// Form, all numbers with the lowest byte first: number of the bridge; then for each flow: point, number of words, and pairs
// of a word's index and its value; only words that are not 0. For controllers that is one property of a list, as Open
// vSwitch's programs take the continuation apart to print it.

import VSwitchCore

/// A way through the tables that has stopped.
package struct Continuation: Equatable, Sendable {
  /// Number of the bridge, as `Datapath` gave it.
  package var bridge: UInt32
  /// From the first flow on; the last one's point is where the packet waits.
  package var resumptions: [Resumption] = []

  /// Type of the property: none of Open vSwitch's.
  private static var propertyType: UInt16 { 0x8fff }

  /// Reads what `bytes` has written.
  /// - Returns: nil if it is anything else.
  package init?(_ bytes: [UInt8]) {
    guard bytes.count >= 4, UInt16(bytes[0]) << 8 | UInt16(bytes[1]) == Continuation.propertyType else { return nil }
    let count = Int(bytes[2]) << 8 | Int(bytes[3])
    guard count >= 4, count <= bytes.count else { return nil }
    self.init(record: bytes[4..<count])
  }

  /// Reads what `putContinuation` has written.
  init?(record: ArraySlice<UInt8>) {
    var rest = record
    func number() -> UInt32? {
      guard rest.count >= 4 else { return nil }
      defer { rest = rest.dropFirst(4) }
      return rest.prefix(4).reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }
    guard let bridge = number() else { return nil }
    self.bridge = bridge
    while !rest.isEmpty {
      guard resumptions.count < PacketTranslation.resumptionLimit, let head = number(), let count = number(),
        count <= FlowKey.wordCount
      else { return nil }
      var resumption = Resumption(key: FlowKey(), point: head & ~Continuation.setsPipeline)
      resumption.setsPipeline = head & Continuation.setsPipeline != 0
      for _ in 0..<count {
        guard let word = number(), word < FlowKey.wordCount, let low = number(), let high = number() else { return nil }
        resumption.key.words[Int(word)] = UInt64(high) << 32 | UInt64(low)
      }
      resumptions.append(resumption)
    }
    guard !resumptions.isEmpty else { return nil }
  }

  /// For the controller.
  package var bytes: [UInt8] {
    var bytes: [UInt8] = [0, 0, 0, 0]
    func put(_ number: UInt32) {
      for shift in [0, 8, 16, 24] { bytes.append(UInt8(truncatingIfNeeded: number >> shift)) }
    }
    put(bridge)
    for resumption in resumptions {
      let words = (0..<FlowKey.wordCount).filter { resumption.key.words[$0] != 0 }
      put(resumption.point | (resumption.setsPipeline ? Continuation.setsPipeline : 0))
      put(UInt32(words.count))
      for word in words {
        put(UInt32(word))
        put(UInt32(truncatingIfNeeded: resumption.key.words[word]))
        put(UInt32(truncatingIfNeeded: resumption.key.words[word] >> 32))
      }
    }
    for (position, number) in [(0, Continuation.propertyType), (2, UInt16(clamping: bytes.count))] {
      bytes[position] = UInt8(truncatingIfNeeded: number >> 8)
      bytes[position + 1] = UInt8(truncatingIfNeeded: number)
    }
    while bytes.count % 8 != 0 { bytes.append(0) }
    return bytes
  }

  /// A bit of a point.
  static var setsPipeline: UInt32 { 1 << 31 }
}

extension Burst {
  /// Bytes of `putContinuation`; 0 if the packet cannot go on: it has come back too often, or is a controller's own, whose
  /// actions are gone by then.
  func continuationByteCount(_ context: borrowing ProgramContext) -> Int {
    guard context.depth < PacketTranslation.resumptionLimit, context.actions == nil else { return 0 }
    var count = 4
    for level in 0...context.depth {
      count &+= 8
      let key = unsafe resumptionKey(level, context)
      for word in 0..<FlowKey.wordCount where unsafe key.pointee.words[word] != 0 { count &+= 12 }
    }
    return count
  }

  /// Writes the way of the packet whose program runs, up to a point of it.
  func putContinuation(_ ring: EventRing, _ context: borrowing ProgramContext, point: UInt32) {
    ring.put(context.bridge.identifier)
    for level in 0...context.depth {
      let resumption = unsafe flows.resumptions + level
      let key = unsafe resumptionKey(level, context)
      let isSet = unsafe resumption.pointee.setsPipeline
      ring.put(
        (level == context.depth ? point : unsafe resumption.pointee.point) | (isSet ? Continuation.setsPipeline : 0))
      var count: UInt32 = 0
      for word in 0..<FlowKey.wordCount where unsafe key.pointee.words[word] != 0 { count &+= 1 }
      ring.put(count)
      for word in 0..<FlowKey.wordCount where unsafe key.pointee.words[word] != 0 {
        ring.put(UInt32(truncatingIfNeeded: word))
        ring.put(unsafe key.pointee.words[word])
      }
    }
  }

  /// The key of a flow that the packet came through: a cached one's, or the one that was noted.
  private func resumptionKey(_ level: Int, _ context: borrowing ProgramContext) -> UnsafePointer<FlowKey> {
    let flow = level == context.depth ? context.flow : unsafe flows.origins[level]
    // Both have the key first.
    let place =
      flow != MegaflowCache.noFlow
      ? unsafe UnsafeRawPointer(context.bridge.megaflows.flows + Int(flow))
      : unsafe UnsafeRawPointer(flows.resumptions + level)
    return unsafe place.assumingMemoryBound(to: FlowKey.self)
  }
}
