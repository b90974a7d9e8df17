import Glibc
import TestSupport
import Testing
import VSwitchCore
import VirtioDriver

@testable import Datapath

/// A guest with as many queue pairs as there may be: each of its transmit queues is served, flows are spread over all of its
/// receive queues and keep to one each.
@Suite(.serialized) struct ManyQueuesTests {
  /// A guest with 16 pairs.
  private final class Guest {
    static let pairCount = 16
    let ram = GuestRAM(byteCount: 16 << 20)
    let frontEnd: FrontEnd
    /// By the protocol's number: even ones receive.
    private(set) var queues: [any DriverQueue] = []
    private var events: [(kick: Int32, call: Int32)] = []
    private var buffers: [[UInt16: UInt64]] = []

    init(_ path: String, isPacked: Bool) throws {
      frontEnd = try FrontEnd(connect: path)
      let multiQueue: UInt64 = 1 << 22
      let features = PortTests.Guest.features | multiQueue | (isPacked ? PortTests.Guest.packed : 0)
      try frontEnd.begin(ram, features: features)
      #expect(frontEnd.number(.getQueueCount) == UInt64(Self.pairCount))
      for index in 0..<2 * Self.pairCount {
        let queue: any DriverQueue = isPacked ? PackedDriverQueue(ram, size: 64) : SplitDriverQueue(ram, size: 64)
        var known: [UInt16: UInt64] = [:]
        if index & 1 == 0 {
          for _ in 0..<64 {
            let address = ram.allocate(2048)
            if let identifier = queue.add([DriverBuffer(address, 2048, isWritable: true)], indirect: false) {
              known[identifier] = address
            }
          }
          queue.publish()
        }
        queues.append(queue)
        buffers.append(known)
        events.append(frontEnd.start(queue, index: index, ram, base: isPacked ? 0x8000_8000 : 0))
      }
      _ = frontEnd.number(.getFeatures)
    }

    deinit {
      for event in events {
        close(event.kick)
        close(event.call)
      }
    }

    func send(_ frame: [UInt8], pair: Int) {
      let address = ram.allocate(2048)
      let bytes = [UInt8](repeating: 0, count: 12) + frame
      ram.write(bytes, at: address)
      let queue = queues[2 * pair + 1]
      #expect(queue.add([DriverBuffer(address, UInt32(bytes.count))], indirect: false) != nil)
      queue.publish()
      var one: UInt64 = 1
      if queue.wantsKick { unsafe _ = Glibc.write(events[2 * pair + 1].kick, &one, 8) }
    }

    /// All frames that have come, with the pair where each came.
    func takeAll() -> [(pair: Int, frame: [UInt8])] {
      var result: [(pair: Int, frame: [UInt8])] = []
      for pair in 0..<Self.pairCount {
        while let used = queues[2 * pair].takeUsed() {
          guard let address = buffers[2 * pair][used.identifier] else { continue }
          result.append((pair, Array(ram.read(address, Int(used.writtenByteCount)).dropFirst(12))))
        }
      }
      return result
    }
  }

  /// A UDP datagram between two stations.
  private static func datagram(to destination: UInt8, from source: UInt8, flow: Int, number: UInt8) -> [UInt8] {
    var frame: [UInt8] = [2, 0, 0, 0, 0, destination, 2, 0, 0, 0, 0, source, 8, 0]
    frame += [0x45, 0, 0, 30, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, source, 10, 0, 0, destination]
    return frame + [UInt8(flow >> 8), UInt8(flow & 255), 0, 9, 0, 10, 0, 0, number, 0]
      + [UInt8](repeating: 0, count: 16)
  }

  @Test(arguments: [false, true]) func sixteenPairsAreServedAndFlowsKeepToOne(isPacked: Bool) throws {
    try PortTests.withSwitch(["a", "b"]) { datapath, directory in
      let a = try Guest(directory + "/a", isPacked: isPacked)
      let b = try Guest(directory + "/b", isPacked: isPacked)
      #expect(
        eventually { datapath.portStates().allSatisfy { $0.status["running_vrings"] == "32" || $0.name == "br0" } })
      // b becomes known.
      b.send(Self.datagram(to: 1, from: 2, flow: 0, number: 0), pair: 7)
      #expect(eventually { !a.takeAll().isEmpty })
      var pairs: [Int: Set<Int>] = [:]
      let flowCount = 96
      for number in 0..<3 {
        for flow in 0..<flowCount {
          a.send(Self.datagram(to: 2, from: 1, flow: flow, number: UInt8(number)), pair: flow % Guest.pairCount)
        }
        var count = 0
        let isAll = eventually(.seconds(5), every: .milliseconds(1)) {
          for (pair, frame) in b.takeAll() {
            count += 1
            let flow = Int(frame[34]) << 8 | Int(frame[35])
            let isWhole = frame == Self.datagram(to: 2, from: 1, flow: flow, number: UInt8(number))
            #expect(isWhole)
            pairs[flow, default: []].insert(pair)
          }
          return count == flowCount
        }
        #expect(isAll, "\(count) of \(flowCount)")
      }
      #expect(pairs.values.allSatisfy { $0.count == 1 })
      #expect(Set(pairs.values.flatMap { $0 }).count == Guest.pairCount, "some receive queue got no flow")
    }
  }
}
