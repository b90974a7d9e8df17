// Prints actions and instructions as ovs-ofctl does, in the terms of a version of OpenFlow.

import VSwitchCore

package struct ActionPrinter {
  var names: NumberNames
  var version: OpenFlowVersion
  /// Whether the packet has a VLAN tag where the next action runs: the newer versions push one if not.
  private var hasVLAN = false

  package init(names: NumberNames = NumberNames(), version: OpenFlowVersion = .v15, match: Match = Match()) {
    self.names = names
    self.version = version
    hasVLAN = match.satisfies(.vlan)
  }

  /// All instructions; `drop` if there are none.
  package func text(_ instructions: Instructions) -> String {
    var printer = self
    var parts: [String] = []
    if let meter = instructions.meter, version >= .v13 { parts.append("meter:\(meter)") }
    parts += printer.list(instructions.apply)
    if version >= .v13 {
      if instructions.clearsActions { parts.append("clear_actions") }
      if !instructions.write.isEmpty {
        parts.append("write_actions(" + printer.list(instructions.write).joined(separator: ",") + ")")
      }
    }
    if let metadata = instructions.metadata {
      let mask = metadata.mask == .max ? "" : "/0x" + String(metadata.mask, radix: 16)
      parts.append("write_metadata:0x" + String(metadata.value, radix: 16) + mask)
    }
    if let table = instructions.gotoTable {
      parts.append(
        version >= .v13 ? "goto_table:" + names.text(table: table) : "resubmit(,\(names.text(table: table)))")
    }
    return parts.isEmpty ? "drop" : parts.joined(separator: ",")
  }

  /// A list of actions; `drop` for none.
  package func text(_ actions: [Action]) -> String {
    var printer = self
    let parts = printer.list(actions)
    return parts.isEmpty ? "drop" : parts.joined(separator: ",")
  }

  mutating func list(_ actions: [Action]) -> [String] {
    var parts: [String] = []
    for action in actions { parts += words(action) }
    return parts
  }

  /// - Parameter prefix: of a number.
  private func port(_ port: PortNumber, prefix: String = "output:") -> String {
    let isReserved = NumberNames.reservedPorts.contains { $0.number == port }
    return (isReserved ? "" : prefix) + names.text(port: port)
  }

  /// One action may be several in an older or newer version, or none.
  private mutating func words(_ action: Action) -> [String] {
    switch action {
    case .output(.controller, let byteCount): return ["CONTROLLER:\(byteCount)"]
    case .output(let number, _): return [port(number)]
    case .outputField(let part, _): return ["output:" + SubfieldText.text(part)]
    case .outputTruncated(let number, let byteCount):
      return ["output(port=\(names.text(port: number)),max_len=\(byteCount))"]
    case .controller(let controller): return [text(controller)]
    case .enqueue(let number, let queue):
      if version == .v10 { return ["enqueue:\(names.text(port: number)):\(queue)"] }
      return ["set_queue:\(queue)", port(number), "pop_queue"]
    case .group(let id): return ["group:\(id)"]
    case .bundle(let bundle): return [text(bundle)]
    case .setField(let field, let value, let mask):
      if field == .vlanTCI, mask & 0x1000 != 0 { hasVLAN = value & 0x1000 != 0 }
      return FieldActionPrinter(names: names, version: version).words(field, value, mask)
    case .move(let source, let destination):
      return ["move:" + SubfieldText.text(source) + "->" + SubfieldText.text(destination)]
    case .stackPush(let part): return ["push:" + SubfieldText.text(part)]
    case .stackPop(let part): return ["pop:" + SubfieldText.text(part)]
    case .pushVLAN(let type):
      hasVLAN = true
      // In 1.0 the action that sets the tag adds it.
      return version == .v10 ? [] : ["push_vlan:0x" + String(type, radix: 16)]
    case .popVLAN:
      hasVLAN = false
      return [version == .v10 ? "strip_vlan" : "pop_vlan"]
    case .setVLANID(let vid): return setTag("mod_vlan_vid:\(vid)", "set_field:\(4096 + UInt32(vid))->vlan_vid")
    case .setVLANPriority(let priority): return setTag("mod_vlan_pcp:\(priority)", "set_field:\(priority)->vlan_pcp")
    case .pushMPLS(let type): return ["push_mpls:" + FieldValuePrinter.hex(type, digits: 4)]
    case .popMPLS(let type): return ["pop_mpls:" + FieldValuePrinter.hex(type, digits: 4)]
    case .setMPLSTTL(let ttl): return ["set_mpls_ttl(\(ttl))"]
    case .decrementMPLSTTL: return ["dec_mpls_ttl"]
    case .copyTTLOutwards: return ["copy_ttl_out"]
    case .copyTTLInwards: return ["copy_ttl_in"]
    case .setTTL(let ttl):
      return version == .v10
        ? FieldActionPrinter(names: names, version: version).words(.ipTTL, UInt128(ttl), 0xff) : ["mod_nw_ttl:\(ttl)"]
    case .decrementTTL(let controllers):
      return controllers == [0] || controllers.isEmpty
        ? ["dec_ttl"] : ["dec_ttl(" + controllers.map(String.init).joined(separator: ",") + ")"]
    case .deleteField(let field): return ["delete_field:" + field.name]
    case .checkPacketLarger(let byteCount, let part):
      return ["check_pkt_larger(\(byteCount))->" + SubfieldText.text(part)]
    case .setQueue(let queue): return ["set_queue:\(queue)"]
    case .popQueue: return ["pop_queue"]
    case .meter(let id): return version >= .v13 ? ["meter:\(id)"] : []
    case .sample(let sample): return [text(sample)]
    case .resubmit(let number, let table, let withTuple):
      if let number, table == nil, !withTuple { return ["resubmit:" + names.text(port: number)] }
      return [
        "resubmit(" + (number.map(names.text(port:)) ?? "") + "," + (table.map(names.text(table:)) ?? "")
          + (withTuple ? ",ct)" : ")")
      ]
    case .learn(let learn): return [LearnPrinter(names: names).text(learn)]
    case .conjunction(let id, let clause, let count): return ["conjunction(\(id),\(clause)/\(count))"]
    case .multipath(let multipath): return [text(multipath)]
    case .conntrack(let conntrack): return [text(conntrack)]
    case .conntrackClear: return ["ct_clear"]
    case .clone(let actions):
      let before = hasVLAN
      let inner = list(actions)
      hasVLAN = before
      return ["clone(" + (inner.isEmpty ? "drop" : inner.joined(separator: ",")) + ")"]
    case .exit: return ["exit"]
    case .finTimeout(let idle, let hard):
      let parts = [idle != 0 ? "idle_timeout=\(idle)" : nil, hard != 0 ? "hard_timeout=\(hard)" : nil]
      return ["fin_timeout(" + parts.compactMap { $0 }.joined(separator: ",") + ")"]
    case .note(let bytes):
      return ["note:" + bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ".")]
    case .debugRecirculate: return ["debug_recirc"]
    }
  }

  private mutating func setTag(_ old: String, _ new: String) -> [String] {
    defer { hasVLAN = true }
    if version == .v10 { return [old] }
    return hasVLAN ? [new] : ["push_vlan:0x8100", new]
  }
}
