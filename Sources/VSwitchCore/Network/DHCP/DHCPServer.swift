// A DHCP server for one network (RFC 2131): what it answers, what it remembers. A state machine without I/O, clock and randomness
// of its own; owned by the service that runs it, one thread at a time.
//
// States of an address: free; offered to a client (for half a minute, or until another server is chosen); leased; declined (a
// client found somebody else there: left alone for ten minutes). Before an address is offered that its client does not have
// already, it is asked for by ARP, and the offer waits a fifth of a second for an answer (RFC 2131 §2.2).
//
// Bounds: leases by the pool, of one port of the switch by three quarters of it; offers 1,024, of one port a half; probes 64,
// beyond which addresses are offered without one; declined addresses a quarter of the pool. What passes one is counted.

/// The server's state.
package struct DHCPServer: Sendable {
  /// Times of one event.
  package struct Time: Equatable, Sendable {
    /// Nanoseconds of a clock that only goes on.
    package var now: UInt64
    /// Seconds since 1970.
    package var wallSeconds: Int64

    package init(now: UInt64, wallSeconds: Int64) {
      self.now = now
      self.wallSeconds = wallSeconds
    }
  }

  /// What is to be done, in this order.
  package enum Effect: Equatable, Sendable {
    /// The lease is to be kept where it survives, before what follows is sent.
    case store(DHCPLease)
    /// The lease of that address is gone.
    case forget(UInt32)
    case send(UDPDatagram)
    /// Ask by ARP who has the address, on the network.
    case probe(UInt32)
  }

  /// What happened, for statistics.
  package struct Counters: Equatable, Sendable {
    package var discovers: UInt64 = 0
    package var offers: UInt64 = 0
    package var acknowledgements: UInt64 = 0
    package var refusals: UInt64 = 0
    package var declines: UInt64 = 0
    package var releases: UInt64 = 0
    /// Requests that went without an answer because no address is free.
    package var exhausted: UInt64 = 0
    /// Those because their port of the switch has its share.
    package var portLimited: UInt64 = 0
    /// Addresses that somebody was found at before they were offered.
    package var conflicts: UInt64 = 0

    package init() {}
  }

  struct Offer: Sendable {
    var client: DHCPClient
    var port: UInt32?
    var expires: UInt64
  }

  struct Probe: Sendable {
    var request: DHCPMessage
    var datagram: UDPDatagram
    var address: UInt32
    var port: UInt32?
    var due: UInt64
  }

  static let offerLimit = 1024
  static let probeLimit = 64
  static let offerNanoseconds: UInt64 = 30_000_000_000
  static let probeNanoseconds: UInt64 = 200_000_000
  static let declineNanoseconds: UInt64 = 600_000_000_000
  /// How often what has run out is looked for.
  static let sweepNanoseconds: UInt64 = 30_000_000_000

  package private(set) var settings: DHCPSettings
  package internal(set) var leases = LeaseTable()
  package internal(set) var counters = Counters()
  var offers: [UInt32: Offer] = [:]
  /// In order of time, as are those of all that expires.
  var offerOrder: [UInt32] = []
  var probes: [Probe] = []
  /// When they may be used again.
  var declined: [UInt32: UInt64] = [:]
  private var staticByMAC: [MACAddress: StaticLease] = [:]
  private var staticByAddress: [UInt32: MACAddress] = [:]
  private var staticByName: [String: MACAddress] = [:]
  private var nextExpiry: UInt64 = 0

  /// - Parameter leases: those that were stored.
  package init(_ settings: DHCPSettings, leases stored: [DHCPLease] = []) {
    self.settings = settings
    index()
    for lease in stored where isUsable(lease) { leases.insert(lease, port: nil) }
  }

  /// Takes over other settings. Leases that do not agree with them end: their holders are refused when they next ask.
  package mutating func configure(_ settings: DHCPSettings) -> [Effect] {
    guard settings != self.settings else { return [] }
    self.settings = settings
    index()
    var effects: [Effect] = []
    for lease in leases.all where !isUsable(lease) {
      leases.remove(lease.address)
      effects.append(.forget(lease.address))
    }
    offers = [:]
    offerOrder = []
    probes = []
    declined = declined.filter { settings.isOnNetwork($0.key) }
    return effects
  }

  /// Ends a lease at the operator's command.
  package mutating func end(_ address: UInt32) { leases.remove(address) }

  private mutating func index() {
    staticByMAC = [:]
    staticByAddress = [:]
    staticByName = [:]
    for lease in settings.staticLeases {
      staticByMAC[lease.hardwareAddress] = lease
      if let address = lease.address { staticByAddress[address] = lease.hardwareAddress }
      if let name = lease.name { staticByName[name] = lease.hardwareAddress }
    }
  }

  private func isUsable(_ lease: DHCPLease) -> Bool {
    if let owner = staticByAddress[lease.address] { return owner == lease.hardwareAddress }
    if let own = staticByMAC[lease.hardwareAddress]?.address { return own == lease.address }
    return settings.pool.contains(lease.address) && !settings.reserved.contains(lease.address)
  }

  /// The address that a station is given always.
  func staticAddress(_ client: DHCPClient) -> UInt32? { staticByMAC[client.hardwareAddress]?.address }

  /// What a name stands for: leases' names, and those of static leases whether they are in use or not.
  package func address(named name: String) -> UInt32? {
    if let mac = staticByName[name] {
      if let address = staticByMAC[mac]?.address { return address }
      return leases.lease(of: DHCPClient(hardwareAddress: mac))?.address
    }
    return leases.lease(named: name)?.address
  }

  /// The name of an address.
  package func name(of address: UInt32) -> String? {
    if let mac = staticByAddress[address], let name = staticByMAC[mac]?.name { return name }
    return leases[address]?.name
  }

  /// The name of a station.
  package func name(of station: MACAddress) -> String? {
    staticByMAC[station]?.name ?? leases.lease(of: DHCPClient(hardwareAddress: station))?.name
  }

  /// The hardware address that a name stands for.
  package func hardwareAddress(named name: String) -> MACAddress? {
    staticByName[name] ?? leases.lease(named: name)?.hardwareAddress
  }

  /// The name that a client's lease gets: its static one, else the one it gives itself where nobody else has it.
  func name(for client: DHCPClient, _ message: DHCPMessage) -> String? {
    if let name = staticByMAC[client.hardwareAddress]?.name { return name }
    guard let name = message.hostName, staticByName[name] == nil else { return nil }
    if let holder = leases.lease(named: name), !client.owns(holder) { return nil }
    return name
  }

  // MARK: choice of an address

  /// Whether a client may have an address: it is its static one, or of the pool and nobody else's.
  func mayHave(_ address: UInt32, _ client: DHCPClient, now: UInt64) -> Bool {
    if let own = staticAddress(client) {
      guard own == address else { return false }
      return leases[address].map(client.owns) ?? true
    }
    guard settings.pool.contains(address), address != settings.serverAddress, !settings.reserved.contains(address),
      staticByAddress[address] == nil
    else { return false }
    if let until = declined[address], until > now { return false }
    if let lease = leases[address] { return client.owns(lease) }
    if let offer = offers[address], offer.expires > now { return offer.client == client }
    return true
  }

  /// The address to offer: the static one, the one the client has, the one it was offered, the one it asks for, or a free one,
  /// which one by its hardware address, so that it gets the same again if it can. Nil if none is free.
  func choose(_ client: DHCPClient, requested: UInt32?, now: UInt64) -> UInt32? {
    if let own = staticAddress(client) { return mayHave(own, client, now: now) ? own : nil }
    if let lease = leases.lease(of: client), mayHave(lease.address, client, now: now) { return lease.address }
    if let requested, mayHave(requested, client, now: now) { return requested }
    let count = settings.poolCount
    var hash = client.hardwareAddress.bits &* 0x9e37_79b9_7f4a_7c15
    hash ^= hash >> 32
    let start = Int(hash % UInt64(count))
    var offered: UInt32?
    for step in 0..<count {
      let address = settings.pool.lowerBound &+ UInt32((start + step) % count)
      if mayHave(address, client, now: now) { return address }
      // Offers that nobody has taken yet give way before a client gets nothing: a flood of discovers makes only those.
      if offered == nil, leases[address] == nil, offers[address] != nil { offered = address }
    }
    return offered
  }

  // MARK: time

  package var nextDeadline: UInt64? { probes.first?.due ?? (leases.count > 0 ? nextExpiry : nil) }

  /// Sends the offers that nobody has objected to, and ends what has run out.
  package mutating func tick(_ time: Time) -> [Effect] {
    var effects: [Effect] = []
    while let probe = probes.first, probe.due <= time.now {
      probes.removeFirst()
      effects += offer(probe.address, to: probe.request, probe.datagram)
    }
    guard time.now >= nextExpiry else { return effects }
    nextExpiry = time.now &+ Self.sweepNanoseconds
    declined = declined.filter { $0.value > time.now }
    offerOrder.removeAll { offers[$0].map { $0.expires <= time.now } ?? true }
    offers = offers.filter { $0.value.expires > time.now }
    return effects + leases.expire(now: time.wallSeconds).map { .forget($0) }
  }

  /// Somebody has been seen at an address: an offer of it that waits is made of another one.
  package mutating func seen(_ address: UInt32, _ mac: MACAddress, _ time: Time) -> [Effect] {
    guard let index = probes.firstIndex(where: { $0.address == address && $0.request.hardwareAddress != mac }) else {
      return []
    }
    let probe = probes.remove(at: index)
    counters.conflicts += 1
    offers[address] = nil
    avoid(address, time)
    return discover(probe.request, probe.datagram, port: probe.port, time)
  }

  /// Leaves an address alone for some time.
  mutating func avoid(_ address: UInt32, _ time: Time) {
    guard staticByAddress[address] == nil else { return }
    if declined.count >= max(1, settings.poolCount / 4), let first = declined.min(by: { $0.value < $1.value }) {
      declined[first.key] = nil
    }
    declined[address] = time.now &+ Self.declineNanoseconds
  }
}
