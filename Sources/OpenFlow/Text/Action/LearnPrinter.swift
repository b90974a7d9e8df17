// Prints the learn action.

import VSwitchCore

struct LearnPrinter {
  let names: NumberNames

  func text(_ learn: LearnAction) -> String {
    var parts = ["table=" + names.text(table: learn.table)]
    func add(_ name: String, _ value: UInt64, unless usual: UInt64 = 0) {
      if value != usual { parts.append("\(name)=\(value)") }
    }
    add("idle_timeout", UInt64(learn.idleTimeoutSeconds))
    add("hard_timeout", UInt64(learn.hardTimeoutSeconds))
    add("fin_idle_timeout", UInt64(learn.finIdleTimeoutSeconds))
    add("fin_hard_timeout", UInt64(learn.finHardTimeoutSeconds))
    add("priority", UInt64(learn.priority), unless: 32768)
    if learn.flags.contains(.sendFlowRemoved) { parts.append("send_flow_rem") }
    if learn.flags.contains(.deleteLearned) { parts.append("delete_learned") }
    if learn.cookie != 0 { parts.append("cookie=0x" + String(learn.cookie, radix: 16)) }
    add("limit", UInt64(learn.limit))
    if let result = learn.result, learn.flags.contains(.writeResult) {
      parts.append("result_dst=" + SubfieldText.text(result))
    }
    parts += learn.specifications.map(text)
    return "learn(" + parts.joined(separator: ",") + ")"
  }

  private func text(_ specification: LearnAction.Specification) -> String {
    switch specification {
    case .output(let part): return "output:" + SubfieldText.text(part)
    case .load(.immediate(let value, _), let part):
      return "load:" + FieldValuePrinter.hex(value) + "->" + SubfieldText.text(part)
    case .load(.field(let source), let part):
      return "load:" + SubfieldText.text(source) + "->" + SubfieldText.text(part)
    case .match(.field(let source), let part):
      return source == part ? SubfieldText.text(part) : SubfieldText.text(part) + "=" + SubfieldText.text(source)
    case .match(.immediate(let value, _), let part):
      if part == SubfieldText.inPort {
        return "in_port="
          + names.text(port: PortNumber(UInt32(truncatingIfNeeded: value >= 0xfff8 ? value | 0xffff_0000 : value)))
      }
      if part.isWhole || part == SubfieldText.vlanID {
        let field = part.field
        return field.name + "=" + FieldValuePrinter(names: names).text(field, value, mask: field.fullMask)
      }
      return SubfieldText.text(part) + "=" + FieldValuePrinter.hex(value)
    }
  }
}
