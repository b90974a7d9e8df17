// A guest's device that outlives its back-end, without a guest: memory and rings stay, and at each new connection is said what
// QEMU says of where they stand (split: the used index in the guest's memory; packed: the start, whatever has passed since).
// An emulated guest takes longer to notice that its link is back than the switch does to serve it; this one takes no time.
//
// Thread: one of its own; the test reads and writes `state` alone. Memory: its own. Invariant: a chain that was made available is in
// `outstanding` until the switch gives it back, which it has to do in order, so that each is given back once.

import Foundation
import Glibc
import Synchronization
import TestSupport
import VirtioDriver

/// One end of a stream of numbered frames.
final class RingStation: @unchecked Sendable {
  enum Role { case sender, receiver }

  /// What the test says and sees.
  struct State {
    /// Stays away from the switch.
    var isAway = false
    var isEnding = false
    /// Sender: number of the last frame that is to be sent, and how far it may be ahead of the receiver.
    var target: UInt64 = 0
    var window: UInt64 = 0
    /// Sender: the receiver need not have got the frames up to this one.
    var windowStart: UInt64 = 0

    var connectionCount = 0
    /// When it began to wait for the switch, or to ask for it.
    var waitingSince = ContinuousClock.now
    var connectedAt = ContinuousClock.now
    /// First frame, or first chain given back, of this connection.
    var firstAt: ContinuousClock.Instant?
    /// Number of the last frame that was sent, or has come.
    var lastNumber: UInt64 = 0
    var count = 0
    /// Frames that came again, or after later ones.
    var repeated = 0
    var missing: UInt64 = 0
    var damaged = 0
    /// Chains given back that were not the next.
    var misused = 0
    var outstandingCount = 0
  }

  static let ringSize = 64
  private static let bufferByteCount = 2048
  private static let headerByteCount = 12
  /// PROTOCOL_FEATURES, VERSION_1, INDIRECT_DESC; RING_PACKED.
  private static let features: UInt64 = 1 << 30 | 1 << 32 | 1 << 28
  private static let packed: UInt64 = 1 << 34

  let state = Mutex(State())
  private let role: Role
  private let path: String
  private let isServer: Bool
  private let isPacked: Bool
  private let ram = GuestRAM(byteCount: 2 << 20)
  private let receive: any DriverQueue
  private let transmit: any DriverQueue
  private let receiver: RingStation?
  private var kick: Int32 = -1
  private var outstanding: [(identifier: UInt16, address: UInt64)] = []
  private var nextBuffer = 0
  private let buffers: [UInt64]
  private let isDone = DispatchSemaphore(value: 0)

  /// - Parameters:
  ///   - isServer: the station listens, and the switch connects.
  ///   - receiver: of a sender: where its frames arrive.
  init(_ role: Role, _ path: String, isServer: Bool, isPacked: Bool, receiver: RingStation? = nil) {
    self.role = role
    self.path = path
    self.isServer = isServer
    self.isPacked = isPacked
    self.receiver = receiver
    receive = isPacked ? PackedDriverQueue(ram, size: Self.ringSize) : SplitDriverQueue(ram, size: Self.ringSize)
    transmit = isPacked ? PackedDriverQueue(ram, size: Self.ringSize) : SplitDriverQueue(ram, size: Self.ringSize)
    buffers = (0..<Self.ringSize).map { [ram] _ in ram.allocate(Self.bufferByteCount) }
    if role == .receiver {
      for address in buffers { offer(address) }
      receive.publish()
    }
    let thread = Thread { self.run() }
    thread.start()
  }

  /// Ends the thread and the connection.
  func end() {
    state.withLock { $0.isEnding = true }
    isDone.wait()
  }

  /// The frame of a number: its length and every byte follow from it.
  static func frame(_ number: UInt64) -> [UInt8] {
    let header: [UInt8] = [2, 0, 0, 0, 0, 0xb, 2, 0, 0, 0, 0, 0xa, 0x88, 0xb5] + FrontEnd.bytes(number)
    let count = 60 + Int(number &* 37 % 1400)
    return header + (header.count..<count).map { UInt8(truncatingIfNeeded: UInt64($0) &+ number &* 7) }
  }

  // MARK: the thread

  private func run() {
    while true {
      let (isAway, isEnding) = state.withLock { ($0.isAway, $0.isEnding) }
      if isEnding { break }
      if isAway {
        usleep(1000)
        continue
      }
      state.withLock { $0.waitingSince = .now }
      do { try serve() } catch { usleep(5000) }
    }
    isDone.signal()
  }

  /// One connection, from its beginning to its end.
  private func serve() throws {
    let frontEnd = isServer ? try FrontEnd(accept: path) : try FrontEnd(connect: path)
    let now = ContinuousClock.now
    try frontEnd.begin(ram, features: Self.features | (isPacked ? Self.packed : 0))
    let events = [
      frontEnd.start(receive, index: 0, ram, base: base(receive)),
      frontEnd.start(transmit, index: 1, ram, base: base(transmit)),
    ]
    defer {
      for event in events {
        close(event.kick)
        close(event.call)
      }
    }
    kick = role == .receiver ? events[0].kick : events[1].kick
    state.withLock {
      $0.connectionCount += 1
      $0.connectedAt = now
      $0.firstAt = nil
    }
    while !frontEnd.isClosed(milliseconds: 0) {
      let (isAway, isEnding) = state.withLock { ($0.isAway, $0.isEnding) }
      if isAway || isEnding { return }
      for _ in 0..<8 {
        if role == .receiver { takeFrames() } else { sendFrames() }
        usleep(100)
      }
    }
  }

  /// What QEMU says of a ring's position when its back-end died.
  private func base(_ queue: any DriverQueue) -> UInt32 {
    if isPacked { return 0x8000_8000 }
    return ram.read(queue.deviceArea + 2, 2).enumerated().reduce(0) { $0 | UInt32($1.element) << UInt32(8 * $1.offset) }
  }

  /// Takes a chain that the switch has given back.
  /// - Returns: its buffer and how much was written; nil if there is none.
  private func takeBack(_ queue: any DriverQueue) -> (address: UInt64, byteCount: Int)? {
    guard let used = queue.takeUsed() else { return nil }
    guard let next = outstanding.first, next.identifier == used.identifier else {
      state.withLock { $0.misused += 1 }
      return nil
    }
    outstanding.removeFirst()
    state.withLock { [count = outstanding.count] in
      $0.outstandingCount = count
      if $0.firstAt == nil { $0.firstAt = .now }
    }
    return (next.address, Int(used.writtenByteCount))
  }

  private func kickIfWanted(_ queue: any DriverQueue) {
    var one: UInt64 = 1
    if queue.wantsKick { unsafe _ = Glibc.write(kick, &one, 8) }
  }

  // MARK: the receiver

  private func offer(_ address: UInt64) {
    let buffer = DriverBuffer(address, UInt32(Self.bufferByteCount), isWritable: true)
    guard let identifier = receive.add([buffer], indirect: false) else { return }
    outstanding.append((identifier, address))
    state.withLock { [count = outstanding.count] in $0.outstandingCount = count }
  }

  private func takeFrames() {
    var isAny = false
    while let (address, byteCount) = takeBack(receive) {
      isAny = true
      let frame = Array(ram.read(address, byteCount).dropFirst(Self.headerByteCount))
      let number = frame.count > 22 ? frame[14..<22].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) } : 0
      let isWhole = frame == Self.frame(number)
      state.withLock {
        $0.count += 1
        if !isWhole {
          $0.damaged += 1
        } else if number <= $0.lastNumber {
          $0.repeated += 1
        } else {
          $0.missing += number - $0.lastNumber - 1
          $0.lastNumber = number
        }
      }
      offer(address)
    }
    guard isAny else { return }
    receive.publish()
    kickIfWanted(receive)
  }

  // MARK: the sender

  private func sendFrames() {
    while takeBack(transmit) != nil {}
    var arrived = receiver?.state.withLock { $0.lastNumber } ?? 0
    var (next, target, window) = state.withLock { ($0.lastNumber, $0.target, $0.window) }
    arrived = max(arrived, state.withLock { $0.windowStart })
    var isAny = false
    for _ in 0..<16 where next < target && (window == 0 || next < arrived + window) {
      let bytes = [UInt8](repeating: 0, count: Self.headerByteCount) + Self.frame(next + 1)
      let address = buffers[nextBuffer % Self.ringSize]
      // One to three buffers, now and then an indirect table.
      let partCount = Int(next % 3) + 1
      var parts: [DriverBuffer] = []
      var offset = 0
      for part in 0..<partCount {
        let count = part == partCount - 1 ? bytes.count - offset : bytes.count / partCount
        parts.append(DriverBuffer(address + UInt64(offset), UInt32(count)))
        offset += count
      }
      guard outstanding.count < Self.ringSize, let identifier = transmit.add(parts, indirect: next % 5 == 0) else {
        break
      }
      ram.write(bytes, at: address)
      outstanding.append((identifier, address))
      nextBuffer += 1
      next += 1
      isAny = true
    }
    guard isAny else { return }
    transmit.publish()
    state.withLock { [count = outstanding.count] in
      $0.lastNumber = next
      $0.outstandingCount = count
    }
    kickIfWanted(transmit)
  }
}
