import COFlow
import Glibc
import TestSupport
import Testing
import VirtioDriver

@testable import Datapath

/// The protocol's messages: sizes and numbers of descriptors are exact, any bytes end as a message or a fault, and whatever
/// is refused leaves no descriptor open.
@Suite struct MessageTests {
  private func header(_ request: UInt32, flags: UInt32 = 1, size: UInt32) -> [UInt8] {
    bytes(request) + bytes(flags) + bytes(size)
  }

  private func descriptors(_ count: Int, of probe: LeakProbe? = nil) -> [OwnedDescriptor] {
    (0..<count).map { _ in OwnedDescriptor(probe?.copy() ?? coflow_event_open()) }
  }

  @Test func everyRequestHasItsSizeAndDescriptors() throws {
    for request in VhostUserRequest.allCases {
      for size in 0...300 {
        let isRight = request.byteCounts.contains(size) && size <= VhostUserHeader.payloadLimit
        let parsed = try? VhostUserHeader(header(request.rawValue, size: UInt32(size))[...])
        #expect((parsed != nil) == isRight, "\(request) \(size)")
      }
      for count in 0...9 {
        let parsed = try VhostUserHeader(header(request.rawValue, size: UInt32(request.byteCounts.lowerBound))[...])
        let message = try? VhostUserMessage(
          parsed, payload: [UInt8](repeating: 0, count: parsed.payloadByteCount)[...], descriptors: descriptors(count))
        #expect((message != nil) == request.descriptorCounts.contains(count), "\(request) \(count)")
      }
    }
  }

  @Test func headersThatAreWrongAreRefused() {
    #expect(throws: VhostUserFault.messageVersionWrong) { try VhostUserHeader(header(1, flags: 2, size: 0)[...]) }
    #expect(throws: VhostUserFault.messageIsReply) { try VhostUserHeader(header(1, flags: 5, size: 0)[...]) }
    #expect(throws: VhostUserFault.messageTooLong) { try VhostUserHeader(header(1, size: .max)[...]) }
    #expect(throws: VhostUserFault.messageUnknown) { try VhostUserHeader(header(99, size: 0)[...]) }
    #expect(throws: VhostUserFault.messageSizeWrong) { try VhostUserHeader(header(2, size: 0)[...]) }
  }

  @Test func memoryTableHasAsManyDescriptorsAsRegions() throws {
    func table(_ said: UInt32, regions: Int, descriptors count: Int) throws -> [GuestRegionDescription] {
      let payload = bytes(said) + bytes(UInt32(0)) + [UInt8](repeating: 1, count: 32 * regions)
      let parsed = try VhostUserHeader(header(5, size: UInt32(payload.count))[...])
      return try VhostUserMessage(parsed, payload: payload[...], descriptors: descriptors(count)).memoryTable()
    }
    #expect(try table(2, regions: 2, descriptors: 2).count == 2)
    #expect(throws: VhostUserFault.messageSizeWrong) { try table(2, regions: 1, descriptors: 2) }
    #expect(throws: VhostUserFault.messageSizeWrong) { try table(9, regions: 8, descriptors: 8) }
    #expect(throws: VhostUserFault.messageSizeWrong) { try table(.max, regions: 1, descriptors: 1) }
    #expect(throws: VhostUserFault.messageDescriptorCountWrong) { try table(2, regions: 2, descriptors: 1) }
  }

  @Test(arguments: testSeeds(5)) func messagesArriveInAnyPieces(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    var reader = VhostUserMessageReader()
    for _ in 0..<200 {
      let request = VhostUserRequest.allCases.randomElement(using: &random) ?? .getFeatures
      let payload = random.bytes(request.byteCounts.lowerBound)
      var stream = (header(request.rawValue, size: UInt32(payload.count)) + payload)[...]
      let sent = descriptors(request.descriptorCounts.lowerBound)
      var waiting = sent
      var message: VhostUserMessage?
      while message == nil {
        let count = min(stream.count, Int.random(in: 1...reader.wantedByteCount, using: &random))
        message = try reader.take(stream.prefix(count), descriptors: waiting)
        waiting = []
        stream = stream.dropFirst(count)
      }
      #expect(message?.request == request && message.map { Array($0.payload) } == payload)
      #expect(message?.descriptors.map(\.number) == sent.map(\.number))
      #expect(!reader.isInsideMessage)
    }
  }

  /// Any bytes with any descriptors: what is refused is also closed.
  @Test(arguments: testSeeds(5)) func randomMessagesLeaveNoDescriptorOpen(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let probe = LeakProbe()
    var faults = 0
    for _ in 0..<2000 {
      let device = FakeDevice()
      var session = VhostUserSession(device: device, record: nil)
      for _ in 0..<4 {
        var reader = VhostUserMessageReader()
        let request = UInt32.random(in: 0...42, using: &random)
        let right = VhostUserRequest(rawValue: request)
        let size =
          Bool.random(using: &random) ? right?.byteCounts.lowerBound ?? 8 : Int.random(in: 0...300, using: &random)
        let count =
          Bool.random(using: &random) ? right?.descriptorCounts.lowerBound ?? 0 : Int.random(in: 0...9, using: &random)
        let payload = (0..<size).map { _ in Bool.random(using: &random) ? 0 : UInt8.random(in: 0...255, using: &random)
        }
        do {
          var message = try reader.take(
            header(request, size: UInt32(size))[...], descriptors: descriptors(count, of: probe))
          if message == nil, !payload.isEmpty { message = try reader.take(payload[...], descriptors: []) }
          if let message { _ = try session.handle(message) }
        } catch { faults += 1 }
      }
      session.end()
    }
    #expect(faults > 1000)
    #expect(probe.isAllClosed())
  }
}
