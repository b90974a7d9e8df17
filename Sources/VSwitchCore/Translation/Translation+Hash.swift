// Choices by a hash of header fields: multipath and bundle. Thread and memory: as `Translation`.
// Standard: ovs-actions(7), `multipath`, `bundle`; RFC 2992 (hash-threshold), RFC 2991 (highest random weight). The hash is
// this switch's own: which link a flow gets is not part of any standard, that all its packets get the same is.

extension Translation {
  mutating func multipath(_ code: CodeStep) {
    let fields = HashFields(rawValue: UInt16(truncatingIfNeeded: code[1])) ?? .ethernetSource
    let basis = UInt16(truncatingIfNeeded: code[1] >> 16)
    let algorithm = MultipathAction.Algorithm(rawValue: UInt16(truncatingIfNeeded: code[1] >> 32)) ?? .moduloN
    let linkCount = UInt64(code[1] >> 48) &+ 1
    let hash = self.hash(fields, basis: basis)
    let link: UInt64
    switch algorithm {
    case .moduloN: link = hash % linkCount
    case .hashThreshold: link = ((hash &>> 32) &* linkCount) &>> 32
    case .highestRandomWeight:
      var best: UInt64 = 0
      var bestWeight: UInt64 = 0
      for candidate in 0..<linkCount {
        let weight = PipelineHash.mix(hash ^ candidate &* 0x9e37_79b9_7f4a_7c15)
        if candidate == 0 || weight > bestWeight {
          best = candidate
          bestWeight = weight
        }
      }
      link = best
    case .iterativeHash: link = iterate(hash, linkCount: linkCount, argument: code[2])
    }
    set(PackedSubfield(bits: code.argument), UInt128(link))
  }

  /// Hashes until a link in range comes out, at most the number of times that the action says or 128.
  private func iterate(_ hash: UInt64, linkCount: UInt64, argument: UInt64) -> UInt64 {
    var hash = hash
    var modulus: UInt64 = 1
    while modulus < linkCount { modulus &<<= 1 }
    for _ in 0..<min(max(argument, 1), 128) {
      let link = hash & (modulus &- 1)
      if link < linkCount { return link }
      hash = PipelineHash.mix(hash)
    }
    return hash % linkCount
  }

  mutating func bundle(_ code: CodeStep) {
    result.dependencies.usesPorts = true
    let count = Int(code[2])
    let algorithm = BundleAction.Algorithm(rawValue: UInt16(truncatingIfNeeded: code[1] >> 32)) ?? .activeBackup
    var chosen: UInt32?
    if algorithm == .activeBackup {
      var index = 0
      while index < count, chosen == nil {
        let member = UInt32(truncatingIfNeeded: code[3 &+ index])
        if isLive(member) { chosen = member }
        index &+= 1
      }
    } else {
      let fields = HashFields(rawValue: UInt16(truncatingIfNeeded: code[1])) ?? .ethernetSource
      let hash = self.hash(fields, basis: UInt16(truncatingIfNeeded: code[1] >> 16))
      var bestWeight: UInt64 = 0
      for index in 0..<count {
        let member = UInt32(truncatingIfNeeded: code[3 &+ index])
        let weight = PipelineHash.mix(hash ^ UInt64(index) &* 0x9e37_79b9_7f4a_7c15)
        if chosen == nil || weight > bestWeight, isLive(member) {
          chosen = member
          bestWeight = weight
        }
      }
    }
    if chosen == nil { record(.remark(.noLiveMember)) }
    let destination = PackedSubfield(bits: code.argument)
    if !destination.isNone {
      // Open vSwitch loads OFPP_NONE, of 16 bits in a field of 16.
      set(destination, UInt128(chosen ?? PortNumber.any.rawValue))
    } else if let chosen {
      output(to: PortNumber(chosen), cut: 0)
    } else {
      reason = .noLiveBucket
    }
  }

  private func isLive(_ number: UInt32) -> Bool { reader.port(PortNumber(number)).contains(.isLive) }

  /// Hash of the fields that tell flows apart. The symmetric ones are the same for both directions of a connection.
  private mutating func hash(_ fields: HashFields, basis: UInt16) -> UInt64 {
    var hash = PipelineHash(basis: UInt64(basis))
    switch fields {
    case .ethernetSource: hash.add(UInt64(truncatingIfNeeded: read(.ethernetSource)))
    case .networkSource:
      if state.isIPv4 { hash.add(wide: read(.ipv4Source)) } else if state.isIPv6 { hash.add(wide: read(.ipv6Source)) }
    case .networkDestination:
      if state.isIPv4 {
        hash.add(wide: read(.ipv4Destination))
      } else if state.isIPv6 {
        hash.add(wide: read(.ipv6Destination))
      }
    case .symmetricL4:
      hash.add(wide: read(.ethernetSource) ^ read(.ethernetDestination))
      hash.add(UInt64(state.etherType))
      if hasTag() { hash.add(wide: read(.vlanID)) }
      addAddresses(&hash)
      addPorts(&hash, includesUDP: true)
    case .symmetricL3L4:
      addAddresses(&hash)
      addPorts(&hash, includesUDP: false)
    case .symmetricL3L4UDP:
      addAddresses(&hash)
      addPorts(&hash, includesUDP: true)
    case .symmetricL3: addAddresses(&hash)
    }
    return hash.value
  }

  private mutating func addAddresses(_ hash: inout PipelineHash) {
    if state.isIPv4 {
      hash.add(wide: read(.ipv4Source) ^ read(.ipv4Destination))
    } else if state.isIPv6 {
      hash.add(wide: read(.ipv6Source) ^ read(.ipv6Destination))
    }
  }

  private mutating func addPorts(_ hash: inout PipelineHash, includesUDP: Bool) {
    guard state.isIP else { return }
    let number = read(.ipProtocol)
    hash.add(wide: number)
    // Fragments have no ports, and the first one goes where the others go.
    guard state.key.ipFragment == 0, number == 6 || number == 132 || includesUDP && number == 17 else { return }
    hash.add(wide: read(.tcpSource) ^ read(.tcpDestination))
  }
}

/// A hash of words. Not keyed: control chooses the basis, and an uneven spread harms no one but the sender.
struct PipelineHash {
  private(set) var value: UInt64

  init(basis: UInt64) { value = PipelineHash.mix(basis &+ 0x9e37_79b9_7f4a_7c15) }

  mutating func add(_ word: UInt64) { value = PipelineHash.mix(value ^ word) &+ 0x9e37_79b9_7f4a_7c15 }

  mutating func add(wide word: UInt128) {
    add(UInt64(truncatingIfNeeded: word))
    if word >> 64 != 0 { add(UInt64(truncatingIfNeeded: word >> 64)) }
  }

  /// SplitMix64's finalizer.
  static func mix(_ word: UInt64) -> UInt64 {
    var z = word
    z = (z ^ (z &>> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z &>> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z &>> 31)
  }
}
