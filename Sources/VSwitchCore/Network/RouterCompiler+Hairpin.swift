// Makes the flow rules for hosts that reach one of their own network by a forwarded port of the router (hairpin): its address is
// translated as for everybody, and that of the asking host to the router's, else the answer would go past the router. A
// connection has one translation in a zone, so this one is kept in a zone of its own. Pure.
//
// A packet of the asking host: tracking (destination translated), ..., policies or commit (source translated in the other zone).
// An answer comes to the router's address: looked up in the other zone first, then as all others.

extension Compilation {
  /// Ports whose networks have hosts that ports are forwarded to, with the router's address there.
  private var hairpinPorts: [(port: RouterPort, address: IPAddress)] {
    guard router.hairpinZone != nil else { return [] }
    return router.ports.flatMap { port in
      [false, true].compactMap { isIPv6 in
        let isHome = router.forwards.contains { forward in
          forward.target.isIPv6 == isIPv6 && port.addresses.contains { $0.network.contains(forward.target) }
        }
        guard isHome, let address = port.translationSource(isIPv6: isIPv6) else { return nil }
        return (port, address)
      }
    }
  }

  /// Answers: their first look-up gives them the asking host as destination.
  /// - Parameter track: the look-up of all packets.
  mutating func hairpinAnswers(_ track: ConntrackAction) {
    guard let zone = router.hairpinZone, !hairpinPorts.isEmpty else { return }
    var first = track
    first.zone = .immediate(zone)
    first.recirculationTable = RouterTable.hairpin.rawValue
    for (port, address) in hairpinPorts {
      rules.add(
        .tracking, 10, Match.ip(isIPv6: address.isIPv6).from(port.number).destination(address), [.conntrack(first)])
    }
    for isIPv6 in [false, true] { rules.add(.hairpin, 0, .ip(isIPv6: isIPv6), [.conntrack(track)]) }
  }

  /// Later fragments of new connections to forwarded ports: policies speak of the ports behind the translation, which fragments lack, and
  /// have judged the first one. Alone they are no datagram to anybody.
  mutating func forwardedFragments() {
    guard !router.forwards.isEmpty else { return }
    let state = ConnectionState.destinationTranslated | ConnectionState.tracked | ConnectionState.new
    let others = ConnectionState.reply | ConnectionState.invalid
    for isIPv6 in [false, true] {
      rules.add(
        .policies, 62500, Match.ip(isIPv6: isIPv6).with(.ipFragment, 2, mask: 2).connection(state, of: state | others),
        next: .commit)
    }
  }

  /// Packets of the asking host that go back to where they came from, with another destination than they came with.
  mutating func hairpinPackets() {
    guard let zone = router.hairpinZone else { return }
    let tracked = ConnectionState.tracked
    let translated = ConnectionState.destinationTranslated | tracked
    for (port, address) in hairpinPorts {
      var translate = ConntrackAction()
      translate.commits = true
      translate.zone = .immediate(zone)
      translate.translation = NetworkTranslation(source: address)
      translate.recirculationTable = RouterTable.neighbours.rawValue
      let packets = Match.ip(isIPv6: address.isIPv6).from(port.number)
        .with(RouterRegister.outPort, port.number.rawValue)
      let others = ConnectionState.reply | ConnectionState.invalid | ConnectionState.new
      for state in [ConnectionState.established, ConnectionState.related] {
        rules.add(
          .policies, 63500, packets.connection(state | translated, of: state | translated | others),
          [.conntrack(translate)])
      }
      // New ones have passed the policies.
      rules.add(
        .commit, 20, packets.connection(translated, of: translated | ConnectionState.reply), [.conntrack(translate)])
    }
  }
}

extension NetworkTranslation {
  /// Of the source, to one address.
  init(source address: IPAddress) {
    self.init()
    kind = .source
    addresses = address.bits...address.bits
    isIPv6 = address.isIPv6
  }
}

extension RouterConfig {
  /// The helper for connections to a port; 0: none.
  func helperPort(_ ipProtocol: UInt8, _ port: UInt16) -> UInt16 {
    helpers.contains { $0.service == (ipProtocol, port) } ? port : 0
  }
}
