// Writing ct and nat.

import VSwitchCore

extension ActionEncoder {
  mutating func conntrack(_ conntrack: ConntrackAction) throws(EncodeError) {
    let start = writer.count
    niciraHeader(NiciraAction.conntrack)
    writer.u16((conntrack.commits ? 1 : 0) | (conntrack.forces ? 2 : 0))
    switch conntrack.zone {
    case .immediate(let zone):
      writer.u32(0)
      writer.u16(zone)
    case .field(let bits):
      guard let code = FieldCode.niciraCode(bits, version), code.headerByteCount == 4 else {
        throw EncodeError.field(bits.field)
      }
      writer.fieldHeader(code)
      writer.u16(ActionEncoder.packed(bits))
    }
    writer.u8(conntrack.recirculationTable ?? 0xff)
    writer.zeros(3)
    writer.u16(conntrack.helperPort)
    if let translation = conntrack.translation { write(translation) }
    for action in conntrack.actions { try self.action(action) }
    finish(start)
  }

  private mutating func write(_ translation: NetworkTranslation) {
    let start = writer.count
    niciraHeader(NiciraAction.nat)
    writer.zeros(2)
    var flags: UInt16 = 0
    switch translation.kind {
    case .source: flags = 1
    case .destination: flags = 2
    case nil: break
    }
    if translation.persistent { flags |= 4 }
    if translation.hashes { flags |= 8 }
    if translation.randomizes { flags |= 16 }
    writer.u16(flags)
    var present: UInt16 = 0
    if let addresses = translation.addresses {
      let hasLast = addresses.lowerBound != addresses.upperBound
      present |= translation.isIPv6 ? (hasLast ? 12 : 4) : hasLast ? 3 : 1
    }
    if let ports = translation.ports { present |= ports.lowerBound != ports.upperBound ? 0x30 : 0x10 }
    writer.u16(present)
    if let addresses = translation.addresses {
      let byteCount = translation.isIPv6 ? 16 : 4
      writer.unsigned(addresses.lowerBound, byteCount: byteCount)
      if present & 0x0a != 0 { writer.unsigned(addresses.upperBound, byteCount: byteCount) }
    }
    if let ports = translation.ports {
      writer.u16(ports.lowerBound)
      if present & 0x20 != 0 { writer.u16(ports.upperBound) }
    }
    finish(start)
  }
}
