import TestSupport
import Testing
import VSwitchCore

@testable import Datapath

/// The first event that `isWanted`, out of those that come within five seconds.
private func first(
  _ monitor: LinkMonitor, _ what: String, where isWanted: @escaping @Sendable (LinkEvent) -> Bool
) async throws -> LinkEvent {
  try await withThrowingTaskGroup(of: LinkEvent?.self) { group in
    group.addTask {
      for await event in monitor.events where isWanted(event) { return event }
      return nil
    }
    group.addTask {
      try await Task.sleep(for: .seconds(5))
      return nil
    }
    defer { group.cancelAll() }
    guard let event = try await group.next() ?? nil else { throw TestFailure(text: "no event: \(what)") }
    return event
  }
}

@Suite struct LinkEventTests {
  /// RTM_NEWLINK or RTM_DELLINK as the kernel writes it.
  private func message(
    type: UInt16, family: UInt8 = 0, index: Int32 = 7, flags: UInt32 = 0x1_0043, change: UInt32 = 0
  ) -> [UInt8] {
    func little<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
      (0..<T.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> T($0 * 8)) }
    }
    func attribute(_ type: UInt16, _ value: [UInt8]) -> [UInt8] {
      var bytes = little(UInt16(4 + value.count)) + little(type) + value
      while bytes.count % 4 != 0 { bytes.append(0) }
      return bytes
    }
    var body: [UInt8] = [family, 0] + little(UInt16(1)) + little(index) + little(flags) + little(change)
    body += attribute(3, Array("tap0".utf8) + [0]) + attribute(4, little(UInt32(1500)))
    body += attribute(1, [2, 0, 0, 0, 0, 9])
    return little(UInt32(16 + body.count)) + little(type) + [0, 0] + [UInt8](repeating: 0, count: 8) + body
  }

  /// From memory of the exact size, so that a memory checker sees every byte too many.
  private func parse(_ bytes: [UInt8], _ id: Int32? = nil) -> [LinkEvent] {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 16)
    defer { unsafe buffer.deallocate() }
    unsafe buffer.copyBytes(from: bytes)
    return unsafe LinkEvent.parse(buffer, namespaceID: id)
  }

  private let notice = LinkNotice(
    namespaceID: nil, index: 7, name: "tap0", flags: 0x1_0043, mtu: 1500, macAddress: MACAddress(bits: 0x0200_0000_0009)
  )

  @Test func messagesBecomeEvents() {
    #expect(parse(message(type: 16)) == [.changed(notice)])
    #expect(parse(message(type: 16, change: .max)) == [.added(notice)])
    #expect(parse(message(type: 17)) == [.deleted(notice)])
    var other = notice
    other.namespaceID = 3
    #expect(parse(message(type: 17), 3) == [.deleted(other)])
    #expect(parse(message(type: 16) + message(type: 17)) == [.changed(notice), .deleted(notice)])
    #expect(notice.isAdminUp && notice.hasCarrier)
  }

  @Test func viewsOfOtherFamiliesAreNoLinkChange() {
    // AF_BRIDGE: a link that leaves a bridge is not gone.
    #expect(parse(message(type: 17, family: 7)) == [])
    #expect(parse(message(type: 24)) == [])
  }

  @Test(arguments: 0..<20 as Range<UInt64>)
  func anyBytesAreReadWithinTheirBounds(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let whole = message(type: 16) + message(type: 17)
    for length in 0...whole.count { #expect(parse(Array(whole[..<length])).count <= 2) }
    for _ in 0..<500 {
      var bytes = whole
      for _ in 0..<Int.random(in: 1...8, using: &random) {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      #expect(parse(bytes).count <= bytes.count / 16)
    }
  }
}

@Suite(.enabled(if: mayMakeNamespaces, "needs root and /usr/sbin/ip"))
struct LinkMonitorTests {
  @Test func changesInAWatchedNamespaceAreToldInOrder() async throws {
    try await withNamespaces { names in
      let monitor = try LinkMonitor(LinkMonitorSocket())
      defer { monitor.stop() }
      let id = try monitor.watch(.named(names[0]))
      #expect(try monitor.watch(.path("\(NetworkNamespace.directory)/\(names[0])")) == id)
      let service = try LinkService(.named(names[0]))
      try service.createVethPair("left", "right")
      let left = try service.link(named: "left")
      let right = try service.link(named: "right")
      try service.setMTU(1400, index: left.index)
      try service.setAdminUp(true, index: right.index)
      try service.setAdminUp(true, index: left.index)
      try service.rename(index: left.index, to: "west")
      try service.delete(index: left.index)

      @Sendable func isLeft(_ notice: LinkNotice) -> Bool { notice.namespaceID == id && notice.index == left.index }
      _ = try await first(monitor, "added") {
        if case .added(let notice) = $0 { isLeft(notice) && notice.name == "left" } else { false }
      }
      _ = try await first(monitor, "MTU") {
        if case .changed(let notice) = $0 { isLeft(notice) && notice.mtu == 1400 } else { false }
      }
      _ = try await first(monitor, "carrier") {
        if case .changed(let notice) = $0 { isLeft(notice) && notice.isAdminUp && notice.hasCarrier } else { false }
      }
      _ = try await first(monitor, "name") {
        if case .changed(let notice) = $0 { isLeft(notice) && notice.name == "west" } else { false }
      }
      let gone = try await first(monitor, "deleted") {
        if case .deleted(let notice) = $0 { isLeft(notice) } else { false }
      }
      guard case .deleted(let notice) = gone else { return }
      #expect(notice.macAddress == left.macAddress)
    }
  }

  @Test func watchingDoesNotKeepANamespaceAlive() async throws {
    try await withNamespaces(2) { names in
      let monitor = try LinkMonitor(LinkMonitorSocket())
      defer { monitor.stop() }
      let id = try monitor.watch(.named(names[0]))
      let other = try monitor.watch(.named(names[1]))
      #expect(id != other)
      // The far end, in the other namespace, goes with the one in the deleted namespace.
      let service = try LinkService(.named(names[1]))
      try service.createVethPair("stays", "goes")
      try service.move(index: service.link(named: "goes").index, to: .named(names[0]))
      try run("/usr/sbin/ip", ["netns", "del", names[0]])
      _ = try await first(monitor, "namespace") { $0 == .namespaceDeleted(id) }
      _ = try await first(monitor, "far end") {
        if case .deleted(let notice) = $0 { notice.namespaceID == other && notice.name == "stays" } else { false }
      }
    }
  }

  @Test func namespaceThatIsNotWatchedIsNotHeard() async throws {
    try await withNamespaces(2) { names in
      let monitor = try LinkMonitor(LinkMonitorSocket())
      defer { monitor.stop() }
      let ignored = try monitor.watch(.named(names[0]))
      monitor.unwatch(ignored)
      let heard = try monitor.watch(.named(names[1]))
      try LinkService(.named(names[0])).createVethPair("silent", "silent2")
      try LinkService(.named(names[1])).createVethPair("loud", "loud2")
      let event = try await first(monitor, "any of the two") {
        if case .added(let notice) = $0 { notice.namespaceID == ignored || notice.namespaceID == heard } else { false }
      }
      guard case .added(let notice) = event else { return }
      #expect(notice.namespaceID == heard)
      #expect { try monitor.watch(.named("vswitch-no-such")) } throws: { ($0 as? LinkError)?.code == .noSuchNamespace }
      #expect { try monitor.watch(.path("/etc/hostname")) } throws: { ($0 as? LinkError)?.code == .noSuchNamespace }
    }
  }

  @Test func readerThatComesLateFindsAResyncLast() async throws {
    try await withNamespaces { names in
      let monitor = try LinkMonitor(LinkMonitorSocket(), eventLimit: 4)
      _ = try monitor.watch(.named(names[0]))
      let service = try LinkService(.named(names[0]))
      try service.createVethPair("left", "right")
      let index = try service.link(named: "left").index
      for mtu in 1000..<1100 { try service.setMTU(mtu, index: index) }
      // The thread has read them all by then.
      try await Task.sleep(for: .milliseconds(300))
      monitor.stop()
      var events: [LinkEvent] = []
      for await event in monitor.events { events.append(event) }
      #expect(events.count == 4)
      #expect(events.last == .resync)
    }
  }

  @Test func lostMessagesAreAResync() async throws {
    try await withNamespaces { names in
      // Room for one message only; the kernel sends one for each of many changes, faster than a thread can read.
      let monitor = try LinkMonitor(LinkMonitorSocket(receiveBufferByteCount: 1))
      defer { monitor.stop() }
      _ = try monitor.watch(.named(names[0]))
      let service = try LinkService(.named(names[0]))
      for i in 0..<100 {
        try service.createVethPair("a\(i)", "b\(i)")
        for name in ["a\(i)", "b\(i)"] {
          let index = try service.link(named: name).index
          for mtu in 1000..<1010 { try service.setMTU(mtu, index: index) }
        }
      }
      _ = try await first(monitor, "resync") { $0 == .resync }
    }
  }

  @Test func idleMonitorDoesNotWakeUp() async throws {
    try await withNamespaces { names in
      // Of its own namespace, so that other tests' links do not wake it.
      let monitor = try LinkMonitor(inNetworkNamespace(names[0]) { try LinkMonitorSocket() })
      defer { monitor.stop() }
      try await Task.sleep(for: .milliseconds(500))
      #expect(monitor.wakeUpCount == 0)
      try LinkService(.named(names[0])).createVethPair("left", "right")
      _ = try await first(monitor, "added") { if case .added = $0 { true } else { false } }
      #expect(monitor.wakeUpCount > 0)
    }
  }
}
