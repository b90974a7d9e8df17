// Descriptions of packets to send (ovs-ofctl(8), "Packet-Out Syntax").

import VSwitchCore

extension FlowTextParser {
  /// `in_port=PORT,packet=HEX,actions=…`
  package func packetOut(_ text: String) throws(FlowTextError) -> PacketOut {
    try packetOut(TextSlice(text))
  }

  func packetOut(_ text: TextSlice) throws(FlowTextError) -> PacketOut {
    var result = PacketOut()
    var match = MatchParser(names: names)
    var hasPort = false
    var hasPacket = false
    var actionText: TextSlice?
    var reader = KeyValueReader(text)
    while let pair = try reader.next() {
      switch pair.key.string {
      case "actions" where pair.delimiter == UInt8(ascii: "="), "action" where pair.delimiter == UInt8(ascii: "="):
        actionText = text.from(pair.value.lower, to: text.upper)
      case "in_port":
        result.inPort = try names.port(pair.value, for: "in_port")
        hasPort = true
      case "packet":
        result.data = try pair.value.hexBytes("packet")
        hasPacket = true
      default:
        guard try match.take(pair) else {
          throw pair.key.error(
            "a packet-out has no \(pair.key.quoted)",
            remedy: "give in_port, packet, a field of the pipeline, and actions")
        }
      }
      if actionText != nil { break }
    }
    guard hasPort else {
      throw text.error("the packet has no in_port", remedy: "add in_port=PORT, as in_port=CONTROLLER")
    }
    guard hasPacket else { throw text.error("there is no packet", remedy: "add packet=HEX") }
    guard let actionText else { throw text.error("the packet-out has no actions", remedy: "add actions=…") }
    var notes: [String] = []
    result.metadata = try match.finish(notes: &notes)
    var actions = ActionParser(names: names)
    result.actions = try actions.actions(actionText, place: .bucketOrPacket)
    return result
  }
}
