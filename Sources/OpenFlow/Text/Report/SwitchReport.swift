// What a switch says of itself and its tables, as show, dump-desc, dump-tables, dump-table-desc, dump-aggregate,
// meter-features and dump-group-features print it: the lines below the first.

import VSwitchCore

package struct SwitchReport {
  var names: NumberNames
  var version: OpenFlowVersion

  package init(names: NumberNames = NumberNames(), version: OpenFlowVersion) {
    self.names = names
    self.version = version
  }

  private func words(_ bits: UInt32, _ names: [(UInt32, String)]) -> String {
    names.filter { bits & 1 << $0.0 != 0 }.map(\.1).joined(separator: " ")
  }

  /// What stands behind "OFPT_FEATURES_REPLY (xid=0x1): ", with its ports in 1.0.
  package func text(_ features: SwitchFeatures) -> String {
    let digits = String(features.datapathID, radix: 16)
    var lines = ["dpid:" + String(repeating: "0", count: 16 - digits.count) + digits]
    var tables = "n_tables:\(features.tableCount), n_buffers:\(features.bufferCount)"
    if features.auxiliaryID != 0 { tables += ", auxiliary_id:\(features.auxiliaryID)" }
    lines.append(tables)
    lines.append(
      "capabilities: "
        + words(
          features.capabilities.rawValue,
          [
            (0, "FLOW_STATS"), (1, "TABLE_STATS"), (2, "PORT_STATS"), (3, "GROUP_STATS"), (5, "IP_REASM"),
            (6, "QUEUE_STATS"), (7, "ARP_MATCH_IP"), (8, "PORT_BLOCKED"), (9, "BUNDLES"), (10, "FLOW_MONITORING"),
          ]))
    if version == .v10 {
      lines.append("actions: " + words(features.actions, SwitchReport.actions10))
      lines += features.ports.map(PortReport(names: names, version: version).text)
    }
    return lines.joined(separator: "\n")
  }

  private static let actions10: [(UInt32, String)] = [
    (0, "output"), (11, "enqueue"), (1, "set_vlan_vid"), (2, "set_vlan_pcp"), (3, "strip_vlan"), (4, "mod_dl_src"),
    (5, "mod_dl_dst"), (6, "mod_nw_src"), (7, "mod_nw_dst"), (8, "mod_nw_tos"), (9, "mod_tp_src"), (10, "mod_tp_dst"),
  ]

  /// What stands behind "OFPT_GET_CONFIG_REPLY (xid=0x1): ".
  package func text(_ configuration: SwitchConfiguration) -> String {
    "frags=" + SwitchReport.name(configuration.fragments)
      + (configuration.sendsInvalidTTL ? " invalid_ttl_to_controller" : "")
      + " miss_send_len=\(configuration.missSendByteCount)"
  }

  /// As get-frags prints it and set-frags reads it.
  package static func name(_ handling: SwitchConfiguration.FragmentHandling) -> String {
    switch handling {
    case .normal: "normal"
    case .drop: "drop"
    case .reassemble: "reassemble"
    case .nxMatch: "nx-match"
    }
  }

  package func text(_ description: SwitchDescription) -> String {
    """
    Manufacturer: \(description.manufacturer)
    Hardware: \(description.hardware)
    Software: \(description.software)
    Serial Num: \(description.serialNumber)
    DP Description: \(description.datapath)
    """
  }

  package func text(_ aggregate: FlowAggregate) -> String {
    "packet_count=\(aggregate.packetCount) byte_count=\(aggregate.byteCount) flow_count=\(aggregate.flowCount)"
  }

  // MARK: tables

  /// Tables that are alike but for their number stand together.
  package func text(_ tables: [TableCounters]) -> String {
    var blocks: [String] = []
    var index = 0
    while index < tables.count {
      let table = tables[index]
      var end = index + 1
      while index > 0, end < tables.count, alike(tables[end], table), alike(tables[index - 1], table) { end += 1 }
      if index > 0, alike(tables[index - 1], table) {
        let first = names.text(table: table.table)
        blocks.append(
          end - index > 1
            ? "  tables \(first)...\(names.text(table: tables[end - 1].table)): ditto\n" : "  table \(first): ditto\n")
        index = end
        continue
      }
      var text = "  table \(names.text(table: table.table)):\n    active=\(table.activeCount), "
      text += "lookup=\(table.lookupCount), matched=\(table.matchedCount)\n"
      if version == .v10 {
        if index > 0, sameFeatures(tables[index - 1], table) {
          text += "    (same features)\n"
        } else {
          text += "    max_entries=\(table.maximumEntries)\n    matching:\n      exact match or wildcard: "
          text += "in_port eth_{src,dst,type} vlan_{vid,pcp} ip_{src,dst} nw_{proto,tos} tcp_{src,dst}\n"
        }
      }
      blocks.append(text)
      index += 1
    }
    return blocks.joined(separator: "\n")
  }

  private func sameFeatures(_ a: TableCounters, _ b: TableCounters) -> Bool {
    a.maximumEntries == b.maximumEntries && a.wildcards == b.wildcards
  }

  private func alike(_ a: TableCounters, _ b: TableCounters) -> Bool {
    a.activeCount == b.activeCount && a.lookupCount == b.lookupCount && a.matchedCount == b.matchedCount
      && (version != .v10 || sameFeatures(a, b))
  }

  /// A block of dump-table-desc.
  package func text(_ table: TableDescription) -> String {
    var text = "  table \(names.text(table: table.table)):\n   eviction=\(table.evicts ? "on" : "off")"
    if let flags = table.evictionFlags {
      let set = words(flags, [(0, "OTHER"), (1, "IMPORTANCE"), (2, "LIFETIME")])
      text += " eviction_flags=" + (set.isEmpty ? "0" : set.split(separator: " ").joined(separator: "|"))
    } else {
      text += " eviction_flags=(default)"
    }
    text += "\n   vacancy=\(table.sendsVacancyEvents ? "on" : "off")"
    if table.sendsVacancyEvents, let vacancy = table.vacancy {
      text +=
        " vacancy_down=\(vacancy.downPercent)% vacancy_up=\(vacancy.upPercent)% vacancy=\(vacancy.currentPercent)%"
    }
    return text + "\n"
  }

  // MARK: groups and meters

  package func text(_ features: MeterFeatures) -> String {
    """
    max_meter:\(features.maximumMeters) max_bands:\(features.maximumBands) max_color:\(features.maximumColors)
    band_types: \(words(features.bandKinds, [(1, "drop"), (2, "dscp_remark")]))
    capabilities: \(words(features.capabilities, [(0, "kbps"), (1, "pktps"), (2, "burst"), (3, "stats")]))
    """
  }

  package func text(_ features: GroupFeatures) -> String {
    let kinds: [(String, GroupFeatures.PerKind?)] = [
      ("all", features.all), ("select", features.select), ("indirect", features.indirect),
      ("fast failover", features.fastFailover),
    ]
    let types = kinds.enumerated().reduce(UInt32(0)) { $0 | ($1.element.1 == nil ? 0 : 1 << UInt32($1.offset)) }
    var text = " Group table:\n    Types:  0x" + String(types, radix: 16)
    text += "\n    Capabilities:  0x" + String(features.capabilities, radix: 16)
    for case (let name, let kind?) in kinds {
      text += "\n    \(name) group:\n       max_groups=0x" + String(kind.maximumGroups, radix: 16)
      text += "\n       actions: "
      text += words(kind.actions, version == .v10 ? SwitchReport.actions10 : SwitchReport.actions13)
    }
    return text
  }

  private static let actions13: [(UInt32, String)] = [
    (0, "output"), (22, "group"), (25, "set_field"), (18, "strip_vlan"), (17, "push_vlan"), (23, "mod_nw_ttl"),
    (24, "dec_ttl"), (15, "set_mpls_ttl"), (16, "dec_mpls_ttl"), (19, "push_mpls"), (20, "pop_mpls"), (21, "set_queue"),
  ]
}
