// The worker's rounds: which ports it asks and which it waits for. A port is a socket that keeps records apart, as a tap does.

import COFlow
import Glibc
import TestSupport
import Testing
import VSwitchCore

@testable import Datapath

@Suite struct WorkerTests {
  enum EngineKind: CaseIterable { case ioUring, epoll }

  @Test(arguments: EngineKind.allCases, [false, true])
  func aPortThatFellSilentIsHeardWhileAnotherIsBusy(_ kind: EngineKind, busyPoll: Bool) throws {
    let mailbox = try Mailbox()
    let engine: IOEngine =
      switch kind {
      case .ioUring: try #require(URingEngine(wakeDescriptor: mailbox.bell))
      case .epoll: try EpollEngine(wakeDescriptor: mailbox.bell)
      }
    var random = SeededGenerator(seed: 1)
    let worker = try Worker(engine: engine, mailbox: mailbox, packetCount: 256, clock: { 1 }, random: &random)
    var sockets: [Int32] = [-1, -1]
    try #require(
      unsafe socketpair(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0, &sockets) == 0)
    defer { close(sockets[1]) }
    let silent = TapPort(slot: 0, descriptor: sockets[0], capabilities: [])
    let busy = MemoryPort(slot: 1, capabilities: [])
    busy.replay([[UInt8](repeating: 1, count: 60)], offload: OffloadMetadata(), burst: 4)
    for port in [silent, busy] {
      worker.open(slot: port.slot)
      worker.add(port)
    }
    worker.busyPoll = busyPoll
    for _ in 0..<Worker.spinRounds * 4 { worker.round(maySleep: true) }
    #expect(!silent.isHot, "it is waited for")
    #expect(unsafe worker.burst.counters[0].receivedPackets == 0)

    let record = [UInt8](repeating: 0, count: OffloadMetadata.wireByteCount + 60)
    for count in 1...3 {
      try #require(unsafe send(sockets[1], record, record.count, 0) == record.count)
      for _ in 0..<Worker.spinRounds * 4 { worker.round(maySleep: true) }
      #expect(unsafe worker.burst.counters[0].receivedPackets == UInt64(count))
    }
    #expect(unsafe worker.burst.counters[1].receivedPackets > 300, "the other one went on")
    worker.remove(slot: 0)
    engine.close()
  }
}
