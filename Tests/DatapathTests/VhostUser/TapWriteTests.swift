import COFlow
import Glibc
import TestSupport
import Testing
import VSwitchCore
import VirtioDriver

@testable import Datapath

/// A guest's long packets leave through a tap from where they are, in one write, byte for byte. (A datagram socket stands for the
/// tap: it takes packets by writes, too.)
@Suite struct TapWriteTests {
  @Test(arguments: testSeeds(10)) func partsAndCopiesAreTheSameFrames(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    var pair: [Int32] = [-1, -1]
    try #require(unsafe socketpair(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue), 0, &pair) == 0)
    let other = OwnedDescriptor(pair[1])
    let worker = try Worker(
      engine: IOEngine(), mailbox: try Mailbox(), packetCount: 128, clock: { 1000 }, random: &random)
    let tap = TapPort(slot: 1, descriptor: pair[0], capabilities: [.checksum, .tso4, .tso6, .tsoECN])
    defer { tap.close() }
    worker.open(slot: 0)
    worker.open(slot: 1)
    let pool = worker.burst.pool
    let segments = UnsafeMutablePointer<GuestSegment>.allocate(capacity: 200)
    defer { unsafe segments.deallocate() }
    let memory = GuestRAM(byteCount: 1 << 18)
    for _ in 0..<60 {
      let frame = random.bytes(Int.random(in: 300...65_000, using: &random))
      let linear = VhostUserPort.linearLimit - 12
      let index = try #require(pool.allocate())
      unsafe pool.frame(index).copyMemory(from: frame, byteCount: linear)
      pool[index].byteCount = UInt32(frame.count)
      // Its rest in pieces, some of them many.
      let pieceLimit = Bool.random(using: &random) ? 20_000 : 700
      var count = 0
      var offset = linear
      memory.write(frame, at: memory.base)
      let first = Int.random(in: 0..<linear, using: &random)
      while offset < frame.count {
        let start = count == 0 ? offset - first : offset
        let end = count == 199 ? frame.count : min(frame.count, offset + Int.random(in: 1...pieceLimit, using: &random))
        unsafe (segments + count).initialize(
          to: GuestSegment(
            host: memory.host + start, address: 0, byteCount: UInt32(end - start)))
        offset = end
        count += 1
      }
      unsafe pool.setExternal(
        index, ExternalPart(segment: segments, offset: UInt32(first)), byteCount: frame.count - linear)
      worker.burst.enqueue(index, slot: 1)
      let queue = try #require(unsafe worker.burst.queues[1])
      tap.transmit(worker, queue)
      var buffer = [UInt8](repeating: 0, count: 70_000)
      let got = unsafe buffer.withUnsafeMutableBytes { unsafe recv(other.number, $0.baseAddress, $0.count, 0) }
      try #require(got == frame.count + OffloadMetadata.wireByteCount)
      #expect(Array(buffer[OffloadMetadata.wireByteCount..<got]) == frame)
    }
    #expect(pool.available == 128)
  }
}
