// Prints the program of a cached flow as the tools for datapaths print actions (ovs-dpctl(8), dpctl/dump-flows). What this
// datapath decides for each packet, and Open vSwitch once for a flow, has names of its own: normal, flood, all, group.

import VSwitchCore

package struct DatapathActionsPrinter {
  var names: NumberNames

  package init(names: NumberNames = NumberNames()) { self.names = names }

  /// The steps, set apart by commas; "drop" if there are none.
  package func text(_ steps: [ActionStep]) -> String {
    let text = list(steps[...])
    return text.isEmpty ? "drop" : text
  }

  private func list(_ steps: ArraySlice<ActionStep>) -> String {
    var parts: [String] = []
    var index = steps.startIndex
    while index < steps.endIndex {
      let step = steps[index]
      let end = min(index + 1 + Int(step.blockCount), steps.endIndex)
      if let text = text(step, steps[(index + 1)..<end]) { parts.append(text) }
      index = end
    }
    return parts.joined(separator: ",")
  }

  private func port(_ number: UInt32) -> String { names.text(port: PortNumber(number)) }

  private func cut(_ step: ActionStep) -> String { step.low == 0 ? "" : "trunc(\(step.low))," }

  private func text(_ step: ActionStep, _ block: ArraySlice<ActionStep>) -> String? {
    switch step.operation {
    case .output: return cut(step) + port(step.number)
    case .normal: return cut(step) + "normal"
    case .flood: return cut(step) + "flood"
    case .all: return cut(step) + "all"
    case .controller:
      return "userspace(controller(id=\(step.half)))"
    case .setField:
      guard let field = Field(rawValue: step.field) else { return nil }
      return "set(\(field.name)="
        + FieldValuePrinter(names: names).text(field, step.value & step.mask, mask: step.mask) + ")"
    case .pushVLAN:
      let type = step.half == 0x8100 ? "" : "tpid=" + FieldValuePrinter.hex(UInt128(step.half)) + ","
      return "push_vlan(\(type)vid=\(step.number & 0xfff),pcp=\(step.number >> 13 & 7))"
    case .popVLAN: return "pop_vlan"
    case .pushMPLS:
      let entry = step.number
      return "push_mpls(label=\(entry >> 12),tc=\(entry >> 9 & 7),ttl=\(entry & 0xff),bos=\(entry >> 8 & 1),eth_type="
        + FieldValuePrinter.hex(step.half, digits: 4) + ")"
    case .popMPLS: return "pop_mpls(eth_type=" + FieldValuePrinter.hex(step.half, digits: 4) + ")"
    case .decrementTTL: return "dec_ttl"
    case .decrementMPLSTTL: return "dec_mpls_ttl"
    case .copyTTLOutwards: return "copy_ttl_out"
    case .copyTTLInwards: return "copy_ttl_in"
    case .setQueue: return "set_queue(\(step.number))"
    case .popQueue: return "pop_queue"
    case .meter: return "meter(\(step.number))"
    case .sample: return "sample(sample=\(Double(Int(step.half) * 1000 / 0xffff) / 10)%,collector_set=\(step.number))"
    case .clone: return "clone(\(list(block)))"
    case .selectGroup:
      let buckets = list(block)
      return "group(\(step.low)" + (buckets.isEmpty ? "" : "," + buckets) + ")"
    case .bucket: return "bucket\(step.number)(\(list(block)))"
    case .checkLength:
      let middle = min(block.startIndex + Int(truncatingIfNeeded: step.low & 0xffff_ffff), block.endIndex)
      return "check_pkt_len(size=\(step.number),gt(\(list(block[..<middle]))),le(\(list(block[middle...]))))"
    case .conntrack:
      return "ct(" + (step.half & ActionStep.ConntrackFlags.commits.rawValue != 0 ? "commit," : "")
        + "zone=\(step.number))"
    case .conntrackClear: return "ct_clear"
    case .recirculate: return "recirc(\(step.number))"
    case .learn: return "learn(table=\(step.field))"
    case .drop: return "drop"
    case .finTimeout, .countRule, .countBucket, .setPipeline, .learnMatch, .learnLoad, .learnOutput, .data,
      .conntrackTranslation, .conntrackSet:
      return nil
    }
  }
}
