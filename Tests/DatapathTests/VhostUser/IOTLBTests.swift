import COFlow
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
        iotlb.removeQuestions(address: 0, byteCount: .max)
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
    #expect(iotlb.count == known.count)
  }

  @Test func aQuestionIsAskedOnceUntilItsAnswerIsOverdue() throws {
    let ram = GuestRAM(byteCount: 1 << 20)
    let memory = try GuestMemory([QueuePair.region(ram)])
    let iotlb = IOTLB()
    defer { iotlb.deallocate() }
    func look(_ page: UInt64) -> Bool { unsafe iotlb.translatePrefix(page << 12 + 8, wanted: 1, writes: true) != nil }
    #expect(!look(7) && !look(7) && !look(9))
    #expect(iotlb.takeNews() && !iotlb.takeNews())
    let both = [IOTLB.Miss(address: 7 << 12, writes: true), IOTLB.Miss(address: 9 << 12, writes: true)]
    #expect(iotlb.takeQuestions(now: 100) == both)
    // While the answer is under way nothing is asked again, whatever is forgotten meanwhile.
    iotlb.remove(address: 0, byteCount: 0)
    iotlb.expireQuestions(now: 101)
    #expect(!look(7) && iotlb.takeQuestions(now: 101).isEmpty && iotlb.isMissing)
    iotlb.insert(
      address: 7 << 12, byteCount: 4096, guestAddress: ram.base, permission: [.read, .write], memory.view)
    #expect(look(7) && iotlb.isMissing)
    // A front-end that has no translation says nothing: the other page does not wait for ever.
    iotlb.expireQuestions(now: 102)
    #expect(!iotlb.isMissing)
    #expect(!look(9) && iotlb.takeNews())
    #expect(iotlb.takeQuestions(now: 102) == [both[1]])
  }

  @Test func thereIsRoomForSoManyQuestions() {
    let iotlb = IOTLB()
    defer { iotlb.deallocate() }
    iotlb.noteAll(4096 * 10 + 5, byteCount: 4096 * 1000, writes: false)
    #expect(!iotlb.hasQuestionRoom)
    #expect(iotlb.takeQuestions(now: 0).map(\.address) == (10..<10 + UInt64(IOTLB.questionLimit)).map { $0 << 12 })
    iotlb.removeAll()
    iotlb.noteAll(UInt64.max - 5, byteCount: 100, writes: false)
    #expect(iotlb.takeQuestions(now: 0).map(\.address) == [UInt64.max << 12])
  }

  /// What a burst lacks is asked for in one go: an indirect table, then what it names, and no more.
  @Test(arguments: testSeeds(4)) func chainsArriveWholeThoughTheirPagesAreForgottenAllTheTime(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    for isPacked in [false, true] {
      let pair = try QueuePair(size: 64, isPacked: isPacked)
      let iotlb = IOTLB()
      defer { iotlb.deallocate() }
      unsafe pair.vring.state.pointee.addresses.iotlb = iotlb
      let places = (0..<64).map { _ in pair.ram.allocate(16384) }
      for _ in 0..<40 {
        var model: [[UInt8]] = []
        for chain in 0..<Int.random(in: 1...8, using: &random) {
          var buffers: [DriverBuffer] = []
          model.append([])
          for part in 0..<Int.random(in: 1...3, using: &random) {
            let content = random.bytes(Int.random(in: 1...9000, using: &random))
            let address = places[chain * 3 + part] + UInt64.random(in: 0..<4096, using: &random)
            pair.ram.write(content, at: address)
            buffers.append(DriverBuffer(address, UInt32(content.count)))
            model[chain] += content
          }
          #expect(pair.driver.add(buffers, indirect: Bool.random(using: &random)) != nil)
        }
        pair.driver.publish()
        if Bool.random(using: &random) { iotlb.remove(address: 0, byteCount: 0) }
        var asked: [Int] = []
        while true {
          pair.vring.fetch(32, into: pair.batch, .deviceReads)
          let misses = iotlb.takeQuestions(now: 0)
          asked.append(misses.count)
          if misses.isEmpty { break }
          pair.batch.removeAll()
          unsafe pair.vring.state.pointee.cursor = pair.vring.position
          for miss in misses.shuffled(using: &random) {
            iotlb.insert(
              address: miss.address, byteCount: 4096, guestAddress: miss.address, permission: .read, pair.memory.view)
          }
        }
        // One round more where the room for questions did not do.
        #expect(asked.count <= 3 || asked.contains(IOTLB.questionLimit), "\(asked)")
        #expect(pair.vring.fault == nil && pair.batch.count == model.count)
        for position in 0..<min(pair.batch.count, model.count) {
          let isSame = pair.bytes(position) == model[position]
          #expect(isSame, "chain \(position) of a \(isPacked ? "packed" : "split") ring")
        }
        pair.vring.complete(pair.batch, count: pair.batch.count)
        for _ in model { #expect(pair.driver.takeUsed() != nil) }
      }
    }
  }

  /// A ring of which a page was taken away is suspended, asks once, and goes on where it stood, wherever its pages lie then.
  @Test(arguments: [false, true]) func aRingWhosePagesMoveGoesOnWhereItStood(isPacked: Bool) throws {
    let talk = SessionTests.Talk()
    try talk.connect()
    try talk.say(.setFeatures, bytes(SessionTests.features | 1 << 33 | (isPacked ? 1 << 34 : 0)))
    try talk.memory()
    let ram = talk.ram
    let driver: any DriverQueue = isPacked ? PackedDriverQueue(ram, size: 16) : SplitDriverQueue(ram, size: 16)
    let ringPage = driver.descriptors
    let iova: UInt64 = 0x77_0000_0000
    func tell(_ kind: IOTLBMessage.Kind, _ address: UInt64, _ page: UInt64) throws {
      var payload = bytes(address) + bytes(UInt64(4096)) + bytes(ram.userAddress(page))
      payload += [3, kind.rawValue, 0, 0, 0, 0, 0, 0]
      let reply = try talk.say(.iotlb, payload, needReply: true)
      #expect(reply == VhostUserHeader.reply(to: .iotlb, bytes(UInt64(0))))
    }
    try talk.say(.setVringSize, queue: 1, 16)
    try talk.say(.setVringBase, queue: 1, isPacked ? 0x8003_8003 : 3)
    var payload = bytes(UInt32(1)) + bytes(UInt32(0))
    for address in [driver.descriptors, driver.deviceArea, driver.driverArea] {
      payload += bytes(address - ringPage + iova)
    }
    try talk.say(.setVringAddress, payload + bytes(UInt64(0)))
    try talk.say(.setVringKick, bytes(UInt64(1)), [coflow_event_open()])
    #expect(talk.session.takeRingMisses() == [IOTLB.Miss(address: iova, writes: true)])
    #expect(!talk.session.isUp)
    try tell(.update, iova, ringPage)
    let vring = try #require(talk.device.queues[1]?.vring)
    #expect(vring.position.next == 3 && !vring.isSuspended)
    // Another page is none of its business.
    try tell(.invalidate, iova + 4096, ringPage)
    try tell(.invalidate, iova - 4096, ringPage)
    #expect(!vring.isSuspended && talk.session.takeRingMisses().isEmpty)
    try tell(.invalidate, iova, ringPage)
    #expect(vring.isSuspended && !vring.hasAvailable && !vring.requestKicks())
    #expect(talk.session.takeRingMisses() == [IOTLB.Miss(address: iova, writes: true)])
    try tell(.update, iova + 4096, ringPage)
    #expect(vring.isSuspended && talk.session.takeRingMisses().isEmpty)
    let other = ram.allocate(4096, alignment: 4096)
    try tell(.update, iova, other)
    #expect(!vring.isSuspended && vring.position.next == 3 && talk.device.queues[1] != nil)
    // What is in the ring where it lies now is taken: a buffer of an unknown page, which is asked for.
    ram.write(ram.read(ringPage, 4096), at: other)
    let place = unsafe vring.state.pointee.descriptorsAddress
    #expect(place == other)
    try tell(.invalidate, iova, other)
    #expect(try talk.base(1) == (isPacked ? 0x8003_8003 : 3))
    #expect(talk.device.queues[1] == nil)
  }
}
