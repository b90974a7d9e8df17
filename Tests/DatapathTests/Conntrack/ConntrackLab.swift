import TestSupport
import VSwitchCore

@testable import Datapath

/// A bridge whose rules track connections: clients at port 1, servers at port 2. What a packet's state was shows in a VLAN tag
/// that table 1 puts on: the state is the VID.
struct ConntrackLab {
  let bridge: DatapathHarness

  /// - Parameters:
  ///   - outward: of packets from port 1, before table 1.
  ///   - commit: of new packets from port 1, in table 1.
  init(
    outward: @escaping (inout ConntrackAction) -> Void = { _ in },
    inward: @escaping (inout ConntrackAction) -> Void = { _ in },
    commit: ((inout ConntrackAction) -> Void)? = { _ in }, seed: UInt64 = 1
  ) throws {
    bridge = try .bridge(portCount: 3, seed: seed)
    var changes = [clear]
    for etherType in [UInt128(0x0800), 0x86dd] {
      for (port, adjust) in [(UInt128(1), outward), (2, inward)] {
        var action = ConntrackAction()
        action.recirculationTable = 1
        adjust(&action)
        changes.append(rule([(.etherType, etherType), (.inPort, port)], [.conntrack(action)]))
      }
      if let commit {
        var action = ConntrackAction()
        action.commits = true
        action.recirculationTable = 2
        commit(&action)
        var match = Match()
        match.set(.etherType, etherType)
        match.set(.inPort, 1)
        match.set(.ctState, 0x21, mask: 0x21)
        changes.append(rule(table: 1, priority: 200, match, [.conntrack(action)]))
        // What is related comes from anywhere.
        match = Match()
        match.set(.etherType, etherType)
        match.set(.ctState, 0x25, mask: 0x25)
        changes.append(rule(table: 1, priority: 300, match, [.conntrack(action)]))
      }
    }
    // Table 1 goes on to table 2, which shows the state.
    changes.append(
      rule(table: 1, priority: 1, [], [.resubmit(port: nil, table: 2, withConntrackTuple: false)]))
    for port in [UInt32(1), 2] {
      changes.append(
        rule(
          table: 2, [(.inPort, UInt128(port))],
          [
            .pushVLAN(etherType: 0x8100), .setField(.vlanID, value: 0x1000, mask: 0x1fff),
            .move(
              from: ConntrackLab.lowByte(.ctState), to: ConntrackLab.lowByte(.vlanID)),
            .output(PortNumber(3 - port), maximumByteCount: 0xffff),
          ]))
    }
    try bridge.changeFlows(bridge: "br0", changes)
  }

  /// The bits of `ct_state`, and those of a VID that show them.
  static func lowByte(_ field: Field) -> Subfield {
    Subfield(field, firstBit: 0, bitCount: 8) ?? Subfield(field)
  }

  /// What came of a packet.
  struct Result: Equatable, CustomStringConvertible {
    var state: ConnectionState
    /// The IP packet.
    var packet: [UInt8]
    var offload: OffloadMetadata

    var source: [UInt8] { packet[0] >> 4 == 4 ? Array(packet[12..<16]) : Array(packet[8..<24]) }
    var destination: [UInt8] { packet[0] >> 4 == 4 ? Array(packet[16..<20]) : Array(packet[24..<40]) }
    var transport: [UInt8] { Array(packet[(packet[0] >> 4 == 4 ? Int(packet[0] & 15) * 4 : 40)...]) }
    var sourcePort: UInt16 { UInt16(transport[0]) << 8 | UInt16(transport[1]) }
    var destinationPort: UInt16 { UInt16(transport[2]) << 8 | UInt16(transport[3]) }
    var description: String { "\(state.text) \(source):\(sourcePort) > \(destination):\(destinationPort)" }
  }

  /// Sends an IP packet from a port; nil: it was dropped.
  func send(_ packet: [UInt8], from port: Int = 1, offload: OffloadMetadata = OffloadMetadata()) -> Result? {
    let results = sendAll(packet, from: port, offload: offload)
    return results.count == 1 ? results[0] : nil
  }

  func sendAll(_ packet: [UInt8], from port: Int = 1, offload: OffloadMetadata = OffloadMetadata()) -> [Result] {
    let frame = FrameBuilder.ethernet(
      to: FrameBuilder.address(UInt32(3 - port)), from: FrameBuilder.address(UInt32(port)),
      etherType: packet[0] >> 4 == 4 ? 0x0800 : 0x86dd, packet)
    return bridge.receive(bridge: "br0", port: "p\(port)", frame: frame, offload: offload).compactMap { output in
      guard output.port == "p\(3 - port)", output.frame.count > 38 else { return nil }
      return Result(
        state: ConnectionState(rawValue: output.frame[15]), packet: Array(output.frame[18...]), offload: output.offload)
    }
  }

  func drops(_ reason: DropReason, port: Int = 1) -> UInt64 {
    bridge.counters(bridge: "br0", port: "p\(port)").receiveDrops[reason] ?? 0
  }

  // MARK: packets

  static let client: [UInt8] = [10, 0, 0, 1]
  static let server: [UInt8] = [192, 0, 2, 80]
  static let outside: [UInt8] = [198, 51, 100, 7]

  static func udp(
    _ source: [UInt8], _ sourcePort: UInt16, _ destination: [UInt8], _ destinationPort: UInt16,
    _ payload: [UInt8] = [1, 2, 3, 4]
  ) -> [UInt8] {
    let datagram = FrameBuilder.udp(
      from: source, to: destination, sourcePort: sourcePort, destinationPort: destinationPort, payload)
    return ip(source, destination, 17, datagram)
  }

  static func tcp(
    _ source: [UInt8], _ sourcePort: UInt16, _ destination: [UInt8], _ destinationPort: UInt16, flags: UInt8,
    _ sequence: UInt32 = 1, _ acknowledgement: UInt32 = 0, _ payload: [UInt8] = []
  ) -> [UInt8] {
    let segment = FrameBuilder.tcp(
      from: source, to: destination, sourcePort: sourcePort, destinationPort: destinationPort, sequence: sequence,
      acknowledgement: acknowledgement, flags: flags, payload)
    return ip(source, destination, 6, segment)
  }

  static func ip(_ source: [UInt8], _ destination: [UInt8], _ number: UInt8, _ payload: [UInt8]) -> [UInt8] {
    source.count == 4
      ? FrameBuilder.ipv4(from: source, to: destination, protocol: number, payload)
      : FrameBuilder.ipv6(from: source, to: destination, nextHeader: number, payload)
  }

  /// An ICMP or ICMPv6 message.
  static func icmp(
    _ source: [UInt8], _ destination: [UInt8], type: UInt8, code: UInt8 = 0, rest: [UInt8], _ body: [UInt8]
  ) -> [UInt8] {
    var message = [type, code, 0, 0] + rest + body
    let number: UInt8 = source.count == 4 ? 1 : 58
    let sum =
      source.count == 4
      ? FrameBuilder.checksum(message)
      : FrameBuilder.transportChecksum(message, from: source, to: destination, protocol: number)
    message.replaceSubrange(2..<4, with: sum.octets)
    return ip(source, destination, number, message)
  }

  static func echo(_ source: [UInt8], _ destination: [UInt8], id: UInt16, isReply: Bool = false) -> [UInt8] {
    let type: UInt8 = source.count == 4 ? (isReply ? 0 : 8) : (isReply ? 129 : 128)
    return icmp(source, destination, type: type, rest: id.octets + [0, 1], Array(0..<16))
  }

  /// What is wrong with the checksums of an IP packet; nil if they are right.
  static func complaint(_ packet: [UInt8]) -> String? {
    if packet[0] >> 4 == 4 {
      let header = Array(packet[..<(Int(packet[0] & 15) * 4)])
      if FrameBuilder.checksum(header) != 0 { return "IPv4 header" }
    }
    let result = Result(state: [], packet: packet, offload: OffloadMetadata())
    let number = packet[0] >> 4 == 4 ? packet[9] : packet[6]
    switch number {
    case 6, 17, 58:
      if number == 17, result.transport[6] == 0, result.transport[7] == 0 { return nil }
      let isRight = FrameBuilder.hasRightChecksum(
        result.transport, from: result.source, to: result.destination, protocol: number)
      return isRight ? nil : "protocol \(number)"
    case 1: return FrameBuilder.checksum(result.transport) == 0 ? nil : "ICMP"
    default: return nil
    }
  }
}

extension ConnectionState {
  /// As `ct_state` is written.
  var text: String {
    let names = ["new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"]
    return names.enumerated().filter { rawValue >> $0.offset & 1 == 1 }.map(\.element).joined(separator: "|")
  }
}
