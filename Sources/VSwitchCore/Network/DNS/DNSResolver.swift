// The resolver of a network: answers for the names of its leases, forwards all other questions to the host's servers. A state
// machine without sockets, clock and randomness of its own; owned by the service that runs it, one thread at a time.
//
// A question is forwarded once for all clients that ask it at a time (RFC 5452 §5: else a forger's chances grow with their
// number), each time with a new id, from a new port. A server that does not answer for two seconds, or fails, is followed by
// the next; a truncated answer is fetched again by TCP. Bounds: 256 questions in flight, of one client 64; 32 clients of one
// question; what passes one is not answered and counted.

/// What a resolver knows by itself.
package struct DNSZone: Sendable {
  /// The names of leases are in it; nil: they have no domain.
  package var domain: DNSName?
  /// Whose addresses' names are asked for here alone, and whose clients are served.
  package var networks: [IPPrefix]
  /// The addresses of a host name of one label, in lower case; nil if there is no such name.
  package var addresses: @Sendable (String) -> [IPAddress]?
  package var name: @Sendable (IPAddress) -> String?

  package init(
    domain: DNSName?, networks: [IPPrefix], addresses: @escaping @Sendable (String) -> [IPAddress]?,
    name: @escaping @Sendable (IPAddress) -> String?
  ) {
    self.domain = domain
    self.networks = networks
    self.addresses = addresses
    self.name = name
  }
}

package struct DNSResolver: Sendable {
  package enum Effect: Equatable, Sendable {
    case reply(UDPDatagram)
    /// Nothing will come of a message of a connection (those by UDP are left without an answer).
    case refuse(UDPDatagram)
    /// Ask a server, from a port that was not used before; what comes back goes to `answered` or `failed` with the number.
    case ask(number: UInt64, server: IPAddress, bytes: [UInt8], overTCP: Bool)
    /// Nothing of that question matters any more: its socket is closed.
    case close(number: UInt64)
  }

  package struct Counters: Equatable, Sendable {
    package var queries: UInt64 = 0
    /// Answered from leases.
    package var local: UInt64 = 0
    package var forwarded: UInt64 = 0
    /// Not answered because too many are in flight.
    package var limited: UInt64 = 0
    /// Responses that match nothing that was asked.
    package var unmatched: UInt64 = 0
    /// Questions that no server answered.
    package var failed: UInt64 = 0

    package init() {}
  }

  private struct Key: Hashable {
    var question: DNSQuestion
    /// As the client wrote it: a response has to repeat it.
    var spelling: [[UInt8]]
    var isExtended: Bool
    var wantsSecurity: Bool
    var security: UInt16
  }

  private struct Client {
    var query: DNSQuery
    var datagram: UDPDatagram
  }

  private struct Pending {
    var number: UInt64
    var id: UInt16
    var key: Key
    var clients: [Client]
    /// How many servers have been asked.
    var attempts: Int
    var due: UInt64
    var overTCP = false
    /// What a server said that failed, if nobody says better.
    var failure: DNSResponse?
  }

  static let inFlightLimit = 256
  static let clientLimit = 64
  static let waiterLimit = 32
  static let attemptNanoseconds: UInt64 = 2_000_000_000
  static let rounds = 2
  /// Answers for leases: short, as leases come and go.
  static let timeToLive: UInt32 = 10

  /// In the order in which they are asked.
  package var servers: [IPAddress]
  /// Largest UDP payload that goes to clients without being fragmented.
  package var largestAnswer = 1432
  package private(set) var counters = Counters()
  private var pending: [UInt64: Pending] = [:]
  private var numberByKey: [Key: UInt64] = [:]
  private var countByClient: [IPAddress: Int] = [:]
  private var lastNumber: UInt64 = 0

  package init(servers: [IPAddress]) { self.servers = servers }

  package var inFlightCount: Int { pending.count }
  package var nextDeadline: UInt64? { pending.values.map(\.due).min() }

  // MARK: clients

  /// Handles a datagram to the resolver's port.
  package mutating func handle(
    _ datagram: UDPDatagram, zone: DNSZone, now: UInt64, using generator: inout some RandomNumberGenerator
  ) -> [Effect] {
    guard zone.networks.contains(where: { $0.contains(datagram.source) }) || datagram.source.isLinkLocal,
      // No answer to a service: two that answer each other never end.
      datagram.sourcePort > 0, datagram.sourcePort != datagram.destinationPort
    else { return silence(datagram) }
    let query: DNSQuery
    do throws(DNSQuery.Fault) {
      query = try DNSQuery(datagram.payload)
    } catch {
      guard case .answered(let id, let flags, let code) = error else { return silence(datagram) }
      return [.reply(datagram.reply(DNSQuery.answer(id: id, flags, code)))]
    }
    counters.queries += 1
    let question = query.question
    guard question.recordClass == DNSType.internet, question.type != DNSType.axfr, question.type != DNSType.ixfr else {
      return [.reply(datagram.reply(query.answer(.refused, isAuthoritative: false)))]
    }
    if let answer = local(query, zone) {
      counters.local += 1
      return [.reply(datagram.reply(answer))]
    }
    return forward(Client(query: query, datagram: datagram), now: now, using: &generator)
  }

  /// The answer that needs nobody else; nil: it has to be asked for.
  private func local(_ query: DNSQuery, _ zone: DNSZone) -> [UInt8]? {
    let question = query.question
    if let address = question.name.reverseAddress {
      guard zone.networks.contains(where: { $0.contains(address) }) else { return nil }
      guard let name = zone.name(address), let full = DNSName(labels: [Array(name.utf8)] + (zone.domain?.labels ?? []))
      else { return query.answer(.nameError) }
      guard question.type == DNSType.ptr || question.type == DNSType.any else { return query.answer(.noError) }
      return query.answer(.noError, [DNSAnswer(pointer: full, timeToLive: Self.timeToLive)])
    }
    let labels = question.name.labels
    let domain = zone.domain?.labels ?? []
    let isInDomain = zone.domain.map { question.name.isWithin($0) } ?? false
    guard labels.count == 1 || isInDomain else { return nil }
    // A domain of one label, and names that have no domain, are of this network alone: they are never asked for outside.
    let isPrivate = !isInDomain || domain.count == 1
    if isInDomain, labels.count == domain.count { return isPrivate ? query.answer(.noError) : nil }
    guard !isInDomain || labels.count == domain.count + 1, let label = labels.first,
      let addresses = zone.addresses(String(decoding: label, as: UTF8.self).lowercased())
    else {
      // Of a top-level domain's servers and keys somebody may ask outside.
      let isOfHosts = isInDomain || [DNSType.a, DNSType.aaaa, DNSType.any].contains(question.type)
      return isPrivate && isOfHosts ? query.answer(.nameError) : nil
    }
    let wanted = addresses.filter { address in
      question.type == DNSType.any || question.type == (address.isIPv6 ? DNSType.aaaa : DNSType.a)
    }
    return query.answer(.noError, wanted.map { DNSAnswer($0, timeToLive: Self.timeToLive) })
  }

  private func silence(_ datagram: UDPDatagram) -> [Effect] { datagram.isOfStream ? [.refuse(datagram)] : [] }

  private mutating func forward(
    _ client: Client, now: UInt64, using generator: inout some RandomNumberGenerator
  ) -> [Effect] {
    let query = client.query
    guard !servers.isEmpty, query.flags.recursionDesired else {
      return [.reply(client.datagram.reply(query.answer(.refused, isAuthoritative: false)))]
    }
    let key = Key(
      question: query.question, spelling: query.question.name.labels, isExtended: query.bufferSize != nil,
      wantsSecurity: query.wantsSecurity, security: query.flags.security)
    let source = client.datagram.source
    guard countByClient[source, default: 0] < Self.clientLimit else {
      counters.limited += 1
      return silence(client.datagram)
    }
    if let number = numberByKey[key], var question = pending[number] {
      // Asked again by the same client, which has waited for long: one answer will do.
      let isRepeated = question.clients.contains {
        $0.query.id == query.id && $0.datagram.source == source
          && $0.datagram.sourcePort == client.datagram.sourcePort
          && $0.datagram.isOfStream == client.datagram.isOfStream
      }
      guard !isRepeated else { return silence(client.datagram) }
      guard question.clients.count < Self.waiterLimit else {
        counters.limited += 1
        return silence(client.datagram)
      }
      question.clients.append(client)
      pending[number] = question
      countByClient[source, default: 0] += 1
      return []
    }
    guard pending.count < Self.inFlightLimit else {
      counters.limited += 1
      return silence(client.datagram)
    }
    countByClient[source, default: 0] += 1
    counters.forwarded += 1
    return ask(
      Pending(number: 0, id: 0, key: key, clients: [client], attempts: 0, due: 0), now: now, using: &generator)
  }

  // MARK: servers

  private mutating func ask(
    _ question: Pending, now: UInt64, using generator: inout some RandomNumberGenerator
  ) -> [Effect] {
    var question = question
    guard let client = question.clients.first, !servers.isEmpty else { return finish(question, nil) }
    lastNumber += 1
    question.number = lastNumber
    question.id = UInt16.random(in: .min ... .max, using: &generator)
    question.due = now &+ Self.attemptNanoseconds
    let server = servers[question.attempts % servers.count]
    pending[question.number] = question
    numberByKey[question.key] = question.number
    let size = UInt16(1232)
    return [
      .ask(
        number: question.number, server: server, bytes: client.query.encoded(id: question.id, bufferSize: size),
        overTCP: question.overTCP)
    ]
  }

  /// A server's datagram, or its message by TCP without the length before it.
  package mutating func answered(
    _ number: UInt64, _ bytes: [UInt8], now: UInt64, using generator: inout some RandomNumberGenerator
  ) -> [Effect] {
    guard var question = pending[number], let query = question.clients.first?.query,
      let response = DNSResponse(bytes, to: query, id: question.id)
    else {
      counters.unmatched += 1
      return []
    }
    if response.flags.isTruncated, !question.overTCP {
      question.overTCP = true
      return [.close(number: number)] + again(question, now: now, using: &generator)
    }
    let code = response.flags.code
    let isFailure = code == DNSResponseCode.serverFailure.rawValue || code == DNSResponseCode.refused.rawValue
    if isFailure, question.attempts + 1 < servers.count {
      question.failure = response
      return [.close(number: number)] + next(question, now: now, using: &generator)
    }
    forget(question)
    return [.close(number: number)] + finish(question, response)
  }

  /// A server can't be reached.
  package mutating func failed(
    _ number: UInt64, now: UInt64, using generator: inout some RandomNumberGenerator
  ) -> [Effect] {
    guard let question = pending[number] else { return [] }
    return [.close(number: number)] + next(question, now: now, using: &generator)
  }

  package mutating func tick(now: UInt64, using generator: inout some RandomNumberGenerator) -> [Effect] {
    var effects: [Effect] = []
    for question in pending.values.filter({ $0.due <= now }).sorted(by: { $0.number < $1.number }) {
      effects += [.close(number: question.number)] + next(question, now: now, using: &generator)
    }
    return effects
  }

  private mutating func next(
    _ question: Pending, now: UInt64, using generator: inout some RandomNumberGenerator
  ) -> [Effect] {
    var question = question
    question.attempts += 1
    question.overTCP = false
    guard question.attempts < servers.count * Self.rounds else {
      forget(question)
      return finish(question, question.failure)
    }
    return again(question, now: now, using: &generator)
  }

  private mutating func again(
    _ question: Pending, now: UInt64, using generator: inout some RandomNumberGenerator
  ) -> [Effect] {
    forget(question)
    return ask(question, now: now, using: &generator)
  }

  private mutating func forget(_ question: Pending) {
    pending[question.number] = nil
    if numberByKey[question.key] == question.number { numberByKey[question.key] = nil }
  }

  /// Answers all who wait.
  private mutating func finish(_ question: Pending, _ response: DNSResponse?) -> [Effect] {
    if response == nil { counters.failed += 1 }
    return question.clients.map { client in
      let source = client.datagram.source
      let rest = countByClient[source, default: 1] - 1
      countByClient[source] = rest > 0 ? rest : nil
      let limit =
        client.datagram.isOfStream ? 65_535 : min(largestAnswer, max(512, Int(client.query.bufferSize ?? 512)))
      let bytes =
        response?.forwarded(to: client.query, limit: limit)
        ?? client.query.answer(.serverFailure, isAuthoritative: false)
      return .reply(client.datagram.reply(bytes))
    }
  }
}
