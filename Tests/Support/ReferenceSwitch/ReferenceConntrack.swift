// Connection tracking as simply as it can be said: a list of connections that is searched from its start. Knows UDP, echo
// requests and protocols without ports; TCP's windows are tested against Linux. What a translation chooses is the tracker's
// business: here it is only said whether it may.

/// A list of connections.
package struct ReferenceConntrack {
  package struct Tuple: Hashable {
    package var zone: UInt16
    package var ipProtocol: UInt8
    package var source: UInt32
    package var sourcePort: UInt16
    package var destination: UInt32
    /// ICMP: 8 asks, 0 answers; the identifier is the source port.
    package var destinationPort: UInt16

    package init(
      zone: UInt16, ipProtocol: UInt8, source: UInt32, sourcePort: UInt16, destination: UInt32, destinationPort: UInt16
    ) {
      self.zone = zone
      self.ipProtocol = ipProtocol
      self.source = source
      self.sourcePort = sourcePort
      self.destination = destination
      self.destinationPort = destinationPort
    }

    package var reversed: Tuple {
      Tuple(
        zone: zone, ipProtocol: ipProtocol, source: destination,
        sourcePort: ipProtocol == 1 ? sourcePort : destinationPort, destination: source,
        destinationPort: ipProtocol == 1 ? 8 - destinationPort : sourcePort)
    }
  }

  package struct Range {
    package var isSource: Bool
    package var addresses: ClosedRange<UInt32>
    package var ports: ClosedRange<UInt16>?

    package init(isSource: Bool, addresses: ClosedRange<UInt32>, ports: ClosedRange<UInt16>?) {
      self.isSource = isSource
      self.addresses = addresses
      self.ports = ports
    }
  }

  private struct Connection {
    var original: Tuple
    var reply: Tuple
    var isReplied = false
    var expires: UInt32
    var mark: UInt32
  }

  /// What a packet must come out as.
  package enum Outcome: Equatable {
    case invalid
    /// Of a known connection: new, established or established in the reply direction; and the tuple that it leaves with.
    case known(isNew: Bool, isReply: Bool, Tuple, mark: UInt32)
    /// Begins a connection that is not kept.
    case begins
    /// Begins one that is: see `commit`.
    case commits
  }

  private var connections: [Connection] = []

  package init() {}

  package func count(now: UInt32) -> Int { connections.count { $0.expires > now } }

  /// What a packet is; a known one is counted.
  package mutating func track(
    _ tuple: Tuple, commits: Bool, forces: Bool, translates: Bool, now: UInt32
  ) -> Outcome {
    connections.removeAll { $0.expires <= now }
    for index in connections.indices {
      let isReply = connections[index].reply == tuple
      guard isReply || connections[index].original == tuple else { continue }
      if isReply, forces {
        connections.remove(at: index)
        break
      }
      if isReply { connections[index].isReplied = true }
      let isReplied = connections[index].isReplied
      connections[index].expires = now + (isReplied ? 30 : 60)
      let other = isReply ? connections[index].original : connections[index].reply
      return .known(
        isNew: !isReplied, isReply: isReply, translates ? other.reversed : tuple, mark: connections[index].mark)
    }
    if tuple.ipProtocol == 1, tuple.destinationPort != 8 { return .invalid }
    return commits || forces ? .commits : .begins
  }

  /// Whether a new connection may have this tuple of answers.
  package func mayCommit(_ original: Tuple, reply: Tuple, _ range: Range?) -> Bool {
    guard isFree(reply) else { return false }
    let plain = original.reversed
    guard let range else { return reply == plain }
    var wanted = plain
    // The end that is translated.
    let address = range.isSource ? reply.destination : reply.source
    guard range.addresses.contains(address) else { return false }
    if range.isSource { wanted.destination = address } else { wanted.source = address }
    if original.ipProtocol == 47 { return reply == wanted }
    let clientPort = original.ipProtocol == 1 ? reply.sourcePort : reply.destinationPort
    if let ports = range.ports, original.ipProtocol == 17 {
      if range.isSource {
        wanted.destinationPort = clientPort
        return reply == wanted && ports.contains(clientPort)
      }
      guard ports.contains(reply.sourcePort) else { return false }
      wanted.sourcePort = reply.sourcePort
    }
    if reply == wanted { return true }
    // Only where the client's own port is taken, another one is.
    guard !isFree(wanted) else { return false }
    if original.ipProtocol == 1 { wanted.sourcePort = clientPort } else { wanted.destinationPort = clientPort }
    return reply == wanted
  }

  /// Whether there is any tuple of answers left in a small range of ports.
  package func hasRoom(_ original: Tuple, _ range: Range) -> Bool {
    guard range.isSource, original.ipProtocol == 17, let ports = range.ports else {
      return original.ipProtocol != 47
        || range.addresses.contains { address in
          var reply = original.reversed
          if range.isSource { reply.destination = address } else { reply.source = address }
          return isFree(reply)
        }
    }
    return range.addresses.contains { address in
      ports.contains { port in
        var reply = original.reversed
        reply.destination = address
        reply.destinationPort = port
        return isFree(reply)
      }
    }
  }

  private func isFree(_ tuple: Tuple) -> Bool { !connections.contains { $0.original == tuple || $0.reply == tuple } }

  package mutating func commit(_ original: Tuple, reply: Tuple, mark: UInt32, now: UInt32) {
    connections.append(Connection(original: original, reply: reply, expires: now + 60, mark: mark))
  }

  package mutating func setMark(_ tuple: Tuple, _ mark: UInt32) {
    for index in connections.indices where connections[index].original == tuple || connections[index].reply == tuple {
      connections[index].mark = mark
    }
  }
}
