import Foundation
import Glibc
import TestSupport
import Testing
import VirtioDriver

/// A guest that breaks one rule after the other on a real daemon: it loses its queue or its connection, `vsctl` and the log say why,
/// and two hosts of the same bridge notice nothing.
@Suite(
  .enabled(if: TestEnvironment.isContinuousIntegration || TestEnvironment.canUseNamespaces, "needs root"), .serialized)
struct HostileGuestTests {
  private static let indirect: UInt64 = 1 << 28
  private static let packed: UInt64 = 1 << 34
  private static let features: UInt64 = 1 << 30 | 1 << 32 | 1 << 15

  /// A connection with both rings started.
  private final class Evil {
    let ram = GuestRAM(byteCount: 1 << 20)
    let frontEnd: FrontEnd
    let receive: any DriverQueue
    let transmit: any DriverQueue
    private var events: [Int32] = []
    private let transmitKick: Int32

    init(_ path: String, features: UInt64) throws {
      frontEnd = try FrontEnd(connect: path)
      let isPacked = features & packed != 0
      receive = isPacked ? PackedDriverQueue(ram, size: 16) : SplitDriverQueue(ram, size: 16)
      transmit = isPacked ? PackedDriverQueue(ram, size: 16) : SplitDriverQueue(ram, size: 16)
      try frontEnd.begin(ram, features: features)
      let base: UInt32 = isPacked ? 0x8000_8000 : 0
      let first = frontEnd.start(receive, index: 0, ram, base: base)
      let second = frontEnd.start(transmit, index: 1, ram, base: base)
      events = [first.kick, first.call, second.kick, second.call]
      transmitKick = second.kick
      guard frontEnd.number(.getFeatures) != nil else { throw TestFailure("the switch has closed the connection") }
    }

    deinit { for event in events { close(event) } }

    func send(_ buffers: DriverBuffer..., indirect: Bool = false) {
      _ = transmit.add(buffers, indirect: indirect)
      publish()
    }

    func publish() {
      transmit.publish()
      var one: UInt64 = 1
      unsafe _ = Glibc.write(transmitKick, &one, 8)
    }

    var split: SplitDriverQueue? { transmit as? SplitDriverQueue }
  }

  /// What is done, and words of the rule that is named for it.
  private struct Deed {
    var rule: String
    var features = HostileGuestTests.features
    var body: (Evil) -> Void
  }

  private static var deeds: [Deed] {
    [
      Deed(rule: "a descriptor chain is a loop") { evil in
        guard let split = evil.split else { return }
        split.writeDescriptor(split.descriptors, 0, evil.ram.base + 65536, 100, flags: 1, next: 0)
        split.pushHead(0)
        evil.publish()
      },
      Deed(rule: "the available index went back or jumped") { evil in
        evil.split?.availableIndex = 500
        evil.publish()
      },
      Deed(rule: "names a descriptor outside the table") { evil in
        evil.split?.pushHead(16)
        evil.publish()
      },
      Deed(rule: "a buffer is not inside the guest's memory") { evil in
        evil.send(DriverBuffer(evil.ram.base + UInt64(evil.ram.byteCount) - 50, 100))
      },
      Deed(rule: "a buffer is not inside the guest's memory", features: features | packed) { evil in
        evil.send(DriverBuffer(UInt64.max - 10, UInt32.max))
      },
      Deed(rule: "a descriptor is writable in a transmit queue", features: features | packed) { evil in
        evil.send(DriverBuffer(evil.ram.base + 65536, 100, isWritable: true))
      },
      Deed(rule: "an indirect descriptor was used without") { evil in
        evil.send(DriverBuffer(evil.ram.base + 65536, 100), indirect: true)
      },
      Deed(rule: "a packet's buffers do not hold the virtio header") { evil in
        evil.send(DriverBuffer(evil.ram.base + 65536, 5))
      },
      Deed(rule: "a packet is longer than 64 KB") { evil in
        evil.send(DriverBuffer(evil.ram.base + 65536, 500_000))
      },
      Deed(rule: "a message of an unknown kind") { $0.frontEnd.sendRaw(FrontEnd.message(4711, [])) },
      Deed(rule: "a message's size is not that of its kind") { $0.frontEnd.send(.setVringSize, [1, 2, 3]) },
      Deed(rule: "too many or too few file descriptors") { evil in
        let files = (0..<8).map { _ in Glibc.dup(evil.ram.descriptor) }
        evil.frontEnd.send(.setFeatures, FrontEnd.bytes(features), descriptors: files)
        for file in files { close(file) }
      },
      Deed(rule: "the descriptor of a memory region is no file of memory") { evil in
        let payload =
          FrontEnd.bytes(UInt32(1)) + FrontEnd.bytes(UInt32(0)) + FrontEnd.bytes(UInt64(0))
          + FrontEnd.bytes(UInt64(4096))
          + FrontEnd.bytes(UInt64(0)) + FrontEnd.bytes(UInt64(0))
        evil.frontEnd.send(.setMemoryTable, payload, descriptors: [evil.frontEnd.descriptor])
      },
      Deed(rule: "a memory region is larger than its file") { evil in
        let payload =
          FrontEnd.bytes(UInt32(1)) + FrontEnd.bytes(UInt32(0)) + FrontEnd.bytes(UInt64(0))
          + FrontEnd.bytes(UInt64(evil.ram.byteCount + 1)) + FrontEnd.bytes(UInt64(0)) + FrontEnd.bytes(UInt64(0))
        evil.frontEnd.send(.setMemoryTable, payload, descriptors: [evil.ram.descriptor])
      },
      Deed(rule: "a message of a protocol feature that was not negotiated") { evil in
        evil.frontEnd.send(.sendRARP, [2, 0, 0, 0, 0, 1, 0, 0])
      },
      Deed(rule: "a ring was changed while it runs") { $0.frontEnd.send(.setVringBase, queue: 1, 7) },
      Deed(rule: "two memory regions overlap") { $0.frontEnd.sendMemoryTable([$0.ram, $0.ram]) },
      Deed(rule: "the connection ended inside a message") { evil in
        evil.frontEnd.sendRaw(Array(FrontEnd.message(2, FrontEnd.bytes(features)).prefix(15)))
        shutdown(evil.frontEnd.descriptor, Int32(SHUT_WR))
      },
    ]
  }

  @Test func eachRuleThatAGuestBreaksIsNamedAndNobodyElseNotices() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0")
      try daemon.configure("add-port br0 evil -- set interface evil type=vhostuser")
      let near = try daemon.host("near", addresses: ["10.0.0.1/24"])
      _ = try daemon.host("far", addresses: ["10.0.0.2/24"])
      #expect(try lab.canPing("10.0.0.2", from: near, count: 3))
      let socket = "\(daemon.runDirectory)/evil"
      let ping = try lab.start(["ping", "-n", "-i", "0.01", "10.0.0.2"], in: near)
      let files = "/proc/\(daemon.processID ?? 0)/fd"
      func openFileCount() throws -> Int { try FileManager.default.contentsOfDirectory(atPath: files).count }
      let before = try openFileCount()
      for deed in Self.deeds {
        let evil = try Evil(socket, features: deed.features)
        deed.body(evil)
        let isNamed = try eventually(.seconds(5), every: .milliseconds(20)) {
          try daemon.configure("get interface evil status").contains(deed.rule)
        }
        let status = try daemon.configure("get interface evil status")
        #expect(isNamed, "\(deed.rule): \(status)")
      }
      // Bursts that are under way when the connection ends.
      for round in 0..<20 {
        let evil = try Evil(socket, features: Self.features | (round & 1 == 0 ? Self.packed : 0))
        for _ in 0..<16 { evil.send(DriverBuffer(evil.ram.base + 65536, 1400)) }
      }
      for rule in Set(Self.deeds.map(\.rule)) {
        #expect(
          daemon.log.split(separator: "\n").contains {
            $0.contains("a guest broke a rule") && $0.contains(rule)
          }, "the log does not say: \(rule)")
      }
      ping.signal(SIGINT)
      _ = ping.waitForExit(.seconds(5))
      let summary = ping.output.split(separator: "\n").first { $0.contains("packets transmitted") } ?? ""
      #expect(summary.contains(" 0% packet loss"), "\(summary)")
      #expect(try eventually { try openFileCount() <= before }, "descriptors of the guest are kept open")
      for port in try daemon.portStatistics() { #expect(port.addsUp, "\(port)") }
      // An honest guest is served as if nothing had been.
      let honest = try Evil(socket, features: Self.features)
      _ = honest.receive.add([DriverBuffer(honest.ram.base + 70_000, 2048, isWritable: true)], indirect: false)
      honest.receive.publish()
      _ = try lab.attempt(["ping", "-c", "1", "-W", "1", "10.0.0.77"], in: near)
      #expect(eventually { honest.receive.takeUsed() != nil })
    }
  }
}
