// A match in normal form (ovs-ofctl(8), "Flow Syntax"): fields of protocols that it does not name are left open, as Open
// vSwitch leaves them ("normalization changed ofp_match").

import VSwitchCore

extension Match {
  /// - Returns: the normal form, and whether Open vSwitch says that something was left out.
  func normalized() -> (match: Match, changed: Bool) {
    var normal = self
    let etherType: UInt16? = isExact(.etherType) ? key.etherType : nil
    let isIPv4 = etherType == 0x0800
    let isIPv6 = etherType == 0x86dd
    let isARP = etherType == 0x0806 || etherType == 0x8035
    let isMPLS = etherType == 0x8847 || etherType == 0x8848
    let number: UInt8? = (isIPv4 || isIPv6) && isExact(.ipProtocol) ? key.ipProtocol : nil

    var silent = false
    func clear(_ fields: [Field]) {
      for field in fields where normal.mask[field] != 0 { normal.set(field, 0, mask: 0) }
    }
    // ARP's operation was the protocol field once, and still may be named so.
    if isARP, normal.mask[.ipProtocol] == 0xff {
      normal.set(.arpOperation, UInt128(key.ipProtocol))
      normal.set(.ipProtocol, 0, mask: 0)
      silent = true
    }
    // The ports, ICMP's type and code, and ARP's operation share their place.
    if isARP {
      clear([.tcpDestination])
    } else if isIPv4 && number == 1 || isIPv6 && number == 58 {
      for (port, byte) in [(Field.tcpSource, Field.icmpType), (.tcpDestination, .icmpCode)] {
        let bits = normal.mask[port]
        guard bits != 0, bits != 0xff else { continue }
        let value = normal.key[byte]
        normal.set(port, 0, mask: 0)
        // ICMP's are matched whole.
        normal.set(byte, value)
        silent = true
      }
    } else if number != 6 && number != 17 && number != 132 {
      clear([.tcpSource, .tcpDestination])
    }
    if number != 6, normal.mask[.tcpFlags] != 0 {
      clear([.tcpFlags])
      silent = true
    }
    if !isIPv4 && !isARP { clear([.ipv4Source, .ipv4Destination]) }
    if !isIPv6 { clear([.ipv6Source, .ipv6Destination, .ipv6Label]) }
    if !isIPv4 && !isIPv6 {
      clear([.ipProtocol, .ipDSCP, .ipECN, .ipTTL])
      if normal.mask[.ipFragment] != 0 {
        clear([.ipFragment])
        silent = true
      }
    }
    if !isMPLS { clear([.mplsLabel, .mplsTrafficClass, .mplsBottomOfStack, .mplsTTL]) }

    let isND = isIPv6 && number == 58 && normal.mask[.icmpv6Type] == 0xff
    let isSolicitation = isND && normal.key[.icmpv6Type] == 135
    let isAdvertisement = isND && normal.key[.icmpv6Type] == 136
    if !isSolicitation && !isAdvertisement { clear([.ndTarget]) }
    if !isARP && !isSolicitation { clear([.ndSourceLinkLayer]) }
    if !isARP && !isAdvertisement { clear([.ndTargetLinkLayer]) }

    if normal.mask[.ctProtocol] == 0, normal.mask[.ctTransportSource] | normal.mask[.ctTransportDestination] != 0 {
      clear([.ctTransportSource, .ctTransportDestination])
      silent = true
    }
    if isExact(.packetType), key[.packetType] == 0 {
      clear([.packetType])
      silent = true
    }
    return (normal, normal != self && !silent)
  }
}
