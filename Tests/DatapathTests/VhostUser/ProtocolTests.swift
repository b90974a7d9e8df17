import COFlow
import TestSupport
import Testing
import VirtioDriver

@testable import Datapath

/// What a session answers to what can't be done, and the messages that are not about rings or memory.
@Suite struct ProtocolTests {
  private typealias Talk = SessionTests.Talk

  /// Requests that can't be done, after `connect`.
  private static let impossible: [(VhostUserRequest, [UInt8], VhostUserFault)] = [
    (.setFeatures, bytes(UInt64(1) << 63), .featuresNotOffered),
    (.setMTU, bytes(UInt64(9)), .mtuWrong),
    (.setVringSize, bytes(UInt32(0)) + bytes(UInt32(0)), .ringSizeWrong),
    (.setVringEnable, bytes(UInt32(99)) + bytes(UInt32(1)), .queueIndexWrong),
    (.removeMemoryRegion, [UInt8](repeating: 0, count: 40), .regionUnknown),
    (.setConfig, bytes(UInt32(0)) + bytes(UInt32(6)) + bytes(UInt32(0)) + [2, 0, 0, 0, 0, 1], .configReadOnly),
    (.iotlb, [UInt8](repeating: 0, count: 32), .noTranslation),
  ]

  @Test func whatCannotBeDoneIsRefusedIfTheFrontEndAsks() throws {
    let talk = Talk()
    try talk.connect()
    for (request, payload, fault) in Self.impossible {
      #expect(try talk.say(request, payload, needReply: true) == VhostUserHeader.reply(to: request, bytes(UInt64(1))))
      #expect(talk.session.refusal == fault)
    }
    // And nothing has changed: it goes on from here.
    try talk.say(.setFeatures, bytes(SessionTests.features))
    try talk.memory()
    try talk.ring(0, SplitDriverQueue(talk.ram, size: 64), base: 0)
    #expect(talk.session.isUp && talk.session.mtu == nil)
  }

  @Test func whatCannotBeDoneUnaskedEndsTheConnection() throws {
    for (request, payload, fault) in Self.impossible {
      let talk = Talk()
      try talk.connect()
      #expect(throws: fault) { try talk.say(request, payload) }
    }
  }

  @Test func aReplyWithABodyHasNoWayToRefuse() throws {
    let talk = Talk()
    try talk.connect()
    #expect(throws: VhostUserFault.queueIndexWrong) {
      try talk.say(.getVringBase, bytes(UInt32(77)) + bytes(UInt32(0)), needReply: true)
    }
    #expect(throws: VhostUserFault.inflightAreaWrong) {
      try talk.say(.getInflightDescriptor, [UInt8](repeating: 0, count: 24), needReply: true)
    }
  }

  @Test func configurationIsReadInAnyPart() throws {
    let talk = Talk()
    try talk.connect()
    func read(_ offset: UInt32, _ count: UInt32, given: Int? = nil) throws -> [UInt8] {
      let head = bytes(offset) + bytes(count) + bytes(UInt32(0))
      let reply = try talk.say(.getConfig, head + [UInt8](repeating: 0xee, count: given ?? Int(count)))
      #expect(reply.count == 12 || Array(reply[12..<24]) == head)
      return Array(reply.dropFirst(24))
    }
    try talk.say(.setMTU, bytes(UInt64(9000)))
    // Address, status (link up), 16 queue pairs, MTU; speed and duplex unknown.
    let all = [0, 0, 0, 0, 0, 0, 1, 0, 16, 0, 0x28, 0x23, 0xff, 0xff, 0xff, 0xff, 0xff] as [UInt8]
    #expect(try Array(read(0, 256).prefix(17)) == all)
    #expect(try read(10, 2) == [0x28, 0x23])
    #expect(try read(250, 6) == [0, 0, 0, 0, 0, 0])
    // No payload at all says that it failed.
    for (offset, count, given) in [(250, 7, 7), (UInt32.max, 2, 2), (0, 10, 9), (0, UInt32.max, 4)] {
      #expect(try read(offset, count, given: given) == [])
      let reply = try talk.say(
        .getConfig, bytes(offset) + bytes(count) + bytes(UInt32(0)) + [UInt8](repeating: 0, count: given))
      #expect(reply == VhostUserHeader.reply(to: .getConfig, []))
    }
    // A front-end that brings a guest from elsewhere may say what its configuration was.
    let brought = bytes(UInt32(0)) + bytes(UInt32(6)) + bytes(UInt32(1)) + [2, 0, 0, 0, 0, 1]
    #expect(
      try talk.say(.setConfig, brought, needReply: true) == VhostUserHeader.reply(to: .setConfig, bytes(UInt64(0))))
  }

  @Test func aChangedConfigurationIsToldToWhoWantsToKnow() throws {
    let talk = Talk()
    #expect(talk.session.configChange == nil)
    try talk.connect()
    #expect(talk.session.configChange == bytes(UInt32(2)) + bytes(UInt32(1)) + bytes(UInt32(0)))
  }

  @Test func resetLeavesADeviceThatCanBeSetUpAnew() throws {
    let talk = Talk()
    try talk.connect()
    try talk.say(.setFeatures, bytes(SessionTests.features))
    try talk.memory()
    let driver = SplitDriverQueue(talk.ram, size: 64)
    try talk.ring(1, driver, base: 7)
    try talk.say(.setStatus, bytes(UInt64(0xf)))
    // Before it asks where the rings stand QEMU sets 0: they go on until then.
    try talk.say(.setStatus, bytes(UInt64(0)))
    #expect(talk.session.isUp && talk.device.queues[1]?.vring.position.next == 7)
    try talk.say(.setStatus, bytes(UInt64(0xf)))
    try talk.say(.resetDevice)
    #expect(!talk.session.isUp && talk.device.queues.isEmpty)
    #expect(try talk.say(.getStatus) == VhostUserHeader.reply(to: .getStatus, bytes(UInt64(0))))
    #expect(try talk.base(1) == 0)
    // Features, rings and enabling are to be said again; the memory is still there, the connection is the same.
    try talk.say(.setFeatures, bytes(SessionTests.features))
    try talk.ring(1, driver, base: 3)
    #expect(!talk.session.isUp)
    try talk.say(.setVringEnable, queue: 1, 1)
    #expect(talk.device.queues[1]?.vring.position.next == 3)
    #expect(talk.device.queues[1]?.call != nil)
  }
}
