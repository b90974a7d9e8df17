// Fuzz target of libFuzzer for the services of networks (`make fuzz`): DHCP for both families, the resolver and its servers'
// responses. No bytes may trap, no state may grow past its bounds, and what is answered can be read.

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
  switch choice % 5 {
  case 0: readFrame(payload)
  case 1: runDHCP(payload)
  case 2: runDHCPv6(payload)
  case 4: runUplink(payload)
  default: runResolver(payload)
  }
  return 0
}

private func readFrame(_ bytes: [UInt8]) {
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
      case .close: break
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
