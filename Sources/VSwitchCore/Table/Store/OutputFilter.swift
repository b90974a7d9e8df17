// The filter of requests by what rules output to (OpenFlow 1.5 §7.3.4.3.2, out_port and out_group). Thread: control.

/// Remembers the answer for each set of instructions that it saw.
struct OutputFilter {
  let port: PortNumber
  let group: UInt32
  private var answers: [UInt: Bool] = [:]

  init(port: PortNumber, group: UInt32) {
    self.port = port
    self.group = group
  }

  mutating func accepts(_ actions: ActionsPointer) -> Bool {
    if port == .any, group == GroupMod.anyGroup { return true }
    let key = UInt(bitPattern: actions)
    if let answer = answers[key] { return answer }
    let references = References(unsafe actions.pointee.code.instructions)
    let answer =
      (port == .any || references.ports.contains(port))
      && (group == GroupMod.anyGroup || references.groups.contains(group))
    answers[key] = answer
    return answer
  }
}
