// A packet as a pile of headers, for the naive pipeline and for running action programs: changing it needs no offsets and no
// checksums, and what lies below a label is there although no key shows it. Thread: a value; any.

import VSwitchCore

/// Headers from the outside in.
package struct PipelinePacket: Equatable, Sendable {
  package struct Tag: Equatable, Sendable {
    package var type: UInt16
    /// Without bit 12.
    package var tci: UInt16
  }
  package var ethernetDestination: UInt64 = 0
  package var ethernetSource: UInt64 = 0
  package var tags: [Tag] = []
  /// EtherType behind the tags, as the frame says.
  package var etherType: UInt16 = 0
  /// MPLS stack entries, the outer one first.
  package var labels: [UInt32] = []
  /// EtherType of what lies below the labels, and its fields (words 4 to 14, and the TCP flags).
  package var contentType: UInt16 = 0
  package var content = FlowKey()
  /// Tunnel fields, mark and connection: what comes with a packet and is none of its bytes.
  package var metadata = FlowKey()
  package var byteCount = 100
  /// What lies below tags and labels as it came, in packets that are made of bytes (`init(frame:)`): all of it that no field is.
  package var contentBytes: [UInt8]?

  package init() {}

  /// Bytes of the whole packet.
  package var length: Int { contentBytes == nil ? byteCount : frame.count }

  package var isMPLS: Bool { etherType == 0x8847 || etherType == 0x8848 }
  package var hasLabel: Bool { isMPLS && !labels.isEmpty }

  /// Whether the network header can be seen.
  package var showsContent: Bool { !isMPLS && labels.isEmpty && etherType == contentType }

  /// What a parser finds.
  package var key: FlowKey {
    var key = metadata
    key.ethernetDestination = ethernetDestination
    key.ethernetSource = ethernetSource
    key.etherType = etherType
    if let outer = tags.first {
      key.vlanType = outer.type
      key.vlanTCI = outer.tci | 0x1000
    }
    if tags.count > 1 {
      key.innerVLANType = tags[1].type
      key.innerVLANTCI = tags[1].tci | 0x1000
    }
    if hasLabel { key.mplsEntry = labels[0] }
    if showsContent {
      for word in 4..<15 { key.words[word] = content.words[word] }
      key.tcpFlags = content.tcpFlags
    }
    return key
  }

  package mutating func pushTag(_ type: UInt16, _ tci: UInt16) { tags.insert(Tag(type: type, tci: tci), at: 0) }

  package mutating func pushLabel(_ type: UInt16, _ entry: UInt32) {
    labels.insert(entry, at: 0)
    etherType = type
  }

  /// What is said to be another protocol than it is has none of that protocol's fields.
  package mutating func popLabel(_ type: UInt16) {
    guard hasLabel else { return }
    labels.removeFirst()
    etherType = type
    guard contentBytes == nil else {
      parseAgain()
      return
    }
    guard !isMPLS, !labels.isEmpty || type != contentType else { return }
    labels = []
    contentType = type
    content = FlowKey()
  }

  /// Sets bits of a field that is one of the packet's; others are left alone.
  package mutating func set(_ field: Field, _ value: UInt128, _ mask: UInt128) {
    func merged(_ old: UInt128) -> UInt128 { old & ~mask | value & mask }
    switch field {
    case .ethernetDestination: ethernetDestination = UInt64(merged(UInt128(ethernetDestination)))
    case .ethernetSource: ethernetSource = UInt64(merged(UInt128(ethernetSource)))
    case .vlanID:
      if !tags.isEmpty { tags[0].tci = tags[0].tci & 0xf000 | UInt16(merged(UInt128(tags[0].tci & 0xfff))) & 0xfff }
    case .vlanPriority:
      if !tags.isEmpty { tags[0].tci = tags[0].tci & 0xfff | UInt16(merged(UInt128(tags[0].tci >> 13))) << 13 }
    case .mplsLabel, .mplsTrafficClass, .mplsTTL:
      guard hasLabel else { return }
      var key = FlowKey()
      key.mplsEntry = labels[0]
      key[field] = merged(key[field])
      labels[0] = key.mplsEntry
    case .tunnelID, .tunnelSource, .tunnelDestination, .packetMark: metadata[field] = merged(metadata[field])
    default: if showsContent { content[field] = merged(content[field]) }
    }
  }

  /// TTL of the outer label to or from what lies below it.
  package mutating func copyTTL(outwards: Bool) {
    guard hasLabel else { return }
    let isIP = contentType == 0x0800 || contentType == 0x86dd
    if outwards {
      if labels.count > 1 {
        labels[0] = labels[0] & ~0xff | labels[1] & 0xff
      } else if isIP {
        labels[0] = labels[0] & ~0xff | UInt32(content.ipTTL)
      }
    } else if labels.count > 1 {
      labels[1] = labels[1] & ~0xff | labels[0] & 0xff
    } else if isIP {
      content.ipTTL = UInt8(labels[0] & 0xff)
    }
  }
}
