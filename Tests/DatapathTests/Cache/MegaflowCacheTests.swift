import Testing

@testable import Datapath
@testable import VSwitchCore

@Suite struct MegaflowCacheTests {
  /// A decision for packets whose words under a mask are those of `key`.
  private func insert(_ cache: MegaflowCache, _ key: FlowKey, _ mask: FlowMask, now: UInt32) -> UInt32 {
    var result = TranslationResult()
    result.mask = mask
    var key = key
    return unsafe withUnsafePointer(to: &key) { pointer in
      unsafe cache.insert(
        UnsafeRawPointer(pointer).assumingMemoryBound(to: UInt64.self), result,
        steps: UnsafeBufferPointer(start: nil, count: 0), hits: UnsafeBufferPointer(start: nil, count: 0), version: 1,
        portsVersion: 1, owner: 3, now: now)
    }
  }

  private func lookup(_ cache: MegaflowCache, _ key: FlowKey) -> UInt32 {
    var key = key
    return unsafe withUnsafePointer(to: &key) {
      unsafe cache.lookup(UnsafeRawPointer($0).assumingMemoryBound(to: UInt64.self))
    }
  }

  /// A place that is made for a flow may be that of the last flow of its very mask, which goes with it.
  @Test func aPlaceMadeByTheLastFlowOfTheSameMaskIsGood() throws {
    let cache = try #require(MegaflowCache(seed: 7))
    defer { cache.deallocate() }
    var rare = FlowMask()
    rare[.ethernetSource] = 0xffff_ffff_ffff
    var frequent = FlowMask()
    frequent[.ethernetDestination] = 0xffff_ffff_ffff
    var first = FlowKey()
    first.ethernetSource = 1
    #expect(insert(cache, first, rare, now: 1) != MegaflowCache.noFlow)
    for number in 1..<UInt64(MegaflowCache.portFlowLimit) {
      var key = FlowKey()
      key.ethernetDestination = number
      guard insert(cache, key, frequent, now: 1) != MegaflowCache.noFlow else {
        Issue.record("flow \(number) found no place")
        return
      }
    }
    // The port's share is full: the oldest flow, the only one of its mask, gives way to another of that mask.
    var second = FlowKey()
    second.ethernetSource = 2
    let number = insert(cache, second, rare, now: 10)
    #expect(number != MegaflowCache.noFlow)
    #expect(lookup(cache, second) == number)
    var asked = first
    asked.ethernetDestination = 1 << 40
    #expect(lookup(cache, asked) == MegaflowCache.noFlow)
    #expect(unsafe cache.state.pointee.maskCount == 2)
    #expect(unsafe cache.state.pointee.flowCount == Int(MegaflowCache.portFlowLimit))
    cache.removeAll()
    #expect(unsafe cache.state.pointee.maskCount == 0 && cache.state.pointee.flowCount == 0)
  }

  @Test func recirculationIdsAreNeverGivenTwiceAndEnd() throws {
    let cache = try #require(MegaflowCache(seed: 7))
    defer { cache.deallocate() }
    var mask = FlowMask()
    mask[.ethernetSource] = 0xffff_ffff_ffff
    var flows: [UInt32] = []
    for number in UInt64(1)...3 {
      var key = FlowKey()
      key.ethernetSource = number
      flows.append(insert(cache, key, mask, now: 1))
    }
    let given = flows[..<2].map { cache.recirculationID(flow: $0, point: 2) }
    #expect(given[0] != given[1] && cache.recirculationID(flow: flows[0], point: 2) == given[0])
    #expect(cache.recirculationID(flow: flows[0], point: MegaflowCache.pointLimit) == nil)
    unsafe cache.state.pointee.nextRecirculationID = UInt32.max - MegaflowCache.pointLimit
    #expect(cache.hasNoRecirculationIDs)
    #expect(cache.recirculationID(flow: flows[2], point: 0) == nil, "used up: what comes back is not kept")
    #expect(cache.recirculationID(flow: flows[0], point: 2) == given[0])
    cache.removeAll()
    #expect(!cache.hasNoRecirculationIDs)
  }
}
