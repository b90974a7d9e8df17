// Fuzz target of libFuzzer for what a vhost-user front-end sends (`make fuzz`): any messages with any descriptors end as replies,
// as stopped queues or as the connection's end; no descriptor stays open, no packet is lost, and a second guest's queues run on.
//
// An input is a row of messages, each: request, flags, payload size (9 bits) and number of descriptors (4 bits), kinds of
// descriptors (2 bits each), payload. Flag 0x80 makes the header's size a lie, 0x40 runs the worker before the message.

import CLibFuzzer
import CTestSupport
import Datapath
import Glibc
import VSwitchCore

@main struct VhostUserMessagesFuzzer {
  static func main() {
    var count = CommandLine.argc
    var arguments = unsafe CommandLine.unsafeArgv
    exit(unsafe LLVMFuzzerRunDriver(&count, &arguments) { start, count in unsafe testOneInput(start, count) })
  }
}

private func bytes<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
  (0..<T.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> T(8 * $0)) }
}

private func makeHarness() -> DatapathHarness? {
  var bridge = BridgeConfig(name: "br0")
  bridge.ports = ["p1", "p2"].map {
    PortConfig(name: $0, interface: InterfaceConfig(name: $0, kind: $0 == "p1" ? .vhostUser : .tap))
  }
  var config = SwitchConfig()
  config.bridges = [bridge]
  return try? DatapathHarness(config, packetCount: 256)
}

private nonisolated(unsafe) let harness = makeHarness()

private func openDescriptors() -> Int { (0..<256).count { fcntl(Int32($0), F_GETFD) >= 0 } }

/// A descriptor for the back-end to own.
private func descriptor(_ kind: UInt8) -> Int32 {
  switch kind & 3 {
  case 0:
    let file = unsafe ctest_memory_file("guest")
    ftruncate(file, 1 << 16)
    return file
  case 1: return ctest_event()
  case 2: return unsafe open("/dev/null", O_RDWR | O_CLOEXEC)
  default: return socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
  }
}

private func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  guard let harness = unsafe harness, let guest = harness.guest(bridge: "br0", port: "p1") else {
    fatalError("no harness")
  }
  let before = openDescriptors()
  let input = unsafe Array(UnsafeBufferPointer(start: start, count: count))
  var place = 0
  while place + 5 <= input.count {
    let head = input[place..<place + 5]
    place += 5
    let request = head[head.startIndex]
    let flags = head[head.startIndex + 1]
    let sizes = UInt16(head[head.startIndex + 2]) | UInt16(head[head.startIndex + 3]) << 8
    let payload = Array(input[place..<min(place + Int(sizes & 0x1ff), input.count)])
    place += payload.count
    if flags & 0x40 != 0 {
      harness.run(rounds: 2)
      guest.stopFaultyQueues()
    }
    let kinds = head[head.startIndex + 4]
    let descriptors = (0..<Int(sizes >> 9 & 15)).map { descriptor(kinds >> UInt8(2 * ($0 & 3))) }
    let size = UInt32(payload.count) ^ (flags & 0x80 != 0 ? 1 : 0)
    let message = bytes(UInt32(request)) + bytes(UInt32(flags & 0x3f)) + bytes(size) + payload
    do { _ = try guest.receive(message, descriptors: descriptors) } catch {}
  }
  harness.run(rounds: 2)
  guest.stopFaultyQueues()
  let frame = [UInt8](repeating: 0xff, count: 60)
  // What comes out there are at most the announcements that the front-end asked for.
  let sent = harness.receive(bridge: "br0", port: "p2", frame: frame)
  guard !sent.contains(where: { $0.frame == frame }) else { fatalError("a frame came back") }
  guest.end()
  harness.run(rounds: 2)
  guard openDescriptors() == before else { fatalError("descriptors stay open") }
  guard harness.availablePackets == 256 else { fatalError("packets are lost") }
  return 0
}
