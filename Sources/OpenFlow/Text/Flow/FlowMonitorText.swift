// What `monitor watch:…` asks for, and the changes of rules that it prints (ovs-ofctl(8), "monitor").

import VSwitchCore

extension FlowTextParser {
  private static let exceptions: [(word: StaticString, flag: FlowMonitorRequest.Flags)] = [
    ("!initial", .initial), ("!add", .added), ("!delete", .removed), ("!modify", .modified),
    ("!actions", .instructions),
    ("!own", .noAbbreviation),
  ]

  /// Which rules are watched, and which of their changes are left out: what stands behind `watch:`.
  package func monitor(_ text: String) throws(FlowTextError) -> FlowMonitorRequest {
    var request = FlowMonitorRequest(id: 1)
    request.flags = [.initial, .added, .removed, .modified, .instructions, .noAbbreviation]
    // What is left out is blanked, so that faults of the rest are told where they stand.
    let slice = TextSlice(text)
    var rest = slice.bytes
    for word in slice.list() {
      let word = word.trimmed
      guard word.first == UInt8(ascii: "!") else { continue }
      guard let found = FlowTextParser.exceptions.first(where: { word.equals($0.word) }) else {
        throw word.error(
          "\(word.quoted) leaves nothing out",
          remedy: "write !initial, !add, !delete, !modify, !actions or !own")
      }
      request.flags.remove(found.flag)
      for position in word.lower..<word.upper { rest[position] = UInt8(ascii: ",") }
    }
    let filter = try filter(String(decoding: rest, as: UTF8.self))
    guard filter.cookie.mask == 0 else {
      throw slice.error("rules cannot be watched by their cookie", remedy: "leave it out")
    }
    request.table = filter.table
    request.match = filter.match
    request.outPort = filter.outPort
    request.outGroup = filter.outGroup
    return request
  }
}

extension FlowPrinter {
  /// A change of a rule that is watched.
  package func text(_ update: FlowUpdate) -> String {
    switch update {
    case .abbreviated(let xid): "event=ABBREV xid=0x" + String(xid, radix: 16)
    case .paused: "event=PAUSED"
    case .resumed: "event=RESUMED"
    case .change(let change): text(change)
    }
  }

  private func text(_ change: FlowChange) -> String {
    var text =
      switch change.event {
      case .initial: "event=INITIAL"
      case .added: "event=ADDED"
      case .removed: "event=DELETED reason=" + ReplyReport.name(change.reason)
      case .modified: "event=MODIFIED"
      }
    text += " table=" + names.text(table: change.table)
    if change.idleTimeoutSeconds != 0 { text += " idle_timeout=\(change.idleTimeoutSeconds)" }
    if change.hardTimeoutSeconds != 0 { text += " hard_timeout=\(change.hardTimeoutSeconds)" }
    text += " cookie=" + (change.cookie == 0 ? "0" : "0x" + String(change.cookie, radix: 16)) + " "
    // Without the priority: so it is in ovs-ofctl.
    let match = match(change.match)
    text += match
    // Without actions nothing is said of them, be it that they were not asked for or that there are none.
    guard change.instructions != Instructions() else { return text }
    return text + (match.isEmpty ? "" : " ") + "actions=" + instructions(change.instructions, of: change.match)
  }
}
