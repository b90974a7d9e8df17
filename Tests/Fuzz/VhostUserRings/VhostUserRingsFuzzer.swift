// Fuzz target of libFuzzer for rings whose memory changes under the reader (`make fuzz`): a second thread writes at random into
// descriptors, rings, indirect tables and frames while two guests' packets cross the switch. Whatever is there at whatever
// moment, nothing outside the guest's memory is read or written (AddressSanitizer sees it: beyond the memory lie pages that
// can't be touched), no packet is lost, and what came in adds up.
//
// An input is: layout (bit 0) and features, seed of the second thread, then descriptors, 6 bytes each: address, length, flags, next.

import CLibFuzzer
import CTestSupport
import Datapath
import Glibc
import Synchronization
import VSwitchCore

@main struct VhostUserRingsFuzzer {
  static func main() {
    var count = CommandLine.argc
    var arguments = unsafe CommandLine.unsafeArgv
    exit(unsafe LLVMFuzzerRunDriver(&count, &arguments) { start, count in unsafe testOneInput(start, count) })
  }
}

private func bytes<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
  (0..<T.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> T(8 * $0)) }
}

private let memoryByteCount = 1 << 16
private let ringSize = 16
/// Of four queues: descriptors, and at 0x400 and 0x600 of each the driver's and the device's areas.
private let queueByteCount = 0x800

/// A guest's memory and what rewrites it.
@safe private final class GuestMemory: @unchecked Sendable {
  let file: Int32
  let start: UnsafeMutableRawPointer

  init() {
    file = unsafe ctest_memory_file("guest")
    ftruncate(file, memoryByteCount)
    guard let mapped = unsafe mmap(nil, memoryByteCount, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) else {
      fatalError("no memory")
    }
    unsafe start = mapped
  }

  func descriptor(queue: Int, _ slot: Int, _ content: ArraySlice<UInt8>, isPacked: Bool) {
    func byte(_ position: Int) -> UInt64 {
      position < content.count ? UInt64(content[content.startIndex + position]) : 0
    }
    let place = unsafe start + queue * queueByteCount + 16 * slot
    // Addresses in the memory and a little beyond it, lengths up to 64 KB.
    unsafe place.storeBytes(of: byte(0) << 4 | byte(1) << 9, as: UInt64.self)
    unsafe place.storeBytes(
      of: UInt32(truncatingIfNeeded: byte(2) | (byte(3) & 0x80 != 0 ? byte(3) << 9 : byte(3) << 4)),
      toByteOffset: 8, as: UInt32.self)
    if isPacked {
      unsafe place.storeBytes(of: UInt16(byte(5) & 31), toByteOffset: 12, as: UInt16.self)
      unsafe place.storeBytes(
        of: UInt16(byte(4) & 7) | (byte(4) & 0x80 != 0 ? 0x8000 : 0x80), toByteOffset: 14, as: UInt16.self)
    } else {
      unsafe place.storeBytes(of: UInt16(byte(4) & 7), toByteOffset: 12, as: UInt16.self)
      unsafe place.storeBytes(of: UInt16(byte(5) & 31), toByteOffset: 14, as: UInt16.self)
    }
  }
}

/// Writes into the memory that is there, until told otherwise.
private final class Rewriter: Sendable {
  let seed = Atomic<UInt64>(0)
  let address = Atomic<UInt>(0)
  let isIdle = Atomic<Bool>(true)

  func run() {
    var random: UInt64 = 1
    while true {
      isIdle.store(true, ordering: .sequentiallyConsistent)
      let place = address.load(ordering: .sequentiallyConsistent)
      guard place != 0, let start = unsafe UnsafeMutableRawPointer(bitPattern: place) else {
        sched_yield()
        continue
      }
      isIdle.store(false, ordering: .sequentiallyConsistent)
      guard address.load(ordering: .sequentiallyConsistent) == place else { continue }
      random ^= seed.load(ordering: .relaxed)
      for _ in 0..<64 {
        random ^= random << 13
        random ^= random >> 7
        random ^= random << 17
        let offset = Int(truncatingIfNeeded: random >> 8) & (random & 3 == 0 ? memoryByteCount - 1 : 0x1fff)
        // Mostly numbers as rings have them.
        let value = UInt8(truncatingIfNeeded: random >> 40) & (random & 0x30 == 0 ? 0xff : 0x0f)
        unsafe start.storeBytes(of: value, toByteOffset: offset, as: UInt8.self)
      }
    }
  }
}

private let rewriter = Rewriter()
private let startRewriter: Void = {
  var thread = pthread_t()
  unsafe pthread_create(
    &thread, nil,
    { _ in
      rewriter.run()
      return nil
    }, nil)
}()

private func makeHarness() -> DatapathHarness? {
  var bridge = BridgeConfig(name: "br0")
  bridge.ports = ["p1", "p2"].map { PortConfig(name: $0, interface: InterfaceConfig(name: $0, kind: .vhostUser)) }
  var config = SwitchConfig()
  config.bridges = [bridge]
  return try? DatapathHarness(config, packetCount: 256)
}

private nonisolated(unsafe) let harness = makeHarness()
private let memory = GuestMemory()

private func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  startRewriter
  guard let harness = unsafe harness, count >= 2 else { return 0 }
  let input = unsafe Array(UnsafeBufferPointer(start: start, count: count))
  let isPacked = input[0] & 1 != 0
  unsafe memory.start.initializeMemory(as: UInt8.self, repeating: 0, count: memoryByteCount)
  for position in 0..<(input.count - 2) / 6 {
    let content = input[(2 + 6 * position)...].prefix(6)
    // Behind the rings' own descriptors they are indirect tables.
    let slot = position % (2 * ringSize)
    memory.descriptor(queue: position / (2 * ringSize) % 4, slot, content, isPacked: isPacked)
  }
  for queue in 0..<4 {
    let area = unsafe memory.start + queue * queueByteCount + 0x400
    guard !isPacked else { continue }
    for slot in 0..<ringSize { unsafe area.storeBytes(of: UInt16(slot), toByteOffset: 4 + 2 * slot, as: UInt16.self) }
    unsafe area.storeBytes(of: UInt16(ringSize), toByteOffset: 2, as: UInt16.self)
  }

  let features: UInt64 =
    1 << 32 | (isPacked ? 1 << 34 : 0) | (input[0] & 2 != 0 ? 1 << 28 : 0) | (input[0] & 4 != 0 ? 1 << 29 : 0)
    | (input[0] & 8 != 0 ? 1 << 15 : 0) | (input[0] & 16 != 0 ? 0b11_1000_0011 : 0)
  let guests = ["p1", "p2"].compactMap { harness.guest(bridge: "br0", port: $0) }
  for (number, guest) in guests.enumerated() {
    func say(_ request: UInt32, _ payload: [UInt8], _ descriptors: [Int32] = []) {
      let message = bytes(request) + bytes(UInt32(1)) + bytes(UInt32(payload.count)) + payload
      do { _ = try guest.receive(message, descriptors: descriptors) } catch { fatalError("set-up refused: \(error)") }
    }
    say(2, bytes(features))
    let region = bytes(UInt64(0)) + bytes(UInt64(memoryByteCount)) + bytes(UInt64(1 << 40)) + bytes(UInt64(0))
    say(5, bytes(UInt32(1)) + bytes(UInt32(0)) + region, [fcntl(memory.file, F_DUPFD_CLOEXEC, 3)])
    for queue in 0..<2 {
      let place = UInt64(1 << 40) + UInt64((2 * number + queue) * queueByteCount)
      say(8, bytes(UInt32(queue)) + bytes(UInt32(ringSize)))
      say(10, bytes(UInt32(queue)) + bytes(UInt32(isPacked ? 0x8000_8000 : 0)))
      let areas = bytes(place) + bytes(place + 0x600) + bytes(place + 0x400)
      say(9, bytes(UInt32(queue)) + bytes(UInt32(0)) + areas + bytes(UInt64(0)))
      say(12, bytes(UInt64(queue) | 0x100))
    }
  }
  rewriter.seed.store(UInt64(input[1]) | 0x100, ordering: .relaxed)
  rewriter.address.store(UInt(bitPattern: unsafe memory.start), ordering: .sequentiallyConsistent)
  for _ in 0..<24 { harness.run(rounds: 1) }
  rewriter.address.store(0, ordering: .sequentiallyConsistent)
  while !rewriter.isIdle.load(ordering: .sequentiallyConsistent) {}

  for guest in guests {
    guest.stopFaultyQueues()
    guest.end()
  }
  harness.run(rounds: 2)
  guard harness.availablePackets == 256 else { fatalError("packets are lost: \(harness.availablePackets)") }
  for port in ["p1", "p2"] {
    let counters = harness.counters(bridge: "br0", port: port)
    guard counters.receivedPackets == counters.forwardedPackets + counters.receiveDrops.values.reduce(0, +) else {
      fatalError("the counters do not add up: \(counters)")
    }
  }
  return 0
}
