import COFlow
import Foundation
import Glibc
import TestSupport
import Testing
import VSwitchCore
import VirtioDriver

@testable import Datapath

/// A switch with vhost-user ports only, in this process, and front-ends on its sockets: what one guest sends another gets,
/// and a guest that breaks rules harms itself alone.
@Suite(.serialized) struct PortTests {
  /// A guest: memory, a receive and a transmit queue, both of them served by hand.
  final class Guest {
    static let features: UInt64 = 1 << 30 | 1 << 32 | 1 << 28
    static let mergeable: UInt64 = 1 << 15
    static let packed: UInt64 = 1 << 34
    let ram = GuestRAM(byteCount: 8 << 20)
    let frontEnd: FrontEnd
    let receive: any DriverQueue
    let transmit: any DriverQueue
    var receiveEvents: (kick: Int32, call: Int32) = (-1, -1)
    var transmitEvents: (kick: Int32, call: Int32) = (-1, -1)
    private var receiveBuffers: [UInt16: UInt64] = [:]
    private var transmitBuffers: [UInt64] = []
    private var nextTransmit = 0
    private var sent = 0
    private var returned = 0
    let bufferByteCount: Int
    /// 10 without VERSION_1 and mergeable buffers.
    let headerByteCount: Int

    init(
      _ path: String, features: UInt64 = Guest.features, protocolFeatures: UInt64 = 0x9, size: Int = 64,
      bufferByteCount: Int = 2048
    ) throws {
      self.bufferByteCount = bufferByteCount
      headerByteCount = features & (1 << 32 | Guest.mergeable) != 0 ? 12 : 10
      let isPacked = features & Guest.packed != 0
      frontEnd = try FrontEnd(connect: path)
      receive = isPacked ? PackedDriverQueue(ram, size: size) : SplitDriverQueue(ram, size: size)
      transmit = isPacked ? PackedDriverQueue(ram, size: size) : SplitDriverQueue(ram, size: size)
      try frontEnd.begin(ram, features: features, protocolFeatures: protocolFeatures)
      let base: UInt32 = isPacked ? 0x8000_8000 : 0
      for _ in 0..<size { giveBuffer(ram.allocate(bufferByteCount)) }
      receive.publish()
      receiveEvents = frontEnd.start(receive, index: 0, ram, base: base)
      transmitEvents = frontEnd.start(transmit, index: 1, ram, base: base)
      transmitBuffers = (0..<16).map { _ in ram.allocate(72 << 10) }
      // Answered after everything before it has been done.
      _ = frontEnd.number(.getFeatures)
    }

    deinit {
      for event in [receiveEvents.kick, receiveEvents.call, transmitEvents.kick, transmitEvents.call] { close(event) }
    }

    func giveBuffer(_ address: UInt64) {
      let buffers = [DriverBuffer(address, UInt32(bufferByteCount), isWritable: true)]
      if let identifier = receive.add(buffers, indirect: false) { receiveBuffers[identifier] = address }
    }

    func kick(_ event: Int32) {
      var one: UInt64 = 1
      unsafe _ = Glibc.write(event, &one, 8)
    }

    /// Sends a frame, in pieces of at most `piece` bytes.
    func send(_ frame: [UInt8], header: [UInt8]? = nil, piece: Int = 1 << 20) -> Bool {
      while transmit.takeUsed() != nil { returned += 1 }
      let bytes = (header ?? [UInt8](repeating: 0, count: headerByteCount)) + frame
      let address = transmitBuffers[nextTransmit % 16]
      nextTransmit += 1
      ram.write(bytes, at: address)
      var buffers: [DriverBuffer] = []
      var offset = 0
      while offset < bytes.count {
        let count = min(piece, bytes.count - offset)
        buffers.append(DriverBuffer(address + UInt64(offset), UInt32(count)))
        offset += count
      }
      guard transmit.add(buffers, indirect: buffers.count > 4) != nil else { return false }
      sent += 1
      transmit.publish()
      if transmit.wantsKick { kick(transmitEvents.kick) }
      return true
    }

    /// The switch has given every chain back that was sent.
    func areAllReturned() -> Bool {
      while transmit.takeUsed() != nil { returned += 1 }
      return returned == sent
    }

    /// Writes other bytes where frames were sent from.
    func overwriteBuffers() {
      for address in transmitBuffers { ram.write([UInt8](repeating: 0x55, count: 72 << 10), at: address) }
    }

    /// The next frame, with its header; nil if none comes in time.
    func take(_ deadline: Duration = .seconds(2)) -> (header: [UInt8], frame: [UInt8])? {
      var result: [UInt8] = []
      var wanted = 1
      var got = 0
      while got < wanted {
        var used: UsedChain?
        guard
          eventually(
            deadline, every: .milliseconds(1),
            {
              used = receive.takeUsed()
              return used != nil
            }), let used,
          let address = receiveBuffers.removeValue(forKey: used.identifier)
        else { return nil }
        let bytes = ram.read(address, Int(used.writtenByteCount))
        if got == 0, headerByteCount == 12, bytes.count >= 12 { wanted = Int(bytes[10]) }
        result += bytes
        got += 1
        giveBuffer(address)
        receive.publish()
        if receive.wantsKick { kick(receiveEvents.kick) }
      }
      guard result.count >= headerByteCount else { return nil }
      return (Array(result.prefix(headerByteCount)), Array(result.dropFirst(headerByteCount)))
    }
  }

  /// A bridge with vhost-user ports of these names.
  static func withSwitch(_ ports: [String], _ body: (Datapath, String) throws -> Void) throws {
    let directory = "/tmp/vswitch-vhost-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    var options = DatapathOptions()
    options.runDirectory = directory
    let datapath = try Datapath(options)
    defer { datapath.shutdown() }
    var config = SwitchConfig()
    var bridge = BridgeConfig(name: "br0")
    bridge.ports = ports.map { PortConfig(name: $0, interface: InterfaceConfig(name: $0, kind: .vhostUser)) }
    config.bridges = [bridge]
    for state in datapath.apply(config) { #expect(state.error == nil) }
    try body(datapath, directory)
  }

  static func frame(to destination: UInt8, from source: UInt8, _ count: Int, fill: UInt8 = 0xab) -> [UInt8] {
    [2, 0, 0, 0, 0, destination, 2, 0, 0, 0, 0, source, 0x88, 0xb5]
      + (0..<max(count - 14, 0)).map { UInt8($0 & 255) ^ fill }
  }

  @Test(
    arguments: [
      Guest.features, Guest.features | Guest.mergeable, Guest.features | Guest.packed,
      Guest.features | Guest.packed | Guest.mergeable,
    ])
  func framesOfAllSizesArriveWhole(features: UInt64) throws {
    try Self.withSwitch(["a", "b"]) { _, directory in
      let a = try Guest(directory + "/a", features: features)
      let b = try Guest(directory + "/b", features: features)
      for count in [60, 61, 127, 128, 129, 500, 1514, 2000, 2036] {
        for piece in [1 << 20, 12, 100] {
          let sent = Self.frame(to: 0xb, from: 0xa, count, fill: UInt8(piece & 255))
          try #require(a.send(sent, piece: piece))
          let got = try #require(b.take(), "\(count) \(piece)")
          #expect(got.frame == sent)
          #expect(got.header == [UInt8](repeating: 0, count: 10) + [1, 0])
        }
      }
    }
  }

  @Test(arguments: [Guest.features | Guest.mergeable, Guest.features | Guest.packed | Guest.mergeable])
  func longFramesAreSpreadOverMergeableBuffers(features: UInt64) throws {
    try Self.withSwitch(["a", "b"]) { _, directory in
      let a = try Guest(directory + "/a", features: features)
      let b = try Guest(directory + "/b", features: features)
      for count in [2037, 9014, 40_000, 65_550] {
        let sent = Self.frame(to: 0xb, from: 0xa, count)
        try #require(a.send(sent, piece: 4096))
        let got = try #require(b.take())
        #expect(got.frame == sent)
        #expect(Int(got.header[10]) == (count + 12 + 2047) / 2048)
      }
    }
  }

  /// Long frames are copied from sender to receiver; one that has to wait may not lean on its sender's buffers, which are
  /// given back meanwhile and written anew.
  @Test func longFramesThatWaitKeepTheirBytes() throws {
    try Self.withSwitch(["a", "b"]) { _, directory in
      let a = try Guest(directory + "/a", features: Guest.features | Guest.mergeable)
      let b = try Guest(directory + "/b", features: Guest.features | Guest.mergeable)
      try #require(b.send(Self.frame(to: 0xa, from: 0xb, 60)))
      try #require(a.take() != nil)
      // The receiver has 64 buffers of 2 KB: three of these fit.
      let frames = (0..<5).map { Self.frame(to: 0xb, from: 0xa, 40_000, fill: UInt8($0 * 40)) }
      for frame in frames { try #require(a.send(frame, piece: 4096)) }
      #expect(eventually { a.areAllReturned() })
      a.overwriteBuffers()
      for frame in frames { #expect(b.take()?.frame == frame) }
    }
  }

  @Test func longFramesAreFloodedWhole() throws {
    try Self.withSwitch(["a", "b", "c", "d"]) { datapath, directory in
      let features = Guest.features | Guest.mergeable
      let a = try Guest(directory + "/a", features: features)
      let others = try ["b", "c", "d"].map { try Guest(directory + "/" + $0, features: features) }
      for count in [2049, 9000, 60_000] {
        let sent = Self.frame(to: 0xff, from: 0xa, count)
        try #require(a.send(sent, piece: 1000))
        for other in others { #expect(other.take()?.frame == sent) }
      }
      for counters in datapath.counters().map(\.counters) {
        #expect(counters.receivedPackets == counters.forwardedPackets + counters.receiveDrops.values.reduce(0, +))
      }
    }
  }

  @Test func framesTooLongForAGuestsBuffersAreDroppedAndCounted() throws {
    try Self.withSwitch(["a", "b"]) { datapath, directory in
      let a = try Guest(directory + "/a")
      let b = try Guest(directory + "/b")
      try #require(a.send(Self.frame(to: 0xb, from: 0xa, 3000)))
      try #require(a.send(Self.frame(to: 0xb, from: 0xa, 100)))
      #expect(b.take()?.frame.count == 100)
      let counters = datapath.counters().first { $0.port == "a" }?.counters
      #expect(counters?.receiveDrops == [.transmitTooLong: 1])
      #expect(counters?.forwardedPackets == 1)
    }
  }

  /// Ways to break a rule of the transmit ring.
  static let brokenRules: [(VhostUserFault, @Sendable (GuestRAM, SplitDriverQueue) -> Void)] = [
    (.availableIndexJumped, { _, queue in queue.availableIndex &+= 1000 }),
    (.headOutOfRange, { _, queue in queue.pushHead(1000) }),
    (
      .bufferOutsideMemory,
      { _, queue in
        queue.writeDescriptor(queue.descriptors, 0, 5, 64, flags: 0, next: 0)
        queue.pushHead(0)
      }
    ),
    (
      .chainTooLong,
      { ram, queue in
        queue.writeDescriptor(queue.descriptors, 0, ram.base, 64, flags: 1, next: 0)
        queue.pushHead(0)
      }
    ),
    (
      .headerIncomplete,
      { ram, queue in
        queue.writeDescriptor(queue.descriptors, 0, ram.base, 12, flags: 0, next: 0)
        queue.pushHead(0)
      }
    ),
    (
      .frameTooLong,
      { ram, queue in
        queue.writeDescriptor(queue.descriptors, 0, ram.base, 1 << 20, flags: 0, next: 0)
        queue.pushHead(0)
      }
    ),
  ]

  /// Each broken rule costs the guest that queue, by name, and no more; its neighbours' frames go on.
  @Test func aGuestThatBreaksARuleLosesItsQueueAlone() throws {
    try Self.withSwitch(["a", "b", "c"]) { datapath, directory in
      let a = try Guest(directory + "/a")
      let b = try Guest(directory + "/b")
      for (rule, breakIt) in Self.brokenRules {
        let c = try Guest(directory + "/c")
        let queue = try #require(c.transmit as? SplitDriverQueue)
        try #require(c.send(Self.frame(to: 0xb, from: 0xc, 100)))
        #expect(b.take()?.frame.count == 100)
        breakIt(c.ram, queue)
        queue.publish()
        c.kick(c.transmitEvents.kick)
        let isNamed = eventually {
          datapath.portStates().first { $0.name == "c" }?.status["vring_1_fault"] == rule.description
        }
        #expect(isNamed, "\(rule)")
        // Its other queue works still, and so do its neighbours.
        try #require(a.send(Self.frame(to: 0xc, from: 0xa, 200)))
        #expect(c.take()?.frame.count == 200)
        try #require(a.send(Self.frame(to: 0xb, from: 0xa, 100)))
        #expect(b.take()?.frame.count == 100)
      }
      for counters in datapath.counters().map(\.counters) {
        #expect(counters.receivedPackets == counters.forwardedPackets + counters.receiveDrops.values.reduce(0, +))
      }
    }
  }

  @Test func aGuestThatCutsItsMemoryLosesItsQueuesAlone() throws {
    try Self.withSwitch(["a", "b", "c"]) { datapath, directory in
      let a = try Guest(directory + "/a")
      let b = try Guest(directory + "/b")
      let c = try Guest(directory + "/c")
      try #require(c.send(Self.frame(to: 0xb, from: 0xc, 100)))
      #expect(b.take() != nil)
      #expect(ftruncate(c.ram.descriptor, 0) == 0)
      c.kick(c.transmitEvents.kick)
      try #require(a.send(Self.frame(to: 0xc, from: 0xa, 200)))
      #expect(
        eventually {
          datapath.portStates().first { $0.name == "c" }?.status.contains {
            $0.key.hasSuffix("fault") && $0.value == VhostUserFault.memoryShrunk.description
          } == true
        })
      try #require(a.send(Self.frame(to: 0xb, from: 0xa, 100)))
      #expect(b.take()?.frame.count == 100)
    }
  }

  @Test func aGuestThatGivesNoBuffersKeepsNoPackets() throws {
    try Self.withSwitch(["a", "b", "c"]) { datapath, directory in
      let a = try Guest(directory + "/a")
      let b = try Guest(directory + "/b")
      let c = try Guest(directory + "/c", size: 4)
      try #require(c.send(Self.frame(to: 0xb, from: 0xc, 100)))
      #expect(b.take() != nil)
      // It has 4 buffers and gives none back: some frames wait, the others are dropped and counted.
      for _ in 0..<500 {
        while !a.send(Self.frame(to: 0xc, from: 0xa, 100)) { usleep(100) }
      }
      #expect(
        eventually {
          (datapath.counters().first { $0.port == "c" }?.counters.transmitDrops[.transmitQueueFull] ?? 0) > 300
        })
      while !a.send(Self.frame(to: 0xb, from: 0xa, 100)) { usleep(100) }
      #expect(b.take()?.frame.count == 100)
      // Once it reads, what waited comes, and more.
      for _ in 0..<20 { #expect(c.take() != nil) }
    }
  }

  @Test func halfAMessageAndItsEndCostNobodyElse() throws {
    try Self.withSwitch(["a", "b", "c"]) { datapath, directory in
      let a = try Guest(directory + "/a")
      let b = try Guest(directory + "/b")
      let probe = LeakProbe()
      for number in 0..<50 {
        let hostile = try FrontEnd(connect: directory + "/c")
        let probeEnd = probe.copy()
        defer { close(probeEnd) }
        switch number % 5 {
        case 0: hostile.sendRaw([1, 0, 0])
        case 1:
          hostile.sendRaw(
            FrontEnd.message(5, [UInt8](repeating: 0xff, count: 40)), descriptors: Array(repeating: probeEnd, count: 3))
        case 2: hostile.sendRaw(FrontEnd.message(1, []), descriptors: Array(repeating: probeEnd, count: 20))
        case 3: hostile.sendRaw(FrontEnd.message(99, []))
        default: hostile.sendRaw(FrontEnd.message(2, []))
        }
        if number % 5 != 0 { #expect(hostile.isClosed()) }
        try #require(a.send(Self.frame(to: 0xb, from: 0xa, 100)))
        #expect(b.take()?.frame.count == 100)
      }
      #expect(probe.isAllClosed())
    }
  }

  @Test func aConnectionMayEndInAnyMoment() throws {
    try Self.withSwitch(["a", "b"]) { datapath, directory in
      let b = try Guest(directory + "/b")
      for round in 0..<20 {
        let a = try Guest(directory + "/a")
        for _ in 0..<round { _ = a.send(Self.frame(to: 0xb, from: 0xa, 100)) }
        // Gone, with its memory, in the middle of it.
      }
      let a = try Guest(directory + "/a")
      while b.take(.milliseconds(100)) != nil {}
      try #require(a.send(Self.frame(to: 0xb, from: 0xa, 77)))
      #expect(b.take()?.frame.count == 77)
      _ = datapath
    }
  }

  @Test func theNextFrontEndIsServedAsSoonAsTheLastHasGone() throws {
    try Self.withSwitch(["a"]) { _, directory in
      for _ in 0..<500 {
        let frontEnd = try FrontEnd(connect: directory + "/a")
        #expect(frontEnd.number(.getFeatures) != nil)
      }
      // While it is there, another is turned away.
      let first = try FrontEnd(connect: directory + "/a")
      #expect(first.number(.getFeatures) != nil)
      #expect(try FrontEnd(connect: directory + "/a").isClosed())
      #expect(first.number(.getFeatures) != nil)
    }
  }

  @Test func staleSocketsAreTakenOverAndLiveOnesAreNot() throws {
    try Self.withSwitch(["a"]) { datapath, directory in
      var options = DatapathOptions()
      options.runDirectory = directory
      let second = try Datapath(options)
      defer { second.shutdown() }
      var config = SwitchConfig()
      var bridge = BridgeConfig(name: "br0")
      bridge.ports = [PortConfig(name: "a", interface: InterfaceConfig(name: "a", kind: .vhostUser))]
      config.bridges = [bridge]
      #expect(second.apply(config).first?.error?.description.contains("another program listens") == true)
      _ = datapath.apply(SwitchConfig())
      // As a killed switch leaves it: a socket that nobody listens on.
      let stale = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
      var address = [UInt8](repeating: 0, count: 110)
      address[0] = UInt8(AF_UNIX)
      let path = directory + "/a"
      address.replaceSubrange(2..<2 + path.utf8.count, with: Array(path.utf8))
      unsafe address.withUnsafeBytes { bytes in
        if let base = bytes.baseAddress { _ = unsafe bind(stale, base.assumingMemoryBound(to: sockaddr.self), 110) }
      }
      close(stale)
      #expect(second.apply(config).first?.error == nil)
      _ = try FrontEnd(connect: path)
    }
  }
}
