// Bursts from one guest's transmit ring into another one's receive ring, through a learning bridge: what vhost-user ports cost.
//
// The drivers do next to nothing, so that what is counted is the switch: a split ring's descriptors stay as they are and only
// `avail->idx` moves on; a packed ring's are made available again by one store each. Thread: the caller's. Memory: one mapping for
// both guests. Standard: virtio 1.2 §2.7, §2.8; QEMU docs/interop/vhost-user.rst.

import CTestSupport
import Datapath
import Glibc
import VSwitchCore

/// Two guests on `br0`.
@safe package final class GuestScenarioRun {
  /// What is measured, by name.
  package static let all: [(name: String, summary: String, isPacked: Bool, frameByteCount: Int)] = [
    ("guest", "guest to guest, split rings", false, 60),
    ("guest-packed", "guest to guest, packed rings", true, 60),
    ("guest-long", "guest to guest, 1514 bytes: one copy", false, 1514),
  ]

  private static let ringSize = 256
  private static let bufferByteCount = 2048
  /// Descriptors, at 0x1000 the driver's and at 0x2000 the device's area.
  private static let ringByteCount = 0x4000
  private static let headerByteCount = 12
  /// First address as front-ends name it.
  private static let userBase: UInt64 = 1 << 40

  private let harness: DatapathHarness
  private let guests: [GuestHarness]
  private let memory: UnsafeMutableRawPointer
  private let byteCount: Int
  private let isPacked: Bool
  private let frameByteCount: Int
  private let burst: Int
  /// Where the drivers are in the sender's transmit ring and in the receiver's receive ring.
  private var sending: Position
  private var receiving: Position
  private var roundCount = 0
  private var sentBefore: UInt64 = 0

  /// A driver's place in a ring.
  private struct Position {
    /// 0 to 3: receive and transmit ring of the first guest, then of the second.
    var ring: Int
    var next = 0
    var lap = true
  }

  package init(_ name: String, burst: Int) throws {
    guard let kind = Self.all.first(where: { $0.name == name }) else {
      throw GuestScenarioError(text: "no scenario \(name)")
    }
    isPacked = kind.isPacked
    frameByteCount = kind.frameByteCount
    self.burst = burst
    var bridge = BridgeConfig(name: "br0")
    bridge.ports = ["p1", "p2"].map { PortConfig(name: $0, interface: InterfaceConfig(name: $0, kind: .vhostUser)) }
    var config = SwitchConfig()
    config.bridges = [bridge]
    harness = try DatapathHarness(config, packetCount: 2048)
    byteCount = 4 * (Self.ringByteCount + Self.ringSize * Self.bufferByteCount)
    let file = unsafe ctest_memory_file("guests")
    ftruncate(file, byteCount)
    guard let mapped = unsafe mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0),
      unsafe mapped != MAP_FAILED
    else { throw GuestScenarioError(text: "no memory") }
    unsafe memory = mapped
    guests = ["p1", "p2"].compactMap { [harness] in harness.guest(bridge: "br0", port: $0) }
    sending = Position(ring: 1)
    receiving = Position(ring: 2)
    for ring in 0..<4 { fill(ring) }
    for (number, guest) in guests.enumerated() { try connect(guest, number, file: file) }
    close(file)
    // The receiver's station becomes known; its receive ring is full of buffers.
    var introduction = Position(ring: 3)
    offer(&introduction, 1)
    offer(&receiving, Self.ringSize)
    harness.run(rounds: 2)
    sentBefore = transmitted
  }

  deinit {
    for guest in guests { guest.end() }
    unsafe munmap(memory, byteCount)
  }

  private var transmitted: UInt64 { harness.counters(bridge: "br0", port: "p2").transmittedPackets }
  /// Frames that have come to the receiver.
  package var sent: Int { Int(transmitted - sentBefore) }
  /// Frames that should have.
  package var expected: Int { roundCount * burst }

  /// Lets `count` bursts pass.
  package func rounds(_ count: Int) {
    for _ in 0..<count {
      offer(&sending, burst)
      harness.run(rounds: 1)
      // As many as were used.
      offer(&receiving, burst)
    }
    roundCount += count
  }

  // MARK: drivers

  private func place(_ ring: Int) -> Int { ring * Self.ringByteCount }
  private func buffer(_ ring: Int, _ slot: Int) -> Int {
    4 * Self.ringByteCount + (ring * Self.ringSize + slot) * Self.bufferByteCount
  }
  private func isReceive(_ ring: Int) -> Bool { ring & 1 == 0 }
  private func bufferLength(_ ring: Int) -> Int {
    isReceive(ring) ? Self.bufferByteCount : Self.headerByteCount + frameByteCount
  }

  /// Writes descriptors, the available ring and, of transmit rings, frames.
  private func fill(_ ring: Int) {
    let here = station(1, 1)
    let there = station(2, 1)
    let frame = ring == 1 ? smallFrame(to: there, from: here) : smallFrame(to: here, from: there)
    for slot in 0..<Self.ringSize {
      let descriptor = unsafe memory + place(ring) + 16 * slot
      unsafe descriptor.storeBytes(of: UInt64(buffer(ring, slot)), as: UInt64.self)
      if !isPacked {
        unsafe descriptor.storeBytes(of: UInt32(bufferLength(ring)), toByteOffset: 8, as: UInt32.self)
        unsafe descriptor.storeBytes(of: isReceive(ring) ? 2 : 0, toByteOffset: 12, as: UInt16.self)
        unsafe memory.storeBytes(of: UInt16(slot), toByteOffset: place(ring) + 0x1000 + 4 + 2 * slot, as: UInt16.self)
      }
      guard !isReceive(ring) else { continue }
      for (position, byte) in frame.enumerated() {
        unsafe memory.storeBytes(
          of: byte, toByteOffset: buffer(ring, slot) + Self.headerByteCount + position, as: UInt8.self)
      }
    }
  }

  /// Makes the next `count` descriptors available.
  private func offer(_ position: inout Position, _ count: Int) {
    let start = unsafe memory + place(position.ring)
    guard isPacked else {
      position.next &+= count
      unsafe start.storeBytes(of: UInt16(truncatingIfNeeded: position.next), toByteOffset: 0x1002, as: UInt16.self)
      return
    }
    let writes: UInt64 = isReceive(position.ring) ? 2 : 0
    for _ in 0..<count {
      let flags = writes | (position.lap ? 1 << 7 : 1 << 15)
      let rest = UInt64(bufferLength(position.ring)) | UInt64(position.next) &<< 32 | flags &<< 48
      unsafe start.storeBytes(of: rest, toByteOffset: 16 &* position.next &+ 8, as: UInt64.self)
      position.next &+= 1
      if position.next == Self.ringSize {
        position.next = 0
        position.lap.toggle()
      }
    }
  }

  /// The messages by which a front-end without events starts both queues.
  private func connect(_ guest: GuestHarness, _ number: Int, file: Int32) throws {
    func bytes<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
      (0..<T.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> T(8 * $0)) }
    }
    func say(_ request: UInt32, _ payload: [UInt8], _ descriptors: [Int32] = []) throws {
      let message = bytes(request) + bytes(UInt32(1)) + bytes(UInt32(payload.count)) + payload
      _ = try guest.receive(message, descriptors: descriptors)
    }
    // VERSION_1, MRG_RXBUF, RING_PACKED.
    try say(2, bytes(UInt64(1) << 32 | 1 << 15 | (isPacked ? 1 << 34 : 0)))
    let region = bytes(UInt64(0)) + bytes(UInt64(byteCount)) + bytes(Self.userBase) + bytes(UInt64(0))
    try say(5, bytes(UInt32(1)) + bytes(UInt32(0)) + region, [fcntl(file, F_DUPFD_CLOEXEC, 3)])
    for queue in 0..<2 {
      let start = Self.userBase + UInt64(place(2 * number + queue))
      let index = bytes(UInt32(queue))
      try say(8, index + bytes(UInt32(Self.ringSize)))
      try say(10, index + bytes(UInt32(isPacked ? 0x8000_8000 : 0)))
      try say(
        9, index + bytes(UInt32(0)) + bytes(start) + bytes(start + 0x2000) + bytes(start + 0x1000) + bytes(UInt64(0)))
      // No event, neither for kicks nor for calls: both sides poll.
      try say(12, bytes(UInt64(queue) | 0x100))
    }
  }
}

/// Why a run can't begin.
struct GuestScenarioError: Error, CustomStringConvertible {
  let text: String
  var description: String { text }
}
