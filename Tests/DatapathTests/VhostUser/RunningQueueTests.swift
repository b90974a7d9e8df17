import COFlow
import Dispatch
import Foundation
import Glibc
import TestSupport
import Testing
import VSwitchCore
import VirtioDriver

@testable import Datapath

/// What messages do to queues that run: over sockets, with the worker at work.
@Suite(.serialized) struct RunningQueueTests {
  private typealias Guest = PortTests.Guest

  /// SET_VRING_ENABLE: what a disabled queue's guest sends is taken and thrown away, what is sent to it is dropped, both counted.
  @Test(arguments: [Guest.features, Guest.features | Guest.packed])
  func disabledQueuesLetNothingThrough(features: UInt64) throws {
    try PortTests.withSwitch(["a", "b"]) { datapath, directory in
      let a = try Guest(directory + "/a", features: features)
      let b = try Guest(directory + "/b", features: features)
      func counters(_ port: String) -> PortCounters? { datapath.counters().first { $0.port == port }?.counters }
      func enable(_ guest: Guest, _ queue: Int, _ value: UInt32) {
        guest.frontEnd.send(.setVringEnable, queue: queue, value)
        _ = guest.frontEnd.number(.getFeatures)
      }
      for _ in 0..<3 {
        let dropped = counters("a")?.receiveDrops[.queueDisabled] ?? 0
        enable(a, 1, 0)
        for _ in 0..<5 { try #require(a.send(PortTests.frame(to: 0xb, from: 0xa, 100))) }
        #expect(eventually { a.areAllReturned() })
        #expect(counters("a")?.receiveDrops[.queueDisabled] == dropped + 5)
        enable(a, 1, 1)
        try #require(a.send(PortTests.frame(to: 0xb, from: 0xa, 200)))
        #expect(b.take()?.frame.count == 200)
        enable(b, 0, 0)
        let down = counters("b")?.transmitDrops[.transmitLinkDown] ?? 0
        try #require(a.send(PortTests.frame(to: 0xb, from: 0xa, 100)))
        #expect(eventually { counters("b")?.transmitDrops[.transmitLinkDown] == down + 1 })
        enable(b, 0, 1)
        try #require(a.send(PortTests.frame(to: 0xb, from: 0xa, 300)))
        #expect(b.take()?.frame.count == 300)
      }
    }
  }

  /// SET_VRING_ERR.
  @Test func aBrokenRuleIsToldOnTheQueuesErrorDescriptor() throws {
    try PortTests.withSwitch(["a", "b"]) { datapath, directory in
      let a = try Guest(directory + "/a")
      let errors = [coflow_event_open(), coflow_event_open()]
      defer { for error in errors { close(error) } }
      for queue in 0..<2 {
        a.frontEnd.send(.setVringError, FrontEnd.bytes(UInt64(queue)), descriptors: [errors[queue]])
      }
      _ = a.frontEnd.number(.getFeatures)
      func isRung(_ descriptor: Int32, _ milliseconds: Int32) -> Bool {
        var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return unsafe Glibc.poll(&poll, 1, milliseconds) == 1
      }
      let queue = try #require(a.transmit as? SplitDriverQueue)
      queue.pushHead(1000)
      queue.publish()
      a.kick(a.transmitEvents.kick)
      #expect(isRung(errors[1], 5000))
      #expect(!isRung(errors[0], 20))
    }
  }

  /// ADD_MEM_REG and REM_MEM_REG: the queue goes on, with the new region's buffers, and then without.
  @Test func regionsComeAndGoUnderARunningQueue() throws {
    try PortTests.withSwitch(["a", "b"]) { datapath, directory in
      // MQ, REPLY_ACK, CONFIGURE_MEM_SLOTS.
      let a = try Guest(directory + "/a", protocolFeatures: 0x8009)
      let b = try Guest(directory + "/b")
      let more = GuestRAM(byteCount: 1 << 20, base: 0x8_0000_0000, userBase: 0x7e00_0000_0000)
      let region =
        FrontEnd.bytes(UInt64(0)) + FrontEnd.bytes(more.base) + FrontEnd.bytes(UInt64(more.byteCount))
        + FrontEnd.bytes(more.userBase) + FrontEnd.bytes(UInt64(0))
      let address = more.base + 4096
      func sendFromThere(_ frame: [UInt8]) {
        more.write([UInt8](repeating: 0, count: 12) + frame, at: address)
        _ = a.transmit.add([DriverBuffer(address, UInt32(12 + frame.count))], indirect: false)
        a.transmit.publish()
        a.kick(a.transmitEvents.kick)
      }
      for round in 0..<3 {
        try #require(a.send(PortTests.frame(to: 0xb, from: 0xa, 100 + round)))
        #expect(b.take()?.frame.count == 100 + round)
        a.frontEnd.send(.addMemoryRegion, region, descriptors: [more.descriptor], needReply: true)
        #expect(a.frontEnd.reply() == [UInt8](repeating: 0, count: 8))
        let frame = PortTests.frame(to: 0xb, from: 0xa, 1000 + round)
        sendFromThere(frame)
        #expect(b.take()?.frame == frame)
        a.frontEnd.send(.removeMemoryRegion, region, needReply: true)
        #expect(a.frontEnd.reply() == [UInt8](repeating: 0, count: 8))
      }
      #expect(mappingCount(of: more.descriptor) == 1, "a removed region is still mapped (once by this test)")
      sendFromThere(PortTests.frame(to: 0xb, from: 0xa, 500))
      #expect(
        eventually {
          datapath.portStates().first { $0.name == "a" }?.status["vring_1_fault"]
            == VhostUserFault.bufferOutsideMemory.description
        })
      #expect(b.take(.milliseconds(50)) == nil)
    }
  }

  /// /proc/self/maps to its end: its size says nothing, and one read gives a page of it.
  private func wholeMaps() -> String {
    let file = unsafe open("/proc/self/maps", O_RDONLY)
    guard file >= 0 else { return "" }
    defer { close(file) }
    var text: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = unsafe part.withUnsafeMutableBytes { unsafe read(file, $0.baseAddress, $0.count) }
      guard count > 0 else { return String(decoding: text, as: UTF8.self) }
      text += part[..<count]
    }
  }

  /// Mappings in this process of a file.
  private func mappingCount(of descriptor: Int32) -> Int {
    var wanted = stat()
    guard unsafe fstat(descriptor, &wanted) == 0 else { return -1 }
    return wholeMaps().split(separator: "\n").count { line in
      let words = line.split(separator: " ", omittingEmptySubsequences: true)
      return words.count > 4 && words[4] == "\(wanted.st_ino)" && line.contains("memfd")
    }
  }

  /// However a guest's memory is taken away, it stays mapped until the worker is done with it.
  @Test(arguments: ["connection", "table", "region"]) func memoryGoesWhenTheWorkerHasLetGo(what: String) throws {
    try PortTests.withSwitch(["a"]) { datapath, directory in
      var a: Guest? = try Guest(directory + "/a", protocolFeatures: 0x8009)
      let memory = dup(try #require(a).ram.descriptor)
      defer { close(memory) }
      #expect(mappingCount(of: memory) == 2)
      let entered = DispatchSemaphore(value: 0)
      let goOn = DispatchSemaphore(value: 0)
      let mailbox = datapath.state.withLock { $0.workers[0].mailbox }
      Thread {
        mailbox.perform { _ in
          entered.signal()
          goOn.wait()
        }
      }.start()
      entered.wait()
      switch what {
      case "connection":
        // With it goes the test's own mapping.
        a = nil
      case "table":
        a?.frontEnd.sendMemoryTable([GuestRAM(byteCount: 1 << 20)])
      default:
        let ram = try #require(a).ram
        a?.frontEnd.send(
          .removeMemoryRegion,
          FrontEnd.bytes(UInt64(0)) + FrontEnd.bytes(ram.base) + FrontEnd.bytes(UInt64(ram.byteCount))
            + FrontEnd.bytes(ram.userBase) + FrontEnd.bytes(UInt64(0)))
      }
      let own = what == "connection" ? 0 : 1
      usleep(200_000)
      #expect(mappingCount(of: memory) == own + 1, "it was unmapped while the worker might use it")
      goOn.signal()
      #expect(eventually { mappingCount(of: memory) == own })
    }
  }

  /// BACKEND_REQ, CONFIG: another MTU is told, and read from the configuration space.
  @Test func aChangedConfigurationIsTold() throws {
    try PortTests.withSwitch(["a"]) { datapath, directory in
      // MQ, REPLY_ACK, BACKEND_REQ, CONFIG.
      let a = try Guest(directory + "/a", protocolFeatures: 0x229)
      var ends: [Int32] = [-1, -1]
      try #require(unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
      defer { close(ends[0]) }
      a.frontEnd.send(.setBackendRequestDescriptor, descriptors: [ends[1]])
      close(ends[1])
      func mtu() -> UInt64? {
        let place = FrontEnd.bytes(UInt32(10)) + FrontEnd.bytes(UInt32(2))
        a.frontEnd.send(.getConfig, place + FrontEnd.bytes(UInt32(0)) + [0, 0])
        return a.frontEnd.reply().map { UInt64($0[12]) | UInt64($0[13]) << 8 }
      }
      #expect(mtu() == 1500)
      var interface = InterfaceConfig(name: "a", kind: .vhostUser)
      interface.mtuRequest = 9000
      var bridge = BridgeConfig(name: "br0")
      bridge.ports = [PortConfig(name: "a", interface: interface)]
      var config = SwitchConfig()
      config.bridges = [bridge]
      _ = datapath.apply(config)
      var poll = pollfd(fd: ends[0], events: Int16(POLLIN), revents: 0)
      try #require(unsafe Glibc.poll(&poll, 1, 5000) == 1)
      var told = [UInt8](repeating: 0, count: 64)
      let count = unsafe told.withUnsafeMutableBytes { unsafe recv(ends[0], $0.baseAddress, $0.count, 0) }
      // CONFIG_CHANGE_MSG, version 1, no payload.
      #expect(Array(told.prefix(count)) == [2, 1, 0].flatMap { FrontEnd.bytes(UInt32($0)) })
      #expect(mtu() == 9000)
    }
  }
}
