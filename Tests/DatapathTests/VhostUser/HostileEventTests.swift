import COFlow
import Foundation
import Glibc
import TestSupport
import Testing
import VSwitchCore
import VirtioDriver

@testable import Datapath

/// Descriptors for events that a guest turns against the switch, and sockets that are not there.
@Suite(.serialized) struct HostileEventTests {
  private typealias Guest = PortTests.Guest

  /// A counter that is full and a descriptor that blocks: a plain write would wait for ever, and every guest with it.
  @Test func aCallThatBlocksCostsItsQueueAlone() throws {
    try PortTests.withSwitch(["a", "b", "c"]) { datapath, directory in
      let a = try Guest(directory + "/a")
      let b = try Guest(directory + "/b")
      let c = try Guest(directory + "/c")
      try #require(c.send(PortTests.frame(to: 0xb, from: 0xc, 100)))
      #expect(b.take() != nil)
      let call = c.transmitEvents.call
      var full = UInt64.max - 1
      var count: UInt64 = 0
      // The switch made it not to block; both ends have one and the same flag.
      #expect(fcntl(call, F_GETFL) & O_NONBLOCK != 0)
      _ = unsafe Glibc.read(call, &count, 8)
      #expect(unsafe Glibc.write(call, &full, 8) == 8)
      #expect(fcntl(call, F_SETFL, 0) == 0)
      c.transmit.setCalls(true)
      try #require(c.send(PortTests.frame(to: 0xb, from: 0xc, 100)))
      #expect(
        eventually {
          datapath.portStates().first { $0.name == "c" }?.status["vring_1_fault"]
            == VhostUserFault.callBlocks.description
        })
      for _ in 0..<20 {
        try #require(a.send(PortTests.frame(to: 0xb, from: 0xa, 200)))
        _ = b.take()
      }
      // Its other queue is as it was.
      try #require(a.send(PortTests.frame(to: 0xc, from: 0xa, 300)))
      let isThere = (0..<30).contains { _ in c.take()?.frame.count == 300 }
      #expect(isThere)
    }
  }

  @Test func onlyEventDescriptorsAreTakenForEvents() throws {
    var pair: [Int32] = [-1, -1]
    #expect(unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair) == 0)
    var pipes: [Int32] = [-1, -1]
    #expect(unsafe pipe(&pipes) == 0)
    let epoll = epoll_create1(0)
    for wrong in [pair[0], pair[1], pipes[0], pipes[1], epoll] {
      let talk = SessionTests.Talk()
      try talk.connect()
      #expect(throws: VhostUserFault.descriptorIsNoEvent) {
        try talk.say(.setVringCall, bytes(UInt64(0)), [wrong])
      }
    }
  }

  /// Long after the switch began to look for it; what it is made for comes within a second.
  @Test func aSocketThatAppearsLateIsConnectedToAtOnce() throws {
    let directory = "/tmp/vswitch-late-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    var options = DatapathOptions()
    options.runDirectory = directory
    let datapath = try Datapath(options)
    defer { datapath.shutdown() }
    var interface = InterfaceConfig(name: "a", kind: .vhostUserClient)
    // Its directory is not there yet either.
    let path = "\(directory)/later/socket"
    interface.options["vhost-server-path"] = path
    var bridge = BridgeConfig(name: "br0")
    bridge.ports = [PortConfig(name: "a", interface: interface)]
    var config = SwitchConfig()
    config.bridges = [bridge]
    #expect(datapath.apply(config).first?.error == nil)
    usleep(1_300_000)
    try FileManager.default.createDirectory(atPath: "\(directory)/later", withIntermediateDirectories: true)
    for _ in 0..<2 {
      usleep(1_300_000)
      let start = ContinuousClock.now
      do {
        let frontEnd = try FrontEnd(accept: path)
        #expect(frontEnd.number(.getFeatures) != nil)
        #expect(ContinuousClock.now - start < .seconds(1))
      }
      #expect(eventually { datapath.portStates().first?.status["status"] == "disconnected" })
      unsafe unlink(path)
    }
  }

  @Test func retriesAreManyAtFirstAndThenFew() {
    var plan = RetryPlan()
    let delays = (0..<52).map { _ in plan.next(isWatched: true) }
    #expect(delays.prefix(50).reduce(0, +) == 1000)
    #expect(delays.suffix(2).allSatisfy { $0 >= 5000 })
    #expect(plan.next(isWatched: false) < 1000)
  }
}
