// Actions that send a packet somewhere: output, controller, enqueue, group, bundle.

import VSwitchCore

extension ActionParser {
  func output(to port: PortNumber, at slice: TextSlice, maximumByteCount: UInt16? = nil) throws(FlowTextError) -> Action
  {
    switch port {
    case .any, .unset:
      throw slice.error(
        "output to \(names.text(port: port)) leads nowhere", remedy: "give a port, or leave it out to drop")
    case .controller: .output(port, maximumByteCount: maximumByteCount ?? 0xffff)
    default: .output(port, maximumByteCount: 0)
    }
  }

  mutating func outputAction(_ key: String, _ pair: KeyValue) throws(FlowTextError) -> Action? {
    let value = pair.value
    switch key {
    case "output": return try output(pair)
    case "controller": return try controller(pair)
    case "enqueue":
      guard
        let (first, second) = value.split(
          at: pair.delimiter == UInt8(ascii: "(") ? UInt8(ascii: ",") : UInt8(ascii: ":"))
      else {
        throw pair.key.error(
          "enqueue needs a port and a queue", remedy: "write enqueue:PORT:QUEUE or enqueue(PORT,QUEUE)")
      }
      let port = try names.port(first.trimmed, for: "enqueue")
      guard port.isPhysical || port == .inPort else {
        throw first.error("enqueue can't go to \(names.text(port: port))", remedy: "give a port of this bridge")
      }
      return .enqueue(port, queue: try second.trimmed.number("queue"))
    case "group": return .group(try value.number("group", in: 0...GroupMod.anyGroup))
    case "bundle": return .bundle(try bundle(pair, loads: false))
    case "bundle_load": return .bundle(try bundle(pair, loads: true))
    default: return nil
    }
  }

  private func output(_ pair: KeyValue) throws(FlowTextError) -> Action {
    let value = pair.value
    if pair.delimiter == UInt8(ascii: "("), value.firstIndex(of: UInt8(ascii: "=")) != nil {
      return try truncatedOutput(value)
    }
    if let port = names.port(value) { return try output(to: port, at: value) }
    let name = value.firstIndex(of: UInt8(ascii: "[")).map { value.from(value.lower, to: $0) } ?? value
    guard !value.isEmpty, NamedField(name.string) != nil else {
      _ = try names.port(value, for: "output")
      throw value.error("output has no port", remedy: "give a port")
    }
    let part = try SubfieldText.parse(value)
    try requireReadable(part, at: value)
    return .outputField(part, maximumByteCount: 0xffff)
  }

  private func truncatedOutput(_ text: TextSlice) throws(FlowTextError) -> Action {
    var port: PortNumber?
    var portSlice = text
    var byteCount: UInt32?
    var reader = KeyValueReader(text)
    while let pair = try reader.next() {
      switch pair.key.string {
      case "port":
        port = try names.port(pair.value, for: "output")
        portSlice = pair.value
      case "max_len": byteCount = try pair.value.number("max_len", in: 14...UInt32.max)
      default: throw pair.key.error("output has no \(pair.key.quoted)", remedy: "write output(port=PORT,max_len=BYTES)")
      }
    }
    guard let port else { throw text.error("output has no port", remedy: "add port=PORT") }
    guard let byteCount else { return try output(to: port, at: portSlice) }
    guard port.rawValue < 0xff00 || port == .local || port == .inPort else {
      throw portSlice.error("output to \(names.text(port: port)) can't be cut", remedy: "leave max_len out")
    }
    return .outputTruncated(port, byteCount: byteCount)
  }

  static let reasonNames: [(String, ControllerAction.Reason)] = [
    ("no_match", .noMatch), ("action", .action), ("invalid_ttl", .invalidTTL), ("action_set", .actionSet),
    ("group", .group), ("packet_out", .packetOut),
  ]

  private func controller(_ pair: KeyValue) throws(FlowTextError) -> Action {
    guard pair.delimiter == UInt8(ascii: "(") else {
      let limit: UInt16 = pair.value.isEmpty ? 0xffff : try pair.value.number("max_len")
      return .output(.controller, maximumByteCount: limit)
    }
    var action = ControllerAction()
    var reader = KeyValueReader(pair.value)
    while let part = try reader.next() {
      switch part.key.string {
      case "max_len": action.maximumByteCount = try part.value.number("max_len")
      case "id": action.controllerID = try part.value.number("id of a controller")
      case "meter_id": action.meterID = try part.value.number("meter", in: 1...MeterMod.maximumMeter)
      case "userdata": action.userData = try part.value.hexBytes("userdata")
      case "pause": action.pauses = true
      case "reason":
        guard let found = ActionParser.reasonNames.first(where: { $0.0 == part.value.string }) else {
          throw part.value.error(
            "\(part.value.quoted) is no reason",
            remedy: "give one of " + ActionParser.reasonNames.map(\.0).joined(separator: ", "))
        }
        action.reason = found.1
      default:
        throw part.key.error(
          "controller has no \(part.key.quoted)", remedy: "give max_len, reason, id, userdata, pause or meter_id")
      }
    }
    var plain = ControllerAction()
    plain.maximumByteCount = action.maximumByteCount
    return action == plain ? .output(.controller, maximumByteCount: action.maximumByteCount) : .controller(action)
  }

  /// The parts of an argument list, with spaces around them taken away.
  static func arguments(_ text: TextSlice) -> [TextSlice] {
    var parts: [TextSlice] = []
    var rest = text
    while let (first, other) = rest.split(at: UInt8(ascii: ",")) {
      parts.append(first.trimmed)
      rest = other
    }
    return parts + [rest.trimmed]
  }

  static let hashFieldNames: [(String, HashFields)] = [
    ("eth_src", .ethernetSource), ("symmetric_l4", .symmetricL4), ("symmetric_l3l4", .symmetricL3L4),
    ("symmetric_l3l4+udp", .symmetricL3L4UDP), ("nw_src", .networkSource), ("nw_dst", .networkDestination),
    ("symmetric_l3", .symmetricL3),
  ]

  static func named<Value>(_ slice: TextSlice, _ values: [(String, Value)], _ what: String) throws(FlowTextError)
    -> Value
  {
    if let found = values.first(where: { $0.0 == slice.string }) { return found.1 }
    throw slice.error("\(slice.quoted) is no \(what)", remedy: "give " + values.map(\.0).joined(separator: ", "))
  }

  private func bundle(_ pair: KeyValue, loads: Bool) throws(FlowTextError) -> BundleAction {
    let name = pair.key.string
    let form =
      name
      + (loads
        ? "(FIELDS,BASIS,ALGORITHM,ofport,DESTINATION,members:PORT,…)"
        : "(FIELDS,BASIS,ALGORITHM,ofport,members:PORT,…)")
    let parts = ActionParser.arguments(pair.value)
    let memberIndex = loads ? 5 : 4
    guard pair.delimiter == UInt8(ascii: "("), parts.count > memberIndex else {
      throw pair.key.error("\(name) lacks arguments", remedy: "write \(form)")
    }
    let fields = try ActionParser.named(parts[0], ActionParser.hashFieldNames, "set of fields")
    let basis: UInt16 = try parts[1].number("basis")
    let algorithm: BundleAction.Algorithm = try ActionParser.named(
      parts[2], [("active_backup", .activeBackup), ("hrw", .highestRandomWeight)], "algorithm")
    guard parts[3].equals("ofport") else {
      throw parts[3].error("\(parts[3].quoted) is no kind of member", remedy: "give ofport")
    }
    var destination: Subfield?
    if loads {
      let part = try SubfieldText.parse(parts[4])
      try requireWritable(part, at: parts[4])
      destination = part
    }
    let first = parts[memberIndex]
    guard first.hasPrefix("members:") || first.hasPrefix("slaves:") else {
      throw first.error("\(first.quoted) does not begin the members", remedy: "write members:PORT,PORT,…")
    }
    let begin = (first.firstIndex(of: UInt8(ascii: ":")) ?? first.lower) + 1
    var members: [PortNumber] = []
    for slice in [first.from(begin, to: first.upper).trimmed] + parts[(memberIndex + 1)...] where !slice.isEmpty {
      members.append(try names.port(slice, for: name))
      if members.count > 2048 { throw slice.error("\(name) has too many members", remedy: "give at most 2048") }
    }
    return BundleAction(
      fields: fields, basis: basis, algorithm: algorithm, members: members, destination: destination)
  }
}
