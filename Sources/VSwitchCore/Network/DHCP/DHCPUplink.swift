// A DHCP client for the outer address of a NAT network (RFC 2131 §4.4). A state machine without I/O, clock and randomness of its own;
// owned by the service that runs it, one thread at a time.
//
// States: rebooting (asks for the address that it had), selecting, requesting, bound, renewing (asks its server), rebinding (asks
// all). An answer has to carry the transaction's number and the client's hardware address, an ACK what was asked for. Bounds: one
// message at a time, sent again after 3 seconds, then after twice as long each time, up to 64.

/// What a DHCP server outside has given.
package struct UplinkLease: Equatable, Sendable {
  package var address: InterfaceAddress
  package var gateway: IPAddress?
  package var dnsServers: [IPAddress] = []
  package var server: IPAddress
  /// Seconds since 1970.
  package var expires: Int64

  package init(address: InterfaceAddress, server: IPAddress, expires: Int64) {
    self.address = address
    self.server = server
    self.expires = expires
  }
}

package struct DHCPUplink: Sendable {
  package enum Effect: Equatable, Sendable {
    case send(UDPDatagram)
    /// The address is another one, or has more time; nil: there is none any more.
    case lease(UplinkLease?)
  }

  package enum State: Equatable, Sendable { case rebooting, selecting, requesting, bound, renewing, rebinding }

  private static let second: UInt64 = 1_000_000_000
  private static let firstWait: UInt64 = 3
  private static let longestWait: UInt64 = 64
  /// How often an address that was had before is asked for.
  private static let rebootTries = 2
  private static let requestTries = 3
  /// A lease that ends sooner would be nothing but renewals.
  private static let shortestLease: UInt32 = 10

  package private(set) var state: State
  package private(set) var lease: UplinkLease?
  private let hardwareAddress: MACAddress
  private var transactionID: UInt32 = 0
  /// What is asked for, and of whom.
  private var wanted: UInt32 = 0
  private var server: UInt32?
  /// The station that the lease came from: the server or the router towards it.
  private var serverMAC = MACAddress.broadcast
  private var started: UInt64 = 0
  private var wait = firstWait
  private var tries = 0
  private var due: UInt64?
  /// Of the lease, nanoseconds.
  private var (renewal, rebinding, end): (UInt64, UInt64, UInt64) = (0, 0, 0)

  /// - Parameter known: the lease that was had before.
  package init(hardwareAddress: MACAddress, known: UplinkLease?) {
    self.hardwareAddress = hardwareAddress
    lease = known
    state = known == nil ? .selecting : .rebooting
  }

  /// When `tick` is to be called; 0 before it was for the first time.
  package var nextDeadline: UInt64? { due ?? 0 }

  // MARK: time

  package mutating func tick(
    _ time: DHCPServer.Time, using generator: inout some RandomNumberGenerator
  ) -> [Effect] {
    guard let due else { return begin(time, using: &generator) }
    guard time.now >= due else { return [] }
    switch state {
    case .bound: return ask(.renewing, time, using: &generator)
    case .renewing where time.now >= rebinding: return ask(.rebinding, time, using: &generator)
    case .rebinding where time.now >= end: return lose(time, using: &generator)
    case .rebooting where tries >= Self.rebootTries, .requesting where tries >= Self.requestTries:
      // A lease that its server does not speak of is good until its end (RFC 2131 §3.2), but another one is looked for.
      return ask(.selecting, time, using: &generator)
    default:
      var effects = [send(time)]
      if state == .selecting || state == .rebooting, let lease, lease.expires <= time.wallSeconds {
        self.lease = nil
        effects.append(.lease(nil))
      }
      return effects
    }
  }

  private mutating func begin(
    _ time: DHCPServer.Time, using generator: inout some RandomNumberGenerator
  ) -> [Effect] {
    if let lease, lease.expires <= time.wallSeconds {
      self.lease = nil
      return [.lease(nil)] + ask(.selecting, time, using: &generator)
    }
    return ask(lease == nil ? .selecting : .rebooting, time, using: &generator)
  }

  private mutating func lose(
    _ time: DHCPServer.Time, using generator: inout some RandomNumberGenerator
  ) -> [Effect] {
    let hadOne = lease != nil
    lease = nil
    return (hadOne ? [.lease(nil)] : []) + ask(.selecting, time, using: &generator)
  }

  private mutating func ask(
    _ state: State, _ time: DHCPServer.Time, using generator: inout some RandomNumberGenerator
  ) -> [Effect] {
    self.state = state
    tries = 0
    wait = Self.firstWait
    started = time.now
    if state != .requesting { transactionID = UInt32.random(in: .min ... .max, using: &generator) }
    if state != .requesting, let lease { wanted = lease.address.address.ipv4 }
    return [send(time)]
  }

  // MARK: messages

  private mutating func send(_ time: DHCPServer.Time) -> Effect {
    tries += 1
    due = time.now &+ wait * Self.second
    wait = min(wait * 2, Self.longestWait)
    if state == .renewing { due = min(due ?? .max, max(rebinding, time.now &+ Self.second)) }
    if state == .rebinding { due = min(due ?? .max, max(end, time.now &+ Self.second)) }
    var message = DHCPMessage(isReply: false, transactionID: transactionID, hardwareAddress: hardwareAddress)
    message.seconds = UInt16(clamping: (time.now &- started) / Self.second)
    let hasAddress = state == .renewing || state == .rebinding
    message.wantsBroadcast = !hasAddress
    let type = state == .selecting ? DHCPMessageType.discover : .request
    message.options[DHCPOption.messageType] = [type.rawValue]
    message.options[DHCPOption.parameterRequestList] = [
      DHCPOption.subnetMask, DHCPOption.router, DHCPOption.domainNameServer,
    ]
    message.options[DHCPOption.maximumMessageSize] = UInt16(1500).networkOrder
    message.options[DHCPOption.clientIdentifier] = [1] + hardwareAddress.octets
    if hasAddress {
      message.clientAddress = wanted
    } else if state != .selecting || wanted != 0 {
      message.options[DHCPOption.requestedAddress] = wanted.networkOrder
    }
    if state == .requesting, let server { message.options[DHCPOption.serverIdentifier] = server.networkOrder }
    let isToServer = state == .renewing && server != nil
    return .send(
      UDPDatagram(
        sourceMAC: hardwareAddress, destinationMAC: isToServer ? serverMAC : .broadcast,
        source: IPAddress(ipv4: hasAddress ? wanted : 0),
        destination: IPAddress(ipv4: isToServer ? server ?? .max : .max), sourcePort: 68, destinationPort: 67,
        payload: message.encoded()))
  }

  /// Takes a datagram to port 68.
  package mutating func handle(
    _ datagram: UDPDatagram, _ time: DHCPServer.Time, using generator: inout some RandomNumberGenerator
  ) -> [Effect] {
    guard datagram.sourcePort == 67, let message = DHCPMessage(datagram.payload), message.isReply,
      message.transactionID == transactionID, message.hardwareAddress == hardwareAddress, state != .bound, due != nil
    else { return [] }
    switch (message.type, state) {
    case (.offer, .selecting):
      guard let server = message.uint32(DHCPOption.serverIdentifier), Self.isHost(message.yourAddress) else {
        return []
      }
      wanted = message.yourAddress
      self.server = server
      return ask(.requesting, time, using: &generator)
    case (.ack, .rebooting), (.ack, .requesting), (.ack, .renewing), (.ack, .rebinding):
      return bind(message, datagram.sourceMAC, time)
    case (.nak, .rebooting), (.nak, .requesting), (.nak, .renewing), (.nak, .rebinding):
      // Another server's word about an address that it does not know counts only while nobody is asked by name.
      if state == .requesting || state == .renewing, message.uint32(DHCPOption.serverIdentifier) != server { return [] }
      wanted = 0
      return lose(time, using: &generator)
    default: return []
    }
  }

  private static func isHost(_ address: UInt32) -> Bool {
    let given = IPAddress(ipv4: address)
    return !given.isUnspecified && !given.isMulticast && !given.isLoopback && address != .max
  }

  private mutating func bind(_ message: DHCPMessage, _ from: MACAddress, _ time: DHCPServer.Time) -> [Effect] {
    let seconds = message.uint32(DHCPOption.leaseTime) ?? 0
    guard message.yourAddress == wanted, seconds >= Self.shortestLease,
      let server = message.uint32(DHCPOption.serverIdentifier) ?? server,
      state != .requesting || server == self.server
    else { return [] }
    // Without a mask that of the address's class would be meant (RFC 950); nobody leaves it out.
    let mask = message.uint32(DHCPOption.subnetMask) ?? 0xffff_ff00
    let bitCount = (~mask).leadingZeroBitCount
    guard bitCount > 0, bitCount <= 32, mask == (bitCount == 32 ? .max : ~(UInt32.max >> UInt32(bitCount))) else {
      return []
    }
    var lease = UplinkLease(
      address: InterfaceAddress(IPAddress(ipv4: wanted), bitCount: bitCount), server: IPAddress(ipv4: server),
      expires: time.wallSeconds &+ Int64(seconds))
    let network = lease.address.network
    lease.gateway = Self.addresses(message, DHCPOption.router).first { network.contains($0) && $0.ipv4 != wanted }
    lease.dnsServers = Array(Self.addresses(message, DHCPOption.domainNameServer).prefix(8))
    self.server = server
    serverMAC = from.isMulticast ? .broadcast : from
    state = .bound
    // Half and seven eighths, if the server says nothing sensible (RFC 2131 §4.4.5).
    let lasting = UInt64(seconds)
    let first = UInt64(message.uint32(DHCPOption.renewalTime) ?? 0)
    let second = UInt64(message.uint32(DHCPOption.rebindingTime) ?? 0)
    let isSensible = first >= 1 && first < second && second < lasting
    renewal = time.now &+ (isSensible ? first : lasting / 2) * Self.second
    rebinding = time.now &+ (isSensible ? second : lasting * 7 / 8) * Self.second
    end = time.now &+ lasting * Self.second
    due = renewal
    self.lease = lease
    return [.lease(lease)]
  }

  private static func addresses(_ message: DHCPMessage, _ option: UInt8) -> [IPAddress] {
    let bytes = message.options[option] ?? []
    return stride(from: 0, to: bytes.count / 4 * 4, by: 4).map { start in
      IPAddress(ipv4: bytes[start..<(start + 4)].reduce(0) { $0 << 8 | UInt32($1) })
    }
  }
}
