import COFlow
import Glibc
import TestSupport
import Testing
import VirtioDriver

@testable import Datapath

/// A copy of a descriptor, for an owner.
func duplicate(_ descriptor: Int32) -> Int32 { fcntl(descriptor, F_DUPFD_CLOEXEC, 0) }

/// Descriptors of this process that are of the same file, whoever holds them.
func descriptorCount(like descriptor: Int32) -> Int {
  var wanted = stat()
  guard unsafe fstat(descriptor, &wanted) == 0 else { return -1 }
  return (0..<1024).count { number in
    var found = stat()
    return unsafe fstat(Int32(number), &found) == 0 && found.st_ino == wanted.st_ino && found.st_dev == wanted.st_dev
  }
}

/// A pipe of which copies of one end are given away: tells whether all of them were closed.
final class LeakProbe {
  private let reading: Int32
  private var writing: Int32

  init() {
    var ends: [Int32] = [-1, -1]
    unsafe pipe(&ends)
    reading = ends[0]
    writing = ends[1]
  }
  deinit {
    close(reading)
    if writing >= 0 { close(writing) }
  }

  func copy() -> Int32 { duplicate(writing) }

  /// Nobody but the probe has the end any more; the last question that it answers.
  func isAllClosed() -> Bool {
    close(writing)
    writing = -1
    var poll = pollfd(fd: reading, events: Int16(POLLIN), revents: 0)
    return unsafe Glibc.poll(&poll, 1, 2000) == 1 && poll.revents & Int16(POLLHUP) != 0
  }
}

/// Regions of a guest's memory, and the one function that makes pointers into them.
@Suite struct GuestMemoryTests {
  private func region(
    _ ram: GuestRAM, guest: UInt64, byteCount: UInt64, user: UInt64? = nil, offset: UInt64 = 0
  ) throws -> GuestRegion {
    try GuestRegion(
      GuestRegionDescription(
        guestAddress: guest, byteCount: byteCount, userAddress: user ?? guest &+ 0x5000_0000, fileOffset: offset),
      file: OwnedDescriptor(duplicate(ram.descriptor)))
  }

  @Test(arguments: testSeeds(20)) func translationAgreesWithACheckOfEveryByte(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let ram = GuestRAM(byteCount: 1 << 20)
    // Three regions, two of them behind each other.
    let regions = [
      try region(ram, guest: 0x1000, byteCount: 0x3000),
      try region(ram, guest: 0x4000, byteCount: 0x1234, offset: 0x8000),
      try region(ram, guest: 0x10000, byteCount: 0x2000, offset: 0x5001),
    ]
    let memory = try GuestMemory(regions)
    for _ in 0..<500 {
      let address = UInt64.random(in: 0...0x13000, using: &random)
      let count = UInt64.random(in: 0...0x3000, using: &random)
      let holder = regions.first { region in
        count > 0
          && [address, address + count - 1].allSatisfy {
            $0 >= region.description.guestAddress
              && $0 < region.description.guestAddress + region.description.byteCount
          }
      }
      let found = unsafe memory.view.translate(address, byteCount: count)
      let expected = unsafe holder.map { unsafe $0.host + Int(address - $0.description.guestAddress) }
      #expect(unsafe found == expected, "\(address) \(count)")
    }
  }

  @Test func offsetsIntoTheFileAreRespected() throws {
    let ram = GuestRAM(byteCount: 1 << 16)
    ram.write([1, 2, 3, 4], at: ram.base + 0x1003)
    let memory = try GuestMemory([try region(ram, guest: 0, byteCount: 0x100, offset: 0x1003)])
    let host = unsafe try #require(unsafe memory.view.translate(0, byteCount: 4))
    #expect(unsafe Array(UnsafeRawBufferPointer(start: host, count: 4)) == [1, 2, 3, 4])
  }

  @Test func wrongRegionsAreRefusedAndLeaveNothingOpen() throws {
    let ram = GuestRAM(byteCount: 1 << 16)
    let before = descriptorCount(like: ram.descriptor)
    let cases: [(UInt64, UInt64, UInt64, UInt64, VhostUserFault)] = [
      (0, 0, 0, 0, .regionEmpty), (0, 0x10001, 0, 0, .regionLargerThanFile),
      (0, 0x1000, 0, 0xf001, .regionLargerThanFile),
      (.max - 5, 0x1000, 0, 0, .regionOverflows), (0, 0x1000, .max - 5, 0, .regionOverflows),
      (0, 0x1000, 0, .max - 5, .regionOverflows), (0, .max, 0, 0, .regionOverflows),
      (0, 1 << 62, 0, 1 << 62, .regionOverflows),
    ]
    for (guest, count, user, offset, fault) in cases {
      #expect(throws: fault, "\(guest) \(count) \(user) \(offset)") {
        _ = try region(ram, guest: guest, byteCount: count, user: user, offset: offset)
      }
    }
    #expect(throws: VhostUserFault.regionIsNoMemory) {
      _ = try GuestRegion(
        GuestRegionDescription(guestAddress: 0, byteCount: 4096, userAddress: 0, fileOffset: 0),
        file: OwnedDescriptor(coflow_event_open()))
    }
    #expect(before == 1 && descriptorCount(like: ram.descriptor) == before)
  }

  @Test func regionsMayNotOverlap() throws {
    let ram = GuestRAM(byteCount: 1 << 16)
    let a = try region(ram, guest: 0x1000, byteCount: 0x2000)
    #expect(throws: VhostUserFault.regionsOverlap) {
      _ = try GuestMemory([a, try region(ram, guest: 0x2fff, byteCount: 0x1000)])
    }
    #expect(throws: VhostUserFault.regionsOverlap) {
      _ = try GuestMemory([a, try region(ram, guest: 0x9000, byteCount: 0x1000, user: 0x5000_1000)])
    }
    _ = try GuestMemory([a, try region(ram, guest: 0x3000, byteCount: 0x1000)])
  }

  /// The guest cuts its file short: an access finds zeros, the flag tells, and the process lives.
  @Test func aFileThatShrinksCostsNoMoreThanItsContent() throws {
    let ram = GuestRAM(byteCount: 1 << 20)
    ram.write([7, 7, 7, 7], at: ram.base + 0x8_0000)
    let memory = try GuestMemory([try region(ram, guest: 0, byteCount: 1 << 20)])
    let other = try GuestMemory([try region(GuestRAM(byteCount: 1 << 16), guest: 0, byteCount: 1 << 16)])
    let host = unsafe try #require(unsafe memory.view.translate(0x8_0000, byteCount: 4))
    #expect(unsafe host.load(as: UInt8.self) == 7)
    #expect(ftruncate(ram.descriptor, 0x1000) == 0)
    #expect(!memory.isShrunk)
    #expect(unsafe host.load(as: UInt32.self) == 0)
    #expect(memory.isShrunk && memory.view.isShrunk)
    unsafe host.storeBytes(of: 1, as: UInt32.self)
    #expect(!other.isShrunk)
  }
}
