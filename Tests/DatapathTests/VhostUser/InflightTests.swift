import COFlow
import Foundation
import Glibc
import TestSupport
import Testing
import VSwitchCore
import VirtioDriver

@testable import Datapath

/// The record of buffers in flight that the front-end keeps (INFLIGHT_SHMFD): whatever another back-end had taken when it died,
/// and wherever this one dies, every chain comes back to the driver once.
@Suite struct InflightTests {
  /// Memory, a driver's queue and the record, which outlive back-ends.
  private final class Guest {
    let ram = GuestRAM(byteCount: 1 << 20)
    let driver: any DriverQueue
    let isPacked: Bool
    let area: OwnedDescriptor
    let description: InflightDescription
    let mapping: GuardedMapping
    /// What the driver waits for.
    var outstanding: [UInt16] = []
    private let buffer: UInt64

    init(size: Int, isPacked: Bool) throws {
      self.isPacked = isPacked
      driver = isPacked ? PackedDriverQueue(ram, size: size) : SplitDriverQueue(ram, size: size)
      buffer = ram.allocate(64)
      let session = SessionTests.Talk()
      try session.connect()
      try session.say(.setFeatures, bytes(features(isPacked)))
      let wish = InflightDescription(byteCount: 0, fileOffset: 0, queueCount: 2, queueSize: UInt16(size))
      let header = try VhostUserHeader((bytes(UInt32(31)) + bytes(UInt32(1)) + bytes(UInt32(24)))[...])
      let reply = try session.session.handle(VhostUserMessage(header, payload: wish.encoded[...], descriptors: []))
      area = try #require(reply.descriptor)
      description = InflightDescription(
        byteCount: reply.bytes[12...].number(UInt64.self, at: 0), fileOffset: 0, queueCount: 2,
        queueSize: UInt16(size))
      mapping = try GuardedMapping(area, offset: 0, byteCount: description.byteCount)
    }

    /// The second queue's record.
    var record: UnsafeMutableRawPointer { unsafe mapping.host + Int(description.byteCount) / 2 }

    func add(_ count: Int, using random: inout SeededGenerator) {
      for _ in 0..<count {
        let buffers = (0..<Int.random(in: 1...min(3, driver.size), using: &random)).map { _ in DriverBuffer(buffer, 64)
        }
        guard let identifier = driver.add(buffers, indirect: Bool.random(using: &random)) else { break }
        outstanding.append(identifier)
      }
      driver.publish()
    }

    func takeBack() throws {
      while let used = driver.takeUsed() {
        let position = try #require(
          outstanding.firstIndex(of: used.identifier), "\(used.identifier) came back twice, or never was there")
        outstanding.remove(at: position)
      }
    }

    /// A new back-end of ours on all that, told what QEMU tells it.
    func backEnd(base: UInt32? = nil) throws -> SessionTests.Talk {
      let talk = SessionTests.Talk()
      try talk.connect()
      try talk.say(.setFeatures, bytes(features(isPacked)))
      try talk.say(.setInflightDescriptor, description.encoded, [duplicate(area.number)])
      var table = bytes(UInt32(1)) + bytes(UInt32(0)) + bytes(ram.base) + bytes(UInt64(ram.byteCount))
      table += bytes(ram.userBase) + bytes(UInt64(0))
      try talk.say(.setMemoryTable, table, [duplicate(ram.descriptor)])
      try talk.say(.setVringSize, queue: 1, UInt32(driver.size))
      // It has no idea.
      try talk.say(.setVringBase, queue: 1, base ?? (isPacked ? 0x8000_8000 : 0))
      var payload = bytes(UInt32(1)) + bytes(UInt32(0)) + bytes(ram.userAddress(driver.descriptors))
      payload += bytes(ram.userAddress(driver.deviceArea)) + bytes(ram.userAddress(driver.driverArea))
      try talk.say(.setVringAddress, payload + bytes(UInt64(0)))
      try talk.say(.setVringKick, bytes(UInt64(1)), [coflow_event_open()])
      return talk
    }
  }

  private static func features(_ isPacked: Bool) -> UInt64 { SessionTests.features | (isPacked ? 1 << 34 : 0) }
  private func features(_ isPacked: Bool) -> UInt64 { Self.features(isPacked) }

  @Test(arguments: testSeeds(20), [false, true])
  func everyChainComesBackOnceWhereverItDies(seed: UInt64, isPacked: Bool) throws {
    var random = SeededGenerator(seed: seed)
    let guest = try Guest(size: isPacked ? Int.random(in: 3...20, using: &random) : 16, isPacked: isPacked)
    for _ in 0..<40 {
      let talk = try guest.backEnd()
      let vring = try #require(talk.device.queues[1], "\(talk.session.queueFaults)").vring
      let batch = ChainBatch()
      defer { batch.deallocate() }
      for _ in 0..<Int.random(in: 0...3, using: &random) {
        guest.add(Int.random(in: 0...4, using: &random), using: &random)
        vring.fetch(Int.random(in: 1...8, using: &random), into: batch, .deviceReads)
        vring.complete(batch, count: Int.random(in: 0...batch.count, using: &random))
        if Bool.random(using: &random) { try guest.takeBack() }
      }
      // Killed somewhere while it gives a burst back: before the store that decides, or after it with the record not settled.
      vring.fetch(4, into: batch, .deviceReads)
      if batch.count > 0, Bool.random(using: &random) {
        var after = vring.position
        for chain in 0..<batch.count {
          let slots = unsafe batch.chains[chain].slotCount
          if isPacked { after.advance(slots, size: UInt32(guest.driver.size)) } else { after.next &+= 1 }
        }
        vring.noteInflight(batch.count, to: after)
        let noted = unsafe [UInt8](
          UnsafeRawBufferPointer(start: guest.mapping.host, count: Int(guest.description.byteCount)))
        if Bool.random(using: &random) {
          vring.complete(batch, count: batch.count)
          unsafe guest.mapping.host.copyMemory(from: noted, byteCount: noted.count)
          if Bool.random(using: &random) { try guest.takeBack() }
        }
      }
    }
    let talk = try guest.backEnd()
    let vring = try #require(talk.device.queues[1]).vring
    let batch = ChainBatch()
    defer { batch.deallocate() }
    vring.fetch(100, into: batch, .deviceReads)
    vring.complete(batch, count: batch.count)
    try guest.takeBack()
    #expect(guest.outstanding.isEmpty)
  }

  /// A back-end as the specification describes it, which gives chains back in any order and dies anywhere.
  @Test(arguments: testSeeds(30), [false, true])
  func whatAnotherBackEndHadTakenIsServed(seed: UInt64, isPacked: Bool) throws {
    var random = SeededGenerator(seed: seed)
    let guest = try Guest(size: isPacked ? Int.random(in: 3...20, using: &random) : 16, isPacked: isPacked)
    // The first one makes the record, and some use of the ring.
    do {
      let talk = try guest.backEnd()
      let vring = try #require(talk.device.queues[1]).vring
      let batch = ChainBatch()
      defer { batch.deallocate() }
      guest.add(Int.random(in: 0...5, using: &random), using: &random)
      vring.fetch(9, into: batch, .deviceReads)
      vring.complete(batch, count: batch.count)
      try guest.takeBack()
    }
    let other = unsafe OtherBackEnd(
      guest.ram, guest.driver, isPacked: isPacked, guest.record)
    for _ in 0..<Int.random(in: 1...6, using: &random) {
      guest.add(Int.random(in: 0...6, using: &random), using: &random)
      other.take(Int.random(in: 0...6, using: &random))
      other.giveBack(Int.random(in: 0...4, using: &random), dying: 9, using: &random)
      try guest.takeBack()
    }
    other.giveBack(Int.random(in: 0...4, using: &random), dying: Int.random(in: 0...3, using: &random), using: &random)
    if Bool.random(using: &random) { try guest.takeBack() }
    guest.add(Int.random(in: 0...4, using: &random), using: &random)

    // Ours goes on, is asked to stop in the midst of it, and goes on.
    var base: UInt32?
    for round in 0..<3 {
      let talk = try guest.backEnd(base: base)
      let vring = try #require(talk.device.queues[1], "\(talk.session.queueFaults)").vring
      let batch = ChainBatch()
      defer { batch.deallocate() }
      vring.fetch(round == 2 ? 100 : 2, into: batch, .deviceReads)
      vring.complete(batch, count: round == 2 ? batch.count : min(batch.count, 1))
      if round == 0 { base = try talk.base(1) }
      if round < 2 { guest.add(1, using: &random) }
      try guest.takeBack()
    }
    #expect(guest.outstanding.isEmpty)
  }

  @Test(arguments: testSeeds(20), [false, true])
  func anyRecordEndsAsAQueueOrAFault(seed: UInt64, isPacked: Bool) throws {
    var random = SeededGenerator(seed: seed)
    for _ in 0..<50 {
      let guest = try Guest(size: 16, isPacked: isPacked)
      guest.add(5, using: &random)
      _ = try guest.backEnd()
      let count = Int(guest.description.byteCount) / 2
      for _ in 0..<Int.random(in: 1...40, using: &random) {
        let place =
          Bool.random(using: &random)
          ? Int.random(in: 10..<64, using: &random) : Int.random(in: 0..<count, using: &random)
        let value =
          Bool.random(using: &random)
          ? UInt8.random(in: 0...20, using: &random) : UInt8.random(in: 0...255, using: &random)
        unsafe guest.record.storeBytes(of: value, toByteOffset: place, as: UInt8.self)
      }
      let talk = try guest.backEnd()
      if let vring = talk.device.queues[1]?.vring {
        let batch = ChainBatch()
        defer { batch.deallocate() }
        for _ in 0..<4 {
          vring.fetch(8, into: batch, .deviceReads)
          vring.complete(batch, count: batch.count)
        }
      } else {
        #expect(talk.session.queueFaults[1] == .inflightRecordWrong)
      }
    }
  }

  @Test func areasThatAreTooSmallOrMisalignedAreRefused() throws {
    let guest = try Guest(size: 16, isPacked: false)
    let talk = SessionTests.Talk()
    try talk.connect()
    let size = guest.description.byteCount
    for (area, fault) in [
      (
        InflightDescription(byteCount: size, fileOffset: 0, queueCount: 0, queueSize: 16),
        VhostUserFault.inflightAreaWrong
      ),
      (InflightDescription(byteCount: size, fileOffset: 0, queueCount: 33, queueSize: 16), .inflightAreaWrong),
      (InflightDescription(byteCount: size, fileOffset: 8, queueCount: 2, queueSize: 16), .inflightAreaWrong),
      (InflightDescription(byteCount: 64, fileOffset: 0, queueCount: 2, queueSize: 16), .inflightAreaWrong),
      (InflightDescription(byteCount: size + 1, fileOffset: 0, queueCount: 2, queueSize: 16), .regionLargerThanFile),
      (InflightDescription(byteCount: .max, fileOffset: 64, queueCount: 2, queueSize: 16), .regionOverflows),
    ] {
      #expect(throws: fault) {
        try talk.say(.setInflightDescriptor, area.encoded, [duplicate(guest.area.number)])
      }
    }
  }

  /// Over sockets: the front-end keeps the record, the switch that comes after begins where the first one ended, although it is told
  /// that the ring is new and its own record is gone.
  @Test(arguments: [false, true]) func theNextSwitchGoesOnFromTheFrontEndsRecord(isPacked: Bool) throws {
    let directory = "/tmp/vswitch-inflight-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    var config = SwitchConfig()
    var bridge = BridgeConfig(name: "br0")
    bridge.ports = ["a", "b"].map { PortConfig(name: $0, interface: InterfaceConfig(name: $0, kind: .vhostUser)) }
    config.bridges = [bridge]
    let ram = GuestRAM(byteCount: 1 << 20)
    let queue: any DriverQueue = isPacked ? PackedDriverQueue(ram, size: 16) : SplitDriverQueue(ram, size: 16)
    let buffer = ram.allocate(256)
    var area: (payload: [UInt8], descriptor: Int32)?
    for round in 0..<3 {
      try? FileManager.default.removeItem(atPath: directory + "/a.rings")
      var options = DatapathOptions()
      options.runDirectory = directory
      let datapath = try Datapath(options)
      defer { datapath.shutdown() }
      for state in datapath.apply(config) { #expect(state.error == nil) }
      let b = try PortTests.Guest(directory + "/b")
      let a = try FrontEnd(connect: directory + "/a")
      // INFLIGHT_SHMFD and REPLY_ACK.
      try a.begin(ram, features: features(isPacked), protocolFeatures: 1 << 12 | 1 << 3)
      if area == nil {
        let wish = FrontEnd.bytes(UInt64(0)) + FrontEnd.bytes(UInt64(0)) + FrontEnd.bytes(UInt16(2))
        a.send(.getInflightDescriptor, wish + FrontEnd.bytes(UInt16(16)) + [0, 0, 0, 0])
        area = a.replyWithDescriptor()
      }
      let record = try #require(area)
      try #require(record.descriptor >= 0 && record.payload.count == 24)
      a.send(.setInflightDescriptor, record.payload, descriptors: [record.descriptor], needReply: true)
      #expect(a.reply() == [UInt8](repeating: 0, count: 8))
      let events = a.start(queue, index: 1, ram, base: isPacked ? 0x8000_8000 : 0)
      defer {
        close(events.kick)
        close(events.call)
      }
      for number in 0..<(round + 5) {
        let frame = PortTests.frame(to: 0xb, from: 0xa, 100, fill: UInt8(round * 16 + number))
        ram.write([UInt8](repeating: 0, count: 12) + frame, at: buffer)
        try #require(queue.add([DriverBuffer(buffer, 112)], indirect: false) != nil)
        queue.publish()
        var one: UInt64 = 1
        _ = unsafe write(events.kick, &one, 8)
        #expect(b.take()?.frame == frame)
        #expect(eventually { queue.takeUsed() != nil })
      }
      #expect(queue.takeUsed() == nil)
    }
    if let area { close(area.descriptor) }
  }
}
