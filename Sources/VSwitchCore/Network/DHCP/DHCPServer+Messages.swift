// What a DHCP server answers to each kind of message, in each state of the client (RFC 2131 §4.3). See DHCPServer.swift.

extension DHCPServer {
  /// Handles a datagram to the server's port.
  /// - Parameter port: the port of the switch where the client is, if it is known: it bounds what one port may take.
  package mutating func handle(_ datagram: UDPDatagram, port: UInt32?, _ time: Time) -> [Effect] {
    guard let message = DHCPMessage(datagram.payload), !message.isReply, let type = message.type,
      !message.hardwareAddress.isMulticast, message.hardwareAddress.bits != 0,
      // A relay's clients are on its network, and that has to be this one.
      message.relay == 0 || settings.isOnNetwork(message.relay)
    else { return [] }
    switch type {
    case .discover:
      counters.discovers += 1
      return discover(message, datagram, port: port, time)
    case .request: return request(message, datagram, port: port, time)
    case .decline: return decline(message, time)
    case .release: return release(message)
    case .inform: return inform(message, datagram)
    case .offer, .ack, .nak: return []
    }
  }

  // MARK: DISCOVER

  mutating func discover(
    _ message: DHCPMessage, _ datagram: UDPDatagram, port: UInt32?, _ time: Time
  ) -> [Effect] {
    let client = DHCPClient(message)
    // A repeated one while the probe runs: it is answered when that ends.
    guard !probes.contains(where: { $0.request.hardwareAddress == message.hardwareAddress }) else { return [] }
    guard let address = choose(client, requested: message.uint32(DHCPOption.requestedAddress), now: time.now) else {
      counters.exhausted += 1
      return []
    }
    let isHeld = leases[address].map(client.owns) ?? false
    guard isHeld || !isFull(port) else {
      counters.portLimited += 1
      return []
    }
    let wasOffered = offers[address]?.client == client
    remember(address, client, port: port, time)
    guard !isHeld, !wasOffered, probes.count < Self.probeLimit else { return offer(address, to: message, datagram) }
    probes.append(
      Probe(
        request: message, datagram: datagram, address: address, port: port, due: time.now &+ Self.probeNanoseconds))
    return [.probe(address)]
  }

  mutating func offer(_ address: UInt32, to message: DHCPMessage, _ datagram: UDPDatagram) -> [Effect] {
    counters.offers += 1
    var reply = answer(message, .offer)
    reply.yourAddress = address
    setLeaseTimes(&reply, message)
    return [.send(addressed(reply, message, datagram))]
  }

  /// Keeps an offer in mind; of a port that has half of all of them, or where there are too many, the oldest gives way.
  private mutating func remember(_ address: UInt32, _ client: DHCPClient, port: UInt32?, _ time: Time) {
    if offers[address] != nil { offerOrder.removeAll { $0 == address } }
    let ofPort = offerOrder.filter { offers[$0]?.port == port }
    let portLimit = max(1, min(Self.offerLimit, settings.poolCount) / 2)
    if ofPort.count >= portLimit, let oldest = ofPort.first {
      drop(oldest)
    } else if offerOrder.count >= Self.offerLimit, let oldest = offerOrder.first {
      drop(oldest)
    }
    offers[address] = Offer(client: client, port: port, expires: time.now &+ Self.offerNanoseconds)
    offerOrder.append(address)
  }

  private mutating func drop(_ address: UInt32) {
    offers[address] = nil
    offerOrder.removeAll { $0 == address }
  }

  /// Whether a port of the switch has its share of the pool: one guest with many hardware addresses can't take all.
  private func isFull(_ port: UInt32?) -> Bool {
    guard let port else { return false }
    return leases.count(ofPort: port) >= max(1, settings.poolCount * 3 / 4)
  }

  // MARK: REQUEST

  private mutating func request(
    _ message: DHCPMessage, _ datagram: UDPDatagram, port: UInt32?, _ time: Time
  ) -> [Effect] {
    let client = DHCPClient(message)
    let requested = message.uint32(DHCPOption.requestedAddress)
    if let server = message.uint32(DHCPOption.serverIdentifier) {
      // SELECTING: the client has chosen among offers.
      guard server == settings.serverAddress else {
        for (address, offer) in offers where offer.client == client { drop(address) }
        return []
      }
      guard let requested, message.clientAddress == 0 else {
        return refuse(message, datagram, "no address was asked for")
      }
      return acknowledge(requested, message, datagram, port: port, time)
    }
    if message.clientAddress == 0 {
      // INIT-REBOOT: the client remembers an address. It is confirmed only to who has it: a stranger starts anew, with a probe.
      guard let requested else { return [] }
      guard leases.lease(of: client)?.address == requested else {
        return refuse(message, datagram, settings.isOnNetwork(requested) ? "no such lease" : "wrong network")
      }
      return acknowledge(requested, message, datagram, port: port, time)
    }
    // RENEWING (to this server), REBINDING (to all): the client uses the address. If it is nobody else's it may go on, so that
    // leases that were lost harm nobody.
    return acknowledge(message.clientAddress, message, datagram, port: port, time)
  }

  private mutating func acknowledge(
    _ address: UInt32, _ message: DHCPMessage, _ datagram: UDPDatagram, port: UInt32?, _ time: Time
  ) -> [Effect] {
    let client = DHCPClient(message)
    guard mayHave(address, client, now: time.now) else {
      return refuse(
        message, datagram, settings.isOnNetwork(address) ? "address is not available" : "wrong network")
    }
    let former = leases.lease(of: client)
    guard former != nil || !isFull(port) else {
      counters.portLimited += 1
      return []
    }
    var reply = answer(message, .ack)
    reply.yourAddress = address
    reply.clientAddress = message.clientAddress
    let seconds = setLeaseTimes(&reply, message)
    let lease = DHCPLease(
      address: address, hardwareAddress: client.hardwareAddress, clientIdentifier: client.identifier,
      // A client that says no name this time keeps the one it had.
      name: name(for: client, message) ?? (former?.address == address ? former?.name : nil),
      expires: time.wallSeconds &+ Int64(seconds))
    var effects: [Effect] = []
    if let former, former.address != address {
      leases.remove(former.address)
      effects.append(.forget(former.address))
    }
    drop(address)
    leases.insert(lease, port: port)
    counters.acknowledgements += 1
    return effects + [.store(lease), .send(addressed(reply, message, datagram))]
  }

  private mutating func refuse(_ message: DHCPMessage, _ datagram: UDPDatagram, _ reason: String) -> [Effect] {
    counters.refusals += 1
    var reply = DHCPMessage(
      isReply: true, transactionID: message.transactionID, hardwareAddress: message.hardwareAddress)
    reply.relay = message.relay
    // The relay must not trust the address that the client has (RFC 2131 §4.3.2).
    reply.wantsBroadcast = message.wantsBroadcast || message.relay != 0
    reply.options = [
      DHCPOption.messageType: [DHCPMessageType.nak.rawValue],
      DHCPOption.serverIdentifier: settings.serverAddress.networkOrder,
      DHCPOption.message: Array(reason.utf8),
    ]
    echo(message, &reply)
    return [.send(addressed(reply, message, datagram))]
  }

  // MARK: DECLINE, RELEASE, INFORM

  private mutating func decline(_ message: DHCPMessage, _ time: Time) -> [Effect] {
    let client = DHCPClient(message)
    guard message.uint32(DHCPOption.serverIdentifier).map({ $0 == settings.serverAddress }) ?? true,
      let address = message.uint32(DHCPOption.requestedAddress)
    else { return [] }
    // Only of an address that is the client's: nobody can spoil the pool for others.
    let isLeased = leases[address].map(client.owns) ?? false
    guard isLeased || offers[address]?.client == client else { return [] }
    counters.declines += 1
    drop(address)
    avoid(address, time)
    guard isLeased else { return [] }
    leases.remove(address)
    return [.forget(address)]
  }

  private mutating func release(_ message: DHCPMessage) -> [Effect] {
    guard message.uint32(DHCPOption.serverIdentifier).map({ $0 == settings.serverAddress }) ?? true,
      let lease = leases[message.clientAddress], DHCPClient(message).owns(lease)
    else { return [] }
    counters.releases += 1
    leases.remove(lease.address)
    return [.forget(lease.address)]
  }

  /// Settings without a lease, for a client that has an address from elsewhere.
  private mutating func inform(_ message: DHCPMessage, _ datagram: UDPDatagram) -> [Effect] {
    guard settings.isOnNetwork(message.clientAddress), message.clientAddress != 0 else { return [] }
    counters.acknowledgements += 1
    var reply = answer(message, .ack)
    reply.clientAddress = message.clientAddress
    return [.send(addressed(reply, message, datagram))]
  }

  // MARK: replies

  /// What every client is told.
  private func answer(_ message: DHCPMessage, _ type: DHCPMessageType) -> DHCPMessage {
    var reply = DHCPMessage(
      isReply: true, transactionID: message.transactionID, hardwareAddress: message.hardwareAddress)
    reply.wantsBroadcast = message.wantsBroadcast
    reply.relay = message.relay
    reply.nextServer = settings.nextServer
    reply.bootFile = settings.bootFile
    var options: [UInt8: [UInt8]] = [
      DHCPOption.messageType: [type.rawValue],
      DHCPOption.serverIdentifier: settings.serverAddress.networkOrder,
      DHCPOption.subnetMask: settings.mask.networkOrder,
      DHCPOption.broadcastAddress: (settings.serverAddress | ~settings.mask).networkOrder,
    ]
    options[DHCPOption.router] = settings.gateway?.networkOrder
    options[DHCPOption.domainNameServer] = settings.dnsServers.flatMap(\.networkOrder)
    options[DHCPOption.interfaceMTU] = settings.mtu?.networkOrder
    options[DHCPOption.domainName] = settings.domain.map { Array($0.utf8) }
    options[DHCPOption.domainSearch] = DNSName.encode(settings.search)
    if !settings.bootFile.isEmpty {
      options[DHCPOption.bootFileName] = Array(settings.bootFile.utf8)
      options[DHCPOption.serverName] = Array(IPAddress(ipv4: settings.nextServer).description.utf8)
    }
    // Only what the client asks for, but for what it must have; one that asks for nothing gets all.
    if let wanted = message.options[DHCPOption.parameterRequestList] {
      let always = [DHCPOption.messageType, DHCPOption.serverIdentifier, DHCPOption.subnetMask]
      options = options.filter { wanted.contains($0.key) || always.contains($0.key) }
    }
    reply.options = options
    // The name under which the lease is found.
    if let name = name(for: DHCPClient(message), message),
      message.options[DHCPOption.parameterRequestList]?.contains(DHCPOption.hostName) ?? true
    {
      reply.options[DHCPOption.hostName] = Array(name.utf8)
    }
    echo(message, &reply)
    return reply
  }

  /// What goes back as it came (RFC 6842, RFC 3046 §2.2).
  private func echo(_ message: DHCPMessage, _ reply: inout DHCPMessage) {
    reply.options[DHCPOption.clientIdentifier] = message.options[DHCPOption.clientIdentifier]
    reply.options[DHCPOption.relayAgentInformation] = message.options[DHCPOption.relayAgentInformation]
  }

  /// The lease time that the client asks for, between two minutes and the network's.
  @discardableResult
  private func setLeaseTimes(_ reply: inout DHCPMessage, _ message: DHCPMessage) -> UInt32 {
    let longest = settings.leaseSeconds
    let seconds = min(max(message.uint32(DHCPOption.leaseTime) ?? longest, min(120, longest)), longest)
    reply.options[DHCPOption.leaseTime] = seconds.networkOrder
    reply.options[DHCPOption.renewalTime] = (seconds / 2).networkOrder
    reply.options[DHCPOption.rebindingTime] = (seconds - seconds / 8).networkOrder
    return seconds
  }

  /// Where a reply goes (RFC 2131 §4.1).
  private func addressed(_ reply: DHCPMessage, _ message: DHCPMessage, _ datagram: UDPDatagram) -> UDPDatagram {
    let isRefusal = reply.type == .nak
    var address = IPAddress(ipv4: .max)
    var mac = MACAddress.broadcast
    var port: UInt16 = 68
    if message.relay != 0 {
      (address, mac, port) = (IPAddress(ipv4: message.relay), datagram.sourceMAC, 67)
    } else if isRefusal {
      // To all: the client may not have the address it thinks it has.
    } else if message.clientAddress != 0, settings.isOnNetwork(message.clientAddress) {
      (address, mac) = (IPAddress(ipv4: message.clientAddress), message.hardwareAddress)
    } else if !message.wantsBroadcast, reply.yourAddress != 0 {
      (address, mac) = (IPAddress(ipv4: reply.yourAddress), message.hardwareAddress)
    }
    // What fits is what the client says, less the headers of IP and UDP; never more than one frame holds.
    let largest = min(max(Int(message.uint16(DHCPOption.maximumMessageSize) ?? 576), 576), 1500) - 28
    let order = [
      DHCPOption.serverIdentifier, DHCPOption.leaseTime, DHCPOption.subnetMask, DHCPOption.clientIdentifier,
      DHCPOption.relayAgentInformation,
    ]
    let payload = reply.encoded(
      first: order + (message.options[DHCPOption.parameterRequestList] ?? []), limit: largest)
    return UDPDatagram(
      sourceMAC: settings.serverMAC, destinationMAC: mac, source: IPAddress(ipv4: settings.serverAddress),
      destination: address, sourcePort: 67, destinationPort: port, payload: payload)
  }
}
