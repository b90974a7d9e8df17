// Fuzz target of libFuzzer for the services of networks (`make fuzz`): DHCP for both families, the resolver, connections to it and
// its servers' responses. No bytes may trap, no state may grow past its bounds, and what is answered can be read.

import CLibFuzzer
import Glibc
import VSwitchCore

@main struct NetworkServicesFuzzer {
  static func main() {
    var count = CommandLine.argc
    var arguments = unsafe CommandLine.unsafeArgv
    exit(unsafe LLVMFuzzerRunDriver(&count, &arguments) { start, count in unsafe testOneInput(start, count) })
  }
}

private let mac = MACAddress(bits: 0x0200_0000_0001)
private let address: UInt32 = 0x0a09_0001

private func datagram(_ payload: [UInt8], _ source: IPAddress, _ destination: IPAddress, port: UInt16) -> UDPDatagram {
  UDPDatagram(
    sourceMAC: MACAddress(bits: 0x5254_0000_0001), destinationMAC: mac, source: source, destination: destination,
    sourcePort: 4000, destinationPort: port, payload: payload)
}

private func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = unsafe UnsafeBufferPointer(start: start, count: count)
  // The first byte chooses the reader, so that each mutation costs one.
  guard let choice = unsafe bytes.first else { return 0 }
  let payload = unsafe Array(bytes.dropFirst())
  switch choice % 6 {
  case 0: readFrame(payload)
  case 1: runDHCP(payload)
  case 2: runDHCPv6(payload)
  case 4: runUplink(payload)
  case 5: runStreams(payload)
  default: runResolver(payload)
  }
  return 0
}

private func readFrame(_ bytes: [UInt8]) {
  _ = TCPSegmentView(frame: bytes)
  guard let datagram = UDPDatagram(frame: bytes) else { return }
  guard UDPDatagram(frame: datagram.frame) == datagram else { fatalError("a datagram is not read as it is written") }
}

/// Messages one after the other, each with its length in two bytes before it.
private func messages(_ bytes: [UInt8]) -> [[UInt8]] {
  var messages: [[UInt8]] = []
  var rest = bytes[...]
  while rest.count > 2, messages.count < 16 {
    let length = Int(rest[rest.startIndex]) << 8 | Int(rest[rest.startIndex + 1])
    messages.append(Array(rest.dropFirst(2).prefix(length)))
    rest = rest.dropFirst(2 + length)
  }
  return messages
}

private func runDHCP(_ bytes: [UInt8]) {
  var settings = DHCPSettings(
    serverAddress: address, serverMAC: mac, prefixLength: 24, pool: (address + 9)...(address + 12))
  settings.search = ["lab", "example.org"]
  settings.bootFile = "pxelinux.0"
  var server = DHCPServer(settings)
  var time = DHCPServer.Time(now: 0, wallSeconds: 1_000_000)
  for message in messages(bytes) {
    var effects = server.handle(
      datagram(message, IPAddress(ipv4: 0), IPAddress(ipv4: .max), port: 67), port: 1, time)
    time.now += 200_000_000
    time.wallSeconds += 1
    effects += server.tick(time)
    for case .send(let reply) in effects {
      guard let read = DHCPMessage(reply.payload), read.isReply, read.type != nil, reply.payload.count <= 1472 else {
        fatalError("an answer can't be read")
      }
    }
  }
  guard server.leases.count <= settings.poolCount else { fatalError("more leases than addresses") }
}

private func runUplink(_ bytes: [UInt8]) {
  var uplink = DHCPUplink(hardwareAddress: mac, known: nil)
  var generator = SystemRandomNumberGenerator()
  var time = DHCPServer.Time(now: 0, wallSeconds: 1_000_000)
  var asked: [UInt8] = []
  func note(_ effects: [DHCPUplink.Effect]) {
    for case .send(let datagram) in effects { asked = datagram.payload }
  }
  note(uplink.tick(time, using: &generator))
  for message in messages(bytes) {
    // With the number of what was asked, so that the rest is looked at.
    var answer = message
    if answer.count > 8, asked.count > 8 { answer.replaceSubrange(4..<8, with: asked[4..<8]) }
    var reply = datagram(answer, IPAddress(ipv4: address), IPAddress(ipv4: .max), port: 68)
    reply.sourcePort = 67
    note(uplink.handle(reply, time, using: &generator))
    time.now += 40_000_000_000
    time.wallSeconds += 40
    note(uplink.tick(time, using: &generator))
    if let lease = uplink.lease, lease.address.bitCount == 0 || lease.address.address.isUnspecified {
      fatalError("no address of a host was taken")
    }
  }
}

private func runDHCPv6(_ bytes: [UInt8]) {
  let settings = DHCPv6Settings(serverMAC: mac, dnsServers: [IPAddress(ipv6: 1)], search: ["lab"])
  let linkLocal = IPAddress(ipv6: UInt128(0xfe80) << 112 | 2)
  let answer = DHCPv6Server.answer(
    datagram(bytes, linkLocal, IPAddress(ipv6: UInt128(0xff02) << 112 | 0x10002), port: 547), settings,
    source: linkLocal)
  if let answer, answer.payload.first != 7 { fatalError("no reply") }
}

/// Segments of two clients' connections, six bytes before the data of each: flags, how far sequence and acknowledgement are off, the
/// window, time and client, and a length.
private func runStreams(_ bytes: [UInt8]) {
  var streams = DNSStreams()
  streams.networks = [IPPrefix(IPAddress(ipv4: address), bitCount: 24)]
  var generator = SystemRandomNumberGenerator()
  let (client, own) = (IPAddress(ipv4: address + 9), IPAddress(ipv4: address))
  var now: UInt64 = 1
  var next: [UInt32] = [0xffff_fff0, 7]
  var expected: [UInt32] = [0, 0]
  var questions: [UDPDatagram] = []
  func note(_ effects: [DNSStreams.Effect]) {
    for effect in effects {
      switch effect {
      case .query(let question):
        guard question.payload.count <= 4096 else { fatalError("a question is too long") }
        questions.append(question)
      case .send(let frame):
        guard let segment = TCPSegmentView(frame: frame), segment.source == own, segment.data.count <= 1460 else {
          fatalError("a segment can't be read")
        }
        if segment.isOpening || segment.acknowledges, segment.destinationPort < 5002 {
          expected[Int(segment.destinationPort - 5000)] = segment.sequence &+ segment.length
        }
      }
    }
  }
  var rest = bytes[...]
  while rest.count >= 6 {
    let head = Array(rest.prefix(6))
    let data = Array(rest.dropFirst(6).prefix(Int(head[5]) * 4))
    rest = rest.dropFirst(6 + data.count)
    let number = Int(head[4] & 1)
    let sequence = next[number] &+ UInt32(bitPattern: Int32(Int8(bitPattern: head[1])))
    let segment = NetworkFrame.tcp(
      from: (client, UInt16(5000 + number)), to: (own, 53), sequence: sequence,
      acknowledgement: expected[number] &+ UInt32(bitPattern: Int32(Int8(bitPattern: head[2]))), flags: head[0],
      window: UInt16(head[3]) << 8, data)
    let frame = NetworkFrame.ethernet(
      to: mac, from: MACAddress(bits: 0x5254_0000_0001), 0x0800, NetworkFrame.ip(from: client, to: own, 6, segment))
    note(streams.handle(frame: frame, now: now, using: &generator))
    if head[1] == 0 { next[number] &+= UInt32(data.count) &+ (head[0] & 3 == 0 ? 0 : 1) }
    if head[4] & 2 != 0, let question = questions.popLast() {
      // Now and then nothing comes of it.
      let answer = question.reply([UInt8](repeating: 1, count: question.payload.count * Int(head[4] >> 3)))
      note(head[4] >> 3 == 31 ? streams.refuse(question) : streams.respond(answer, now: now))
    }
    if head[4] & 4 != 0 {
      now += UInt64(head[4] >> 3) * 500_000_000
      note(streams.tick(now: now))
    }
  }
  for _ in 0..<100 {
    now += 1_000_000_000
    note(streams.tick(now: now))
  }
  guard streams.count == 0 else { fatalError("a connection stays for ever") }
}

private func runResolver(_ bytes: [UInt8]) {
  var resolver = DNSResolver(servers: [IPAddress(ipv4: 0xc000_0201)])
  var generator = SystemRandomNumberGenerator()
  let zone = DNSZone(
    domain: DNSName("lab"), networks: [IPPrefix(IPAddress(ipv4: address), bitCount: 24)],
    addresses: { $0 == "web" ? [IPAddress(ipv4: address + 9)] : nil },
    name: { $0 == IPAddress(ipv4: address + 9) ? "web" : nil })
  var asked: (number: UInt64, query: [UInt8])?
  func note(_ effects: [DNSResolver.Effect]) {
    for effect in effects {
      switch effect {
      case .ask(let number, _, let query, _): asked = (number, query)
      case .close, .refuse: break
      case .reply(let reply):
        guard reply.payload.count >= 12, reply.payload[2] & 0x80 != 0 else { fatalError("no response") }
      }
    }
  }
  for message in messages(bytes) {
    if let (number, query) = asked {
      // A response to what was asked: its id and question, so that the rest is looked at.
      asked = nil
      note(resolver.answered(number, Array(query.prefix(2)) + message, now: 0, using: &generator))
      note(resolver.answered(number, Array(query.prefix(2)) + [0x81, 0x80] + message, now: 0, using: &generator))
    }
    note(
      resolver.handle(
        datagram(message, IPAddress(ipv4: address + 9), IPAddress(ipv4: address), port: 53), zone: zone, now: 0,
        using: &generator))
  }
}
