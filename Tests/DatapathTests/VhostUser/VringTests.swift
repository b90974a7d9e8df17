import TestSupport
import Testing
import VirtioDriver

@testable import Datapath

/// Rings in both layouts, from the device's side against a plain driver: what the driver puts in is what the device sees, in
/// order, and what the device gives back is what the driver gets.
@Suite struct VringTests {
  /// Random chains over many laps of the ring, in bursts of any size, direct and indirect.
  @Test(arguments: testSeeds(12)) func randomChainsArriveWholeAndInOrder(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    for isPacked in [false, true] {
      let size = isPacked ? Int.random(in: 3...70, using: &random) : 1 << Int.random(in: 2...7, using: &random)
      let firstIndex = UInt16.random(in: 0...UInt16.max, using: &random)
      let pair = try QueuePair(size: size, isPacked: isPacked, firstIndex: isPacked ? 0 : firstIndex)
      let slots = (0..<256).map { _ in pair.ram.allocate(4096) }
      // The naive model: chains that the driver made available and has not got back.
      var model: [(identifier: UInt16, bytes: [UInt8])] = []
      var nextBuffer = 0
      for _ in 0..<400 {
        for _ in 0..<Int.random(in: 0...4, using: &random) where model.count < 20 {
          let indirect = Bool.random(using: &random)
          var bytes: [UInt8] = []
          var buffers: [DriverBuffer] = []
          for _ in 0..<Int.random(in: 1...min(3, size), using: &random) {
            let content = random.bytes(Int.random(in: 1...100, using: &random))
            let address = slots[nextBuffer % 256] + UInt64.random(in: 0..<200, using: &random)
            nextBuffer += 1
            pair.ram.write(content, at: address)
            buffers.append(DriverBuffer(address, UInt32(content.count)))
            bytes += content
          }
          guard let identifier = pair.driver.add(buffers, indirect: indirect) else { continue }
          model.append((identifier, bytes))
        }
        pair.driver.publish()
        #expect(pair.vring.hasAvailable == !model.isEmpty)
        pair.vring.fetch(Int.random(in: 0...8, using: &random), into: pair.batch, .deviceReads)
        let fetched = pair.batch.count
        #expect(pair.vring.fault == nil)
        for position in 0..<fetched {
          let isSame = pair.bytes(position) == model[position].bytes
          #expect(isSame, "chain \(position) of \(isPacked ? "packed" : "split") ring of \(size)")
        }
        // Not everything that was fetched is given back; the rest comes again.
        let completed = Int.random(in: 0...fetched, using: &random)
        pair.vring.complete(pair.batch, count: completed)
        for _ in 0..<completed {
          #expect(pair.driver.takeUsed() == UsedChain(identifier: model.removeFirst().identifier, writtenByteCount: 0))
        }
        #expect(pair.driver.takeUsed() == nil)
      }
    }
  }

  @Test(arguments: [false, true]) func deviceSaysHowMuchItWrote(isPacked: Bool) throws {
    let pair = try QueuePair(size: 8, isPacked: isPacked)
    let address = pair.ram.allocate(256)
    _ = pair.driver.add([DriverBuffer(address, 256, isWritable: true)], indirect: false)
    pair.driver.publish()
    pair.vring.fetch(1, into: pair.batch, .deviceWrites)
    #expect(pair.batch.count == 1)
    unsafe pair.batch.chains[0].writtenByteCount = 77
    pair.vring.complete(pair.batch, count: 1)
    #expect(pair.driver.takeUsed()?.writtenByteCount == 77)
  }

  @Test(arguments: [false, true]) func kicksAreAskedForOnlyWhileTheDeviceWaits(isPacked: Bool) throws {
    let pair = try QueuePair(size: 8, isPacked: isPacked)
    pair.vring.suppressKicks()
    #expect(!pair.driver.wantsKick)
    #expect(!pair.vring.requestKicks())
    #expect(pair.driver.wantsKick)
    _ = pair.driver.add([DriverBuffer(pair.ram.allocate(64), 64)], indirect: false)
    pair.driver.publish()
    // What came before the device asked is not lost.
    #expect(pair.vring.requestKicks())
  }

  @Test(arguments: [false, true]) func callsFollowTheDriversWish(isPacked: Bool) throws {
    let pair = try QueuePair(size: 8, isPacked: isPacked)
    for isOn in [true, false, true] {
      pair.driver.setCalls(isOn)
      #expect(pair.vring.wantsCall(completed: 1) == isOn)
    }
  }

  /// With event index the driver is called when its index is passed, and not before (virtio 1.2 §2.7.7.2).
  @Test func splitEventIndexDecidesCalls() throws {
    let pair = try QueuePair(size: 8, isPacked: false, eventIndex: true)
    let event = unsafe pair.ram.pointer(pair.driver.driverArea) + 4 + 2 * 8
    func serve(_ count: Int) {
      for _ in 0..<count {
        _ = pair.driver.add([DriverBuffer(pair.ram.base, 64)], indirect: false)
        pair.driver.publish()
        pair.vring.fetch(1, into: pair.batch, .deviceReads)
        pair.vring.complete(pair.batch, count: 1)
        _ = pair.driver.takeUsed()
      }
    }
    // The first decision is a call: nobody knows what was missed.
    serve(1)
    #expect(pair.vring.wantsCall(completed: 1))
    unsafe event.storeBytes(of: 3, as: UInt16.self)
    serve(2)
    #expect(!pair.vring.wantsCall(completed: 2))
    serve(1)
    #expect(pair.vring.wantsCall(completed: 1))
    serve(1)
    #expect(!pair.vring.wantsCall(completed: 1))
  }

  @Test(arguments: testSeeds(20)) func packedEventIndexDecidesCallsAsAPlainWalkDoes(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let size = Int.random(in: 2...9, using: &random)
    let pair = try QueuePair(size: size, isPacked: true, eventIndex: true)
    let area = unsafe pair.ram.pointer(pair.driver.driverArea)
    unsafe area.storeBytes(of: 2, toByteOffset: 2, as: UInt16.self)
    _ = pair.vring.wantsCall(completed: 0)
    for _ in 0..<200 {
      let event = VringPosition(
        next: UInt16.random(in: 0..<UInt16(size), using: &random), wrap: .random(using: &random))
      unsafe area.storeBytes(of: event.packedBits, as: UInt16.self)
      let count = Int.random(in: 1...size, using: &random)
      // The naive way: is the event one of the descriptors given back?
      var passed = false
      var position = pair.vring.position
      for _ in 0..<count {
        if position == event { passed = true }
        position.advance(1, size: UInt32(size))
        _ = pair.driver.add([DriverBuffer(pair.ram.base, 64)], indirect: false)
      }
      pair.driver.publish()
      pair.vring.fetch(count, into: pair.batch, .deviceReads)
      pair.vring.complete(pair.batch, count: count)
      #expect(pair.vring.wantsCall(completed: count) == passed)
      while pair.driver.takeUsed() != nil {}
    }
  }
}
