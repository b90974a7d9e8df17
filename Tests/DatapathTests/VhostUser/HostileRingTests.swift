import TestSupport
import Testing
import VirtioDriver

@testable import Datapath

/// A guest that writes what it likes into its ring: each rule that it can break is named, and nothing outside its memory is
/// ever touched.
@Suite struct HostileRingTests {
  private func split(size: Int = 8, hasIndirect: Bool = true) throws -> (QueuePair, SplitDriverQueue) {
    let pair = try QueuePair(size: size, isPacked: false, hasIndirect: hasIndirect)
    return (pair, try #require(pair.driver as? SplitDriverQueue))
  }

  private func fault(_ pair: QueuePair) -> VhostUserFault? {
    pair.driver.publish()
    pair.vring.fetch(32, into: pair.batch, .deviceReads)
    #expect(pair.batch.count == 0)
    return pair.vring.fault
  }

  @Test func availableIndexMayNotJump() throws {
    let (pair, driver) = try split()
    driver.availableIndex = 9
    #expect(fault(pair) == .availableIndexJumped)
  }

  @Test func availableIndexMayNotGoBack() throws {
    let (pair, driver) = try split()
    for _ in 0..<3 { _ = driver.add([DriverBuffer(pair.ram.base, 64)], indirect: false) }
    driver.publish()
    pair.vring.fetch(3, into: pair.batch, .deviceReads)
    pair.vring.complete(pair.batch, count: 3)
    driver.availableIndex = 2
    #expect(fault(pair) == .availableIndexJumped)
  }

  @Test func headMayNotLeaveTheTable() throws {
    let (pair, driver) = try split()
    driver.pushHead(8)
    #expect(fault(pair) == .headOutOfRange)
  }

  @Test func chainMayNotLoop() throws {
    let (pair, driver) = try split()
    driver.writeDescriptor(driver.descriptors, 0, pair.ram.base, 64, flags: 1, next: 1)
    driver.writeDescriptor(driver.descriptors, 1, pair.ram.base, 64, flags: 1, next: 0)
    driver.pushHead(0)
    #expect(fault(pair) == .chainTooLong)
  }

  @Test func packedChainMayNotGoRoundTheRing() throws {
    let pair = try QueuePair(size: 8, isPacked: true)
    for slot in 0..<8 {
      // Available in the first lap, and another one follows.
      let descriptor = bytes(pair.ram.base) + bytes(UInt32(64)) + bytes(UInt16(slot)) + bytes(UInt16(1 << 7 | 1))
      pair.ram.write(descriptor, at: pair.driver.descriptors + UInt64(16 * slot))
    }
    #expect(fault(pair) == .chainTooLong)
  }

  @Test func nextMayNotLeaveTheTable() throws {
    let (pair, driver) = try split()
    driver.writeDescriptor(driver.descriptors, 0, pair.ram.base, 64, flags: 1, next: 0x8000)
    driver.pushHead(0)
    #expect(fault(pair) == .nextOutOfRange)
  }

  @Test func buffersMayNotLeaveTheMemory() throws {
    let start: UInt64 = 0x1_0000_0000
    let end: UInt64 = start + (4 << 20)
    let cases: [(UInt64, UInt32)] = [
      (0, 64), (.max, 64), (.max - 63, 64), (end, 1), (end - 63, 64), (start - 1, 64), (start, .max),
    ]
    for (address, count) in cases {
      let (pair, driver) = try split()
      driver.writeDescriptor(driver.descriptors, 0, address, count, flags: 0, next: 0)
      driver.pushHead(0)
      #expect(fault(pair) == .bufferOutsideMemory, "\(address) \(count)")
    }
  }

  @Test func transmitBuffersMayNotBeWritable() throws {
    let (pair, driver) = try split()
    driver.writeDescriptor(driver.descriptors, 0, pair.ram.base, 64, flags: 2, next: 0)
    driver.pushHead(0)
    #expect(fault(pair) == .descriptorDirectionWrong)
  }

  @Test func indirectTablesAreChecked() throws {
    func indirect(_ address: UInt64, _ count: UInt32, flags: UInt16 = 4, hasIndirect: Bool = true) throws
      -> VhostUserFault?
    {
      let (pair, driver) = try split(hasIndirect: hasIndirect)
      let table = pair.ram.allocate(64, alignment: 16)
      driver.writeDescriptor(table, 0, pair.ram.base, 64, flags: 4, next: 0)
      driver.writeDescriptor(driver.descriptors, 0, address == 0 ? table : address, count, flags: flags, next: 1)
      driver.pushHead(0)
      return fault(pair)
    }
    #expect(try indirect(0, 0) == .indirectSizeWrong)
    #expect(try indirect(0, 17) == .indirectSizeWrong)
    #expect(try indirect(0, 0xffff_fff0) == .indirectSizeWrong)
    #expect(try indirect(0x1_0000_0000 + (4 << 20) - 8, 16) == .indirectUnreachable)
    #expect(try indirect(.max - 3, 16) == .indirectUnreachable)
    #expect(try indirect(0, 64, flags: 5) == .nestedIndirect)
    #expect(try indirect(0, 64) == .nestedIndirect)
    #expect(try indirect(0, 64, hasIndirect: false) == .indirectNotNegotiated)
  }

  @Test func chainsBeforeABrokenOneAreServed() throws {
    let (pair, driver) = try split()
    _ = driver.add([DriverBuffer(pair.ram.base, 64)], indirect: false)
    _ = driver.add([DriverBuffer(pair.ram.base, 32)], indirect: false)
    driver.pushHead(999)
    driver.publish()
    pair.vring.fetch(32, into: pair.batch, .deviceReads)
    #expect(pair.batch.count == 2)
    #expect(pair.vring.fault == .headOutOfRange)
    pair.vring.complete(pair.batch, count: 2)
    pair.vring.fetch(32, into: pair.batch, .deviceReads)
    #expect(pair.batch.count == 0)
  }

  /// A byte of a descriptor: addresses are often near the memory, lengths small, flags such as exist.
  private func noiseByte(_ place: Int, isPacked: Bool, _ random: inout SeededGenerator) -> UInt8 {
    let any = UInt8.random(in: 0...255, using: &random)
    switch place {
    case 0...2, 8: return any
    case 4: return any & 1
    case 9: return any & 15
    case 10, 11: return any < 250 ? 0 : 255
    case 12: return isPacked ? any : any & 7
    case 13: return isPacked ? any & 1 : 0
    case 14: return isPacked ? any & 0x87 : any % 20
    case 15: return isPacked ? any & 0x80 : 0
    default: return 0
    }
  }

  /// Any bytes in the ring's memory: the device ends with chains inside the memory, or a named fault.
  @Test(arguments: testSeeds(200)) func anyBytesInTheRingStayInsideTheMemory(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let isPacked = seed % 2 == 0
    let pair = try QueuePair(size: 16, isPacked: isPacked, ramByteCount: 1 << 20)
    for _ in 0..<20 {
      let noise = (0..<256).map { noiseByte($0 % 16, isPacked: isPacked, &random) }
      pair.ram.write(noise, at: pair.driver.descriptors)
      if !isPacked {
        let ring = random.bytes(32).map { $0 & 15 }
        pair.ram.write(random.bytes(2) + ring, at: pair.driver.driverArea + 2)
      }
      let direction: VringDirection = Bool.random(using: &random) ? .deviceReads : .deviceWrites
      pair.vring.fetch(32, into: pair.batch, direction)
      for position in 0..<pair.batch.count {
        let chain = unsafe pair.batch.chains[position]
        var total: UInt64 = 0
        for number in 0..<Int(chain.segmentCount) {
          let segment = unsafe pair.batch.segments[Int(chain.firstSegment) + number]
          let offset = unsafe UInt64(bitPattern: Int64(segment.host - pair.regionStart))
          #expect(offset < 1 << 20 && offset + UInt64(segment.byteCount) <= 1 << 20)
          total += UInt64(segment.byteCount)
        }
        #expect(total == UInt64(chain.byteCount))
      }
      pair.vring.complete(pair.batch, count: pair.batch.count)
      unsafe pair.vring.state.pointee.fault = nil
    }
  }
}

extension QueuePair {
  /// Where the device has the memory mapped.
  fileprivate var regionStart: UnsafeMutableRawPointer { unsafe memory.regions[0].host }
}
