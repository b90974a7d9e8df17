import TestSupport
import Testing
import VirtioDriver

@testable import Datapath

/// The cache of a virtual IOMMU's translations against a dictionary.
@Suite struct IOTLBTests {
  @Test(arguments: testSeeds(10)) func randomAnswersAndInvalidationsAreAsInADictionary(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let ram = GuestRAM(byteCount: 1 << 20)
    let memory = try GuestMemory([QueuePair.region(ram)])
    let iotlb = IOTLB()
    defer { iotlb.deallocate() }
    // Pages whose searches meet: few addresses, far apart and close together.
    let pages = (0..<300).map { _ in
      Bool.random(using: &random)
        ? UInt64.random(in: 0...400, using: &random) : UInt64.random(in: 0...1 << 51, using: &random)
    }
    var known: [UInt64: (guest: UInt64, permission: UInt8)] = [:]
    for _ in 0..<3000 {
      let page = pages.randomElement(using: &random) ?? 0
      let count = UInt64.random(in: 1...4, using: &random)
      switch Int.random(in: 0...9, using: &random) {
      case 0...4:
        let guest = ram.base + UInt64.random(in: 0...250, using: &random) << 12
        let permission = UInt8.random(in: 1...3, using: &random)
        // An answer to a question is kept from the page in question on.
        unsafe iotlb.state.pointee.miss = nil
        iotlb.insert(
          address: page << 12, byteCount: count << 12, guestAddress: guest,
          permission: IOTLB.Permission(rawValue: permission), memory.view)
        for offset in 0..<count { known[page + offset] = (guest + offset << 12, permission) }
      case 5...8:
        iotlb.remove(address: page << 12, byteCount: count << 12)
        for offset in 0..<count { known[page + offset] = nil }
      default:
        let first = UInt64.random(in: 0...400, using: &random)
        let last = Bool.random(using: &random) ? UInt64.max >> 12 : first + 20_000
        iotlb.remove(address: first << 12, byteCount: (last - first + 1) << 12)
        known = known.filter { !(first...last).contains($0.key) }
      }
      for page in pages.prefix(20) + [page] {
        let wanted = known[page]
        #expect(iotlb.guestAddress(page << 12 + 5) == wanted.map { $0.guest + 5 })
        for writes in [false, true] {
          let found = unsafe iotlb.translatePrefix(page << 12 + 5, wanted: 1, writes: writes)
          let isAllowed = wanted.map { $0.permission & (writes ? 2 : 1) != 0 } ?? false
          unsafe #expect((found != nil) == isAllowed)
          if isAllowed, let wanted {
            unsafe #expect(found?.host == memory.view.translate(wanted.guest + 5, byteCount: 1))
          }
        }
      }
    }
    #expect(unsafe iotlb.state.pointee.used == known.count)
  }
}
