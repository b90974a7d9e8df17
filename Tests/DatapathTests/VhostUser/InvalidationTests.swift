import COFlow
import Dispatch
import Foundation
import Glibc
import TestSupport
import Testing
import VSwitchCore
import VirtioDriver

@testable import Datapath

/// What a guest behind a virtual IOMMU takes away is not written to any more once the switch has said so, whatever the worker is doing:
/// buffers, tables and the rings themselves.
@Suite(.serialized) struct InvalidationTests {
  private static let accessPlatform: UInt64 = 1 << 33

  /// A guest that has its buffers mapped page by page at addresses of its own choice.
  private final class Guest {
    static let slotCount = 16
    static let pageByteCount = 4096
    /// I/O virtual address of the first slot's page; rings have their guest-physical addresses.
    static let bufferBase: UInt64 = 0x5000_0000_0000
    let ram = GuestRAM(byteCount: 1 << 20)
    let frontEnd: FrontEnd
    let receive: any DriverQueue
    private let transmit: any DriverQueue
    private let channel: Int32
    private var events: [Int32] = []
    private var kick: Int32 = -1
    /// Guest-physical addresses by I/O virtual page.
    private var mapped: [UInt64: UInt64] = [:]
    /// Questions that had no answer yet.
    private var unanswered: Set<UInt64> = []
    /// Pages that nobody has mapped: each is full of a byte of its own.
    private(set) var free: [UInt64]
    private let ringByteCount: UInt64 = 64 << 10
    private var slots: [UInt16: Int] = [:]
    private var offsets = Array(repeating: 0, count: Guest.slotCount)
    /// Slots whose page was filled while its buffer was out.
    private var refilled: Set<Int> = []

    init(_ path: String, isPacked: Bool) throws {
      frontEnd = try FrontEnd(connect: path)
      receive = isPacked ? PackedDriverQueue(ram, size: 32) : SplitDriverQueue(ram, size: 32)
      transmit = isPacked ? PackedDriverQueue(ram, size: 32) : SplitDriverQueue(ram, size: 32)
      let start = ram.base + ringByteCount
      free = stride(from: start, to: ram.base + UInt64(ram.byteCount), by: Guest.pageByteCount).map { $0 }
      var ends: [Int32] = [-1, -1]
      _ = unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends)
      channel = ends[0]
      let features = PortTests.Guest.features | accessPlatform | (isPacked ? PortTests.Guest.packed : 0)
      // MQ, REPLY_ACK, BACKEND_REQ.
      try frontEnd.begin(ram, features: features, protocolFeatures: 0x29)
      frontEnd.send(.setBackendRequestDescriptor, descriptors: [ends[1]])
      close(ends[1])
      for page in free { fill(page) }
      for page in stride(from: ram.base, to: start, by: Guest.pageByteCount) { mapped[page] = page }
      let queues = [receive, transmit]
      for (index, queue) in queues.enumerated() {
        let (kick, call) = (coflow_event_open(), coflow_event_open())
        frontEnd.send(.setVringSize, queue: index, UInt32(queue.size))
        frontEnd.send(.setVringBase, queue: index, isPacked ? 0x8000_8000 : 0)
        var payload = FrontEnd.bytes(UInt32(index)) + FrontEnd.bytes(UInt32(0)) + FrontEnd.bytes(queue.descriptors)
        payload += FrontEnd.bytes(queue.deviceArea) + FrontEnd.bytes(queue.driverArea) + FrontEnd.bytes(UInt64(0))
        frontEnd.send(.setVringAddress, payload)
        frontEnd.send(.setVringKick, FrontEnd.bytes(UInt64(index)), descriptors: [kick])
        frontEnd.send(.setVringCall, FrontEnd.bytes(UInt64(index)), descriptors: [call])
        frontEnd.send(.setVringEnable, queue: index, 1)
        events += [kick, call]
      }
      kick = events[0]
      _ = frontEnd.number(.getFeatures)
    }

    deinit {
      for event in events { close(event) }
      close(channel)
    }

    // MARK: pages

    private func pattern(_ page: UInt64) -> UInt8 { UInt8(truncatingIfNeeded: (page >> 12) &* 37) | 1 }

    func fill(_ page: UInt64) {
      ram.write([UInt8](repeating: pattern(page), count: Guest.pageByteCount), at: page)
    }

    /// Nobody has written to the page since it was filled.
    func isUntouched(_ page: UInt64) -> Bool {
      let byte = pattern(page)
      return ram.read(page, Guest.pageByteCount).allSatisfy { $0 == byte }
    }

    func address(of slot: Int) -> UInt64 { Guest.bufferBase + UInt64(slot * Guest.pageByteCount) }
    func page(of slot: Int) -> UInt64? { mapped[address(of: slot)] }

    func map(_ slot: Int) {
      let page = free.removeFirst()
      mapped[address(of: slot)] = page
      if unanswered.remove(address(of: slot)) != nil { answer(address(of: slot)) }
    }

    /// Takes an I/O virtual page away, and waits until the switch has let go of it.
    /// - Returns: the page, which is not filled anew.
    func unmap(_ address: UInt64) -> UInt64? {
      let page = mapped.removeValue(forKey: address)
      invalidate(address, UInt64(Guest.pageByteCount))
      return page
    }

    func invalidate(_ address: UInt64, _ byteCount: UInt64) {
      sendInvalidation(address, byteCount)
      #expect(frontEnd.reply() == [UInt8](repeating: 0, count: 8))
    }

    func sendInvalidation(_ address: UInt64, _ byteCount: UInt64) {
      frontEnd.send(.iotlb, message(address, byteCount, user: 0, permission: 0, kind: 3), needReply: true)
    }

    /// What the rings' memory holds.
    var rings: [UInt8] { ram.read(ram.base, Int(ringByteCount)) }

    func refill(_ slot: Int, _ page: UInt64) {
      refilled.insert(slot)
      fill(page)
    }

    func giveBack(_ page: UInt64) {
      fill(page)
      free.append(page)
    }

    /// The page of an address that was taken away is there again, the same or another.
    func setMapped(_ address: UInt64, _ page: UInt64) {
      mapped[address] = page
      if unanswered.remove(address) != nil { answer(address) }
    }

    private func message(
      _ address: UInt64, _ byteCount: UInt64, user: UInt64, permission: UInt8, kind: UInt8
    ) -> [UInt8] {
      FrontEnd.bytes(address) + FrontEnd.bytes(byteCount) + FrontEnd.bytes(user) + [permission, kind, 0, 0, 0, 0, 0, 0]
    }

    private func answer(_ address: UInt64) {
      guard let page = mapped[address] else { return }
      frontEnd.send(
        .iotlb,
        message(address, UInt64(Guest.pageByteCount), user: ram.userAddress(page), permission: 3, kind: 2))
    }

    /// Answers what the switch has asked for.
    func answerQuestions() {
      var bytes = [UInt8](repeating: 0, count: 44)
      while unsafe bytes.withUnsafeMutableBytes({
        unsafe recv(channel, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT))
      }) == 44 {
        let address = bytes[12..<20].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        if mapped[address] == nil { unanswered.insert(address) } else { answer(address) }
      }
    }

    // MARK: buffers

    func offer(_ slot: Int, offset: Int) {
      offsets[slot] = offset
      refilled.remove(slot)
      let buffer = DriverBuffer(address(of: slot) + UInt64(offset), 2048, isWritable: true)
      if let identifier = receive.add([buffer], indirect: false) { slots[identifier] = slot }
      receive.publish()
      var one: UInt64 = 1
      if receive.wantsKick { unsafe _ = Glibc.write(kick, &one, 8) }
    }

    /// A slot whose buffer has come back, and the frame in it, if it is there still.
    func take() -> (slot: Int, frame: [UInt8]?)? {
      guard let used = receive.takeUsed(), let slot = slots.removeValue(forKey: used.identifier),
        let page = page(of: slot)
      else { return nil }
      let bytes = ram.read(page + UInt64(offsets[slot]), Int(used.writtenByteCount))
      return (slot, refilled.contains(slot) ? nil : Array(bytes.dropFirst(12)))
    }
  }

  /// Its number is in it, and all else follows from that.
  private static func frame(_ number: Int) -> [UInt8] {
    let frame = PortTests.frame(to: 0xb, from: 0xa, 60 + number * 37 % 1400, fill: UInt8(number & 255))
    return Array(frame.prefix(14)) + FrontEnd.bytes(UInt32(number)) + Array(frame.dropFirst(18))
  }

  private static func isWhole(_ frame: [UInt8]) -> Bool {
    frame.count >= 60 && frame == Self.frame(frame[14..<18].reversed().reduce(0) { $0 << 8 | Int($1) })
  }

  /// A switch with an ordinary guest and one behind a virtual IOMMU, whose queues run.
  private static func withGuests(
    isPacked: Bool, _ body: (Datapath, PortTests.Guest, Guest) throws -> Void
  ) throws {
    try PortTests.withSwitch(["a", "b"]) { datapath, directory in
      let a = try PortTests.Guest(directory + "/a")
      let b = try Guest(directory + "/b", isPacked: isPacked)
      try #require(
        eventually(every: .milliseconds(1)) {
          b.answerQuestions()
          return datapath.portStates().first { $0.name == "b" }?.status["running_vrings"] == "2"
        })
      try body(datapath, a, b)
    }
  }

  /// Each buffer that has come back is unmapped and its page used for something else; now and then also one that the switch may just be
  /// writing to. Addresses come again with other pages behind them.
  @Test(arguments: testSeeds(1), [false, true])
  func whatWasTakenAwayIsNotWrittenToAnyMore(seed: UInt64, isPacked: Bool) throws {
    var random = SeededGenerator(seed: seed)
    try Self.withGuests(isPacked: isPacked) { datapath, a, b in
      for slot in 0..<Guest.slotCount {
        b.map(slot)
        b.offer(slot, offset: Int.random(in: 0..<2000, using: &random))
      }
      var sent = 0
      var came = 0
      func send() {
        // Its own buffers come again by turns.
        guard a.areAllReturned() else { return }
        for _ in 0..<4 where a.send(Self.frame(sent)) { sent += 1 }
      }
      let end = ContinuousClock.now + .seconds(20)
      while came < 800, ContinuousClock.now < end {
        send()
        b.answerQuestions()
        while let (slot, frame) = b.take() {
          came += 1
          // (Nil: its page was filled anew when the frame was there already.)
          if let frame { #expect(Self.isWhole(frame)) }
          if let page = b.unmap(b.address(of: slot)) { b.giveBack(page) }
          b.map(slot)
          b.offer(slot, offset: Int.random(in: 0..<2000, using: &random))
        }
        if Int.random(in: 0..<4, using: &random) == 0 {
          // One that waits for a frame, or is just getting one: what has come so far is there, and nothing more comes.
          let slot = Int.random(in: 0..<Guest.slotCount, using: &random)
          let page = try #require(b.unmap(b.address(of: slot)))
          b.refill(slot, page)
          send()
          usleep(100)
          try #require(b.isUntouched(page), "a page was written to after it was taken away")
          b.setMapped(b.address(of: slot), page)
        }
        if let page = b.free.randomElement(using: &random) {
          try #require(b.isUntouched(page), "a page was written to after it was taken away")
        }
      }
      #expect(came >= 800, "\(came) of \(sent)")
      for page in b.free { #expect(b.isUntouched(page)) }
      #expect(datapath.portStates().first { $0.name == "b" }?.status.keys.contains { $0.hasSuffix("fault") } == false)
    }
  }

  /// While the worker is busy with something the answer does not come: it may be using the page.
  @Test func anInvalidationIsAnsweredWhenTheWorkerHasLetGo() throws {
    try Self.withGuests(isPacked: false) { datapath, _, b in
      b.map(0)
      let entered = DispatchSemaphore(value: 0)
      let goOn = DispatchSemaphore(value: 0)
      let mailbox = datapath.state.withLock { $0.workers[0].mailbox }
      let thread = Thread {
        mailbox.perform { _ in
          entered.signal()
          goOn.wait()
        }
      }
      thread.start()
      entered.wait()
      b.sendInvalidation(b.address(of: 0), 4096)
      #expect(b.frontEnd.reply(milliseconds: 300) == nil)
      goOn.signal()
      #expect(b.frontEnd.reply() == [UInt8](repeating: 0, count: 8))
    }
  }

  /// Everything is taken away, as Linux does when it forgets pages lazily: rings stay untouched until they are told of again, and what
  /// was sent meanwhile arrives then.
  @Test(arguments: [false, true]) func ringsAreLeftAloneUntilTheyAreKnownAgain(isPacked: Bool) throws {
    try Self.withGuests(isPacked: isPacked) { _, a, b in
      for slot in 0..<Guest.slotCount {
        b.map(slot)
        b.offer(slot, offset: 100)
      }
      var number = 0
      for _ in 0..<5 {
        b.invalidate(0, 0)
        let before = b.rings
        for _ in 0..<3 {
          try #require(a.send(Self.frame(number)))
          number += 1
        }
        usleep(3000)
        #expect(b.rings == before, "a ring was touched after it was taken away")
        var frames: [[UInt8]] = []
        #expect(
          eventually(every: .milliseconds(1)) {
            b.answerQuestions()
            while let (slot, frame) = b.take() {
              frames.append(frame ?? [])
              b.offer(slot, offset: 100)
            }
            return frames.count == 3
          }, "\(frames.count) of 3")
        #expect(frames == (number - 3..<number).map { Self.frame($0) })
      }
    }
  }
}
