import COFlow
import Foundation
import Glibc
import TestSupport
import Testing
import VirtioDriver

@testable import Datapath

/// A connection's state machine, fed with what QEMU and DPDK really send and with what they never should.
@Suite struct SessionTests {
  /// A session and the means to talk to it.
  final class Talk {
    let device = FakeDevice()
    var session: VhostUserSession
    let ram = GuestRAM(byteCount: 1 << 20)

    init(record: VringRecord? = nil) { session = VhostUserSession(device: device, record: record) }
    deinit { session.end() }

    @discardableResult
    func say(
      _ request: VhostUserRequest, _ payload: [UInt8] = [], _ descriptors: [Int32] = [], needReply: Bool = false
    ) throws -> [UInt8] {
      let header = try VhostUserHeader(
        (bytes(request.rawValue) + bytes(UInt32(needReply ? 9 : 1)) + bytes(UInt32(payload.count)))[...])
      return try session.handle(
        VhostUserMessage(header, payload: payload[...], descriptors: descriptors.map { OwnedDescriptor($0) })
      ).bytes
    }
    func say(_ request: VhostUserRequest, queue: Int, _ value: UInt32) throws {
      try say(request, bytes(UInt32(queue)) + bytes(value))
    }
    func base(_ queue: Int) throws -> UInt32 {
      let reply = try say(.getVringBase, bytes(UInt32(queue)) + bytes(UInt32(0)))
      return reply[16...].number(UInt32.self, at: 0)
    }

    /// What QEMU says before a guest runs.
    func connect() throws {
      try say(.getFeatures)
      try say(.getProtocolFeatures)
      try say(.setProtocolFeatures, bytes(VhostUserProtocolFeatures.offered.rawValue))
      try say(.getQueueCount)
      try say(.setOwner)
      for queue in 0..<2 { try say(.setVringCall, bytes(UInt64(queue)), [coflow_event_open()]) }
      for queue in 0..<2 { try say(.setVringEnable, queue: queue, 1) }
    }

    func memory() throws {
      var table = bytes(UInt32(1)) + bytes(UInt32(0)) + bytes(ram.base) + bytes(UInt64(ram.byteCount))
      table += bytes(ram.userBase) + bytes(UInt64(0))
      try say(.setMemoryTable, table, [duplicate(ram.descriptor)])
    }

    func ring(_ queue: Int, _ driver: any DriverQueue, base: UInt32) throws {
      try say(.setVringSize, queue: queue, UInt32(driver.size))
      try say(.setVringBase, queue: queue, base)
      try address(queue, driver)
      try say(.setVringKick, bytes(UInt64(queue)), [coflow_event_open()])
    }

    func address(_ queue: Int, _ driver: any DriverQueue, flags: UInt32 = 0, shift: UInt64 = 0) throws {
      var payload = bytes(UInt32(queue)) + bytes(flags) + bytes(ram.userAddress(driver.descriptors) &+ shift)
      payload +=
        bytes(ram.userAddress(driver.deviceArea)) + bytes(ram.userAddress(driver.driverArea)) + bytes(UInt64(0))
      try say(.setVringAddress, payload)
    }
  }

  static let features: UInt64 = 1 << 30 | 1 << 32 | 1 << 28

  @Test func queuesRunOnceEverythingIsThere() throws {
    let talk = Talk()
    try talk.connect()
    try talk.say(.setFeatures, bytes(Self.features))
    try talk.memory()
    let driver = SplitDriverQueue(talk.ram, size: 64)
    try talk.say(.setVringSize, queue: 1, 64)
    try talk.say(.setVringBase, queue: 1, 5)
    try talk.address(1, driver)
    #expect(!talk.session.isUp)
    try talk.say(.setVringKick, bytes(UInt64(1)), [coflow_event_open()])
    #expect(talk.device.queues[1]?.vring.position.next == 5)
    // QEMU repeats itself; nothing restarts for that.
    let before = talk.device.events.count
    try talk.say(.setVringEnable, queue: 1, 1)
    try talk.say(.setFeatures, bytes(Self.features))
    #expect(talk.device.events.count == before)
    try talk.say(.setVringEnable, queue: 1, 0)
    // What it goes on to send is thrown away.
    #expect(talk.device.queues[1]?.isDiscarding == true && !talk.session.isUp)
    try talk.say(.setVringEnable, queue: 1, 1)
    #expect(talk.device.queues[1]?.isDiscarding == false)
    #expect(talk.device.queues[1]?.vring.position.next == 5)
    #expect(try talk.base(1) == 5)
    #expect(!talk.session.isUp)
  }

  @Test func memoryMayBeReplacedUnderARunningQueue() throws {
    let talk = Talk()
    try talk.connect()
    try talk.say(.setFeatures, bytes(Self.features))
    try talk.memory()
    try talk.ring(0, SplitDriverQueue(talk.ram, size: 64), base: 3)
    try talk.memory()
    #expect(talk.device.events == ["attach 0", "detach 0", "attach 0"])
    #expect(talk.device.queues[0]?.vring.position.next == 3)
  }

  @Test func regionsAreAddedOnceAndRemoved() throws {
    let talk = Talk()
    try talk.connect()
    let ram = talk.ram
    let region =
      bytes(UInt64(0)) + bytes(ram.base) + bytes(UInt64(ram.byteCount)) + bytes(ram.userBase) + bytes(UInt64(0))
    let acknowledged = try talk.say(.addMemoryRegion, region, [duplicate(ram.descriptor)], needReply: true)
    #expect(acknowledged == VhostUserHeader.reply(to: .addMemoryRegion, bytes(UInt64(0))))
    try talk.say(.addMemoryRegion, region, [duplicate(ram.descriptor)])
    #expect(talk.session.regionCount == 1)
    try talk.say(.removeMemoryRegion, region)
    #expect(talk.session.regionCount == 0)
    #expect(throws: VhostUserFault.regionUnknown) { try talk.say(.removeMemoryRegion, region) }
  }

  @Test func messagesOutOfOrderAreNamed() throws {
    let talk = Talk()
    #expect(throws: VhostUserFault.messageNotNegotiated) { try talk.say(.getQueueCount) }
    #expect(throws: VhostUserFault.featuresNotOffered) { try talk.say(.setFeatures, bytes(UInt64(1) << 63)) }
    #expect(throws: VhostUserFault.featuresNotOffered) { try talk.say(.setProtocolFeatures, bytes(UInt64.max)) }
    try talk.connect()
    try talk.say(.setFeatures, bytes(Self.features))
    try talk.memory()
    try talk.ring(0, SplitDriverQueue(talk.ram, size: 64), base: 0)
    #expect(throws: VhostUserFault.ringStartedTwice) { try talk.say(.setVringSize, queue: 0, 128) }
    #expect(throws: VhostUserFault.ringStartedTwice) { try talk.say(.setVringBase, queue: 0, 1) }
    #expect(throws: VhostUserFault.queueIndexWrong) { try talk.say(.setVringEnable, queue: 32, 1) }
    #expect(throws: VhostUserFault.queueIndexWrong) { try talk.say(.getVringBase, queue: 0x10000, 0) }
    #expect(throws: VhostUserFault.ringSizeWrong) { try talk.say(.setVringSize, queue: 1, 0x10000) }
    #expect(throws: VhostUserFault.ringSizeWrong) { try talk.say(.setVringSize, queue: 1, 0) }
    #expect(throws: VhostUserFault.descriptorIsNoEvent) {
      try talk.say(.setVringKick, bytes(UInt64(1)), [duplicate(talk.ram.descriptor)])
    }
    #expect(throws: VhostUserFault.messageDescriptorCountWrong) { try talk.say(.setVringKick, bytes(UInt64(1))) }
    #expect(throws: VhostUserFault.mtuWrong) { try talk.say(.setMTU, bytes(UInt64(1 << 20))) }
  }

  @Test func ringsOutsideTheMemoryCostTheirQueueOnly() throws {
    let talk = Talk()
    try talk.connect()
    try talk.say(.setFeatures, bytes(Self.features))
    try talk.memory()
    let driver = SplitDriverQueue(talk.ram, size: 64)
    for (shift, fault) in [
      (UInt64(1 << 20), VhostUserFault.ringOutsideMemory), ((1 << 20) - 64, .ringOutsideMemory), (8, .ringMisaligned),
      (UInt64.max - 0x7fff_0000_0000, .ringMisaligned),
    ] {
      try talk.say(.setVringSize, queue: 1, 64)
      try talk.say(.setVringBase, queue: 1, 0)
      try talk.address(1, driver, shift: shift)
      try talk.say(.setVringKick, bytes(UInt64(1)), [coflow_event_open()])
      #expect(talk.session.queueFaults[1] == fault)
    }
    try talk.say(.setVringSize, queue: 0, 60)
    try talk.say(.setVringBase, queue: 0, 0)
    try talk.address(0, driver)
    try talk.say(.setVringKick, bytes(UInt64(0)), [coflow_event_open()])
    #expect(talk.session.queueFaults[0] == .ringSizeWrong)
    // The driver starts it anew, rightly.
    try talk.ring(1, driver, base: 0)
    #expect(talk.session.queueFaults[1] == nil && talk.device.queues[1] != nil)
  }

  @Test func ringsThatWereNeverSetUpHaveABase() throws {
    let talk = Talk()
    // DPDK's virtio-user begins a new connection so.
    try talk.say(.setVringEnable, queue: 0, 0)
    #expect(try talk.base(0) == 0)
  }

  @Test func rarpComesInAsAFrame() throws {
    let talk = Talk()
    try talk.connect()
    try talk.say(.sendRARP, [0x52, 0x54, 0, 0, 0, 0x77, 0, 0])
    let frame = try #require(talk.device.injected.first)
    #expect(frame.count == 60)
    #expect(Array(frame[0..<14]) == [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0, 0, 0, 0x77, 0x80, 0x35])
  }

  @Test func logIsMarkedForWhatTheDeviceWrites() throws {
    let talk = Talk()
    try talk.connect()
    try talk.say(.setFeatures, bytes(Self.features))
    try talk.memory()
    let driver = SplitDriverQueue(talk.ram, size: 64)
    let buffer = talk.ram.allocate(10_000, alignment: 4096)
    try talk.ring(0, driver, base: 0)
    let log = GuestRAM(byteCount: 1 << 20)
    // As QEMU: log, features with the log, addresses again while the ring runs.
    let reply = try talk.say(.setLogBase, bytes(UInt64(1 << 20)) + bytes(UInt64(0)), [duplicate(log.descriptor)])
    #expect(reply.count == 12)
    try talk.say(.setFeatures, bytes(Self.features | 1 << 26))
    try talk.address(0, driver, flags: 1)
    let queue = try #require(talk.device.queues[0])
    let batch = ChainBatch()
    defer { batch.deallocate() }
    _ = driver.add([DriverBuffer(buffer, 10_000, isWritable: true)], indirect: false)
    driver.publish()
    queue.vring.fetch(1, into: batch, .deviceWrites)
    unsafe batch.chains[0].writtenByteCount = 5000
    queue.vring.complete(batch, count: 1)
    func isDirty(_ address: UInt64) -> Bool {
      let page = address >> 12
      return log.read(log.base + page / 8, 1)[0] >> (page % 8) & 1 == 1
    }
    #expect(isDirty(buffer) && isDirty(buffer + 4096) && !isDirty(buffer + 8192))
    #expect(isDirty(driver.deviceArea))
  }

  /// The switch is killed at any store while it gives a burst back; QEMU says again what it said first (where a new ring
  /// stands, or where the guest came from another host), and the next switch finds the position: no chain is lost, none is
  /// given back twice.
  @Test(arguments: testSeeds(30)) func killedSwitchFindsWherePackedRingsStood(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let path = "/tmp/vswitch-record-\(getpid())-\(seed)"
    defer { unsafe unlink(path) }
    let size = Int.random(in: 2...20, using: &random)
    let ram = GuestRAM(byteCount: 1 << 20)
    let driver = PackedDriverQueue(ram, size: size)
    let buffer = ram.allocate(64)
    var outstanding: [UInt16] = []
    var base: UInt32 = 0x8000_8000
    for round in 0..<60 {
      let record = try #require(VringRecord(path: path))
      let talk = Talk(record: record)
      try talk.connect()
      try talk.say(.setFeatures, bytes(Self.features | 1 << 34))
      var table = bytes(UInt32(1)) + bytes(UInt32(0)) + bytes(ram.base) + bytes(UInt64(ram.byteCount))
      table += bytes(ram.userBase) + bytes(UInt64(0))
      try talk.say(.setMemoryTable, table, [duplicate(ram.descriptor)])
      try talk.say(.setVringSize, queue: 1, UInt32(size))
      try talk.say(.setVringBase, queue: 1, base)
      var payload = bytes(UInt32(1)) + bytes(UInt32(0)) + bytes(ram.userAddress(driver.descriptors))
      payload +=
        bytes(ram.userAddress(driver.deviceArea)) + bytes(ram.userAddress(driver.driverArea)) + bytes(UInt64(0))
      try talk.say(.setVringAddress, payload)
      try talk.say(.setVringKick, bytes(UInt64(1)), [coflow_event_open()])
      let vring = try #require(talk.device.queues[1], "\(talk.session.queueFaults)").vring
      let batch = ChainBatch()
      defer { batch.deallocate() }
      for _ in 0..<Int.random(in: 0...3, using: &random) {
        for _ in 0..<Int.random(in: 1...4, using: &random) {
          let count = Int.random(in: 1...min(3, size), using: &random)
          let buffers = (0..<count).map { _ in DriverBuffer(buffer, 64) }
          if let identifier = driver.add(buffers, indirect: false) { outstanding.append(identifier) }
        }
        driver.publish()
        vring.fetch(Int.random(in: 1...8, using: &random), into: batch, .deviceReads)
        vring.complete(batch, count: batch.count)
        if Bool.random(using: &random) {
          while let used = driver.takeUsed() { #expect(used.identifier == outstanding.removeFirst()) }
        }
      }
      if round % 20 == 19 {
        // Stopped in peace, as for a snapshot or by a migration: the front-end knows better now.
        base = try talk.base(1)
        talk.session.end()
        continue
      }
      // Killed before the deciding store: what the record says of it must not count. Or right after it.
      let word = unsafe record.word(queue: 1)
      if Bool.random(using: &random) {
        vring.fetch(2, into: batch, .deviceReads)
        if batch.count > 0 {
          var after = vring.position
          for chain in 0..<batch.count { unsafe after.advance(batch.chains[chain].slotCount, size: UInt32(size)) }
          let before = UInt64(vring.position.packedBits)
          let intended = VringRecord.valid | before | UInt64(after.packedBits) << 16
          if Bool.random(using: &random) {
            vring.complete(batch, count: batch.count)
            if Bool.random(using: &random) {
              while let used = driver.takeUsed() { #expect(used.identifier == outstanding.removeFirst()) }
              if let identifier = driver.add([DriverBuffer(buffer, 64)], indirect: false) {
                outstanding.append(identifier)
              }
              driver.publish()
            }
          }
          unsafe word.storeBytes(of: intended, as: UInt64.self)
        }
      }
      let kept = unsafe word.load(as: UInt64.self)
      talk.session.end()
      unsafe word.storeBytes(of: kept, as: UInt64.self)
    }
    while let used = driver.takeUsed() { #expect(used.identifier == outstanding.removeFirst()) }
  }
}
