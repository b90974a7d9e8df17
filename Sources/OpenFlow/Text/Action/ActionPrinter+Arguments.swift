// Prints the actions that have lists of arguments.

import VSwitchCore

extension ActionPrinter {
  static func name<Value: Equatable>(_ value: Value, _ values: [(String, Value)]) -> String {
    values.first { $0.1 == value }?.0 ?? "?"
  }

  func text(_ controller: ControllerAction) -> String {
    var parts: [String] = []
    if controller.reason != .action {
      parts.append("reason=" + ActionPrinter.name(controller.reason, ActionParser.reasonNames))
    }
    if controller.maximumByteCount != 0xffff { parts.append("max_len=\(controller.maximumByteCount)") }
    if controller.controllerID != 0 { parts.append("id=\(controller.controllerID)") }
    if !controller.userData.isEmpty {
      let bytes = controller.userData.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }
      parts.append("userdata=" + bytes.joined(separator: "."))
    }
    if controller.pauses { parts.append("pause") }
    if let meter = controller.meterID { parts.append("meter_id=\(meter)") }
    return "controller(" + parts.joined(separator: ",") + ")"
  }

  func text(_ bundle: BundleAction) -> String {
    let fields = ActionPrinter.name(bundle.fields, ActionParser.hashFieldNames)
    let algorithm = bundle.algorithm == .activeBackup ? "active_backup" : "hrw"
    let destination = bundle.destination.map { SubfieldText.text($0) + "," } ?? ""
    let members = bundle.members.map(names.text(port:)).joined(separator: ",")
    return (bundle.destination == nil ? "bundle(" : "bundle_load(")
      + "\(fields),\(bundle.basis),\(algorithm),ofport,\(destination)members:\(members))"
  }

  func text(_ multipath: MultipathAction) -> String {
    let fields = ActionPrinter.name(multipath.fields, ActionParser.hashFieldNames)
    let algorithm = ActionPrinter.name(multipath.algorithm, ActionParser.multipathNames)
    return "multipath(\(fields),\(multipath.basis),\(algorithm),\(UInt32(multipath.maxLink) + 1),\(multipath.argument),"
      + SubfieldText.text(multipath.destination) + ")"
  }

  func text(_ sample: SampleAction) -> String {
    var text =
      "sample(probability=\(sample.probability),collector_set_id=\(sample.collectorSetID),"
      + "obs_domain_id=\(sample.observationDomainID),obs_point_id=\(sample.observationPointID)"
    if let port = sample.samplingPort { text += ",sampling_port=" + names.text(port: port) }
    if sample.direction == 1 { text += ",ingress" }
    if sample.direction == 2 { text += ",egress" }
    return text + ")"
  }

  func text(_ conntrack: ConntrackAction) -> String {
    var parts: [String] = []
    if conntrack.commits { parts.append("commit") }
    if conntrack.forces { parts.append("force") }
    if let table = conntrack.recirculationTable { parts.append("table=" + names.text(table: table)) }
    switch conntrack.zone {
    case .immediate(let zone): if zone != 0 { parts.append("zone=\(zone)") }
    case .field(let part): parts.append("zone=" + SubfieldText.text(part))
    }
    if let translation = conntrack.translation { parts.append(text(translation)) }
    if !conntrack.actions.isEmpty {
      var printer = self
      parts.append("exec(" + printer.list(conntrack.actions).joined(separator: ",") + ")")
    }
    switch conntrack.helperPort {
    case 0: break
    case 21: parts.append("alg=ftp")
    case 69: parts.append("alg=tftp")
    case let port: parts.append("alg=\(port)")
    }
    return "ct(" + parts.joined(separator: ",") + ")"
  }

  private func text(_ nat: NetworkTranslation) -> String {
    guard let kind = nat.kind else { return "nat" }
    var range = ""
    if let addresses = nat.addresses {
      func address(_ value: UInt128) -> String {
        guard nat.isIPv6 else { return AddressText.text(ipv4: UInt32(truncatingIfNeeded: value)) }
        let text = AddressText.text(ipv6: value)
        return nat.ports == nil ? text : "[\(text)]"
      }
      range = "=" + address(addresses.lowerBound)
      if addresses.upperBound != addresses.lowerBound { range += "-" + address(addresses.upperBound) }
      if let ports = nat.ports {
        range += ":\(ports.lowerBound)"
        if ports.upperBound != ports.lowerBound { range += "-\(ports.upperBound)" }
      }
    }
    var parts = [(kind == .source ? "src" : "dst") + range]
    if nat.persistent { parts.append("persistent") }
    if nat.hashes { parts.append("hash") }
    if nat.randomizes { parts.append("random") }
    return "nat(" + parts.joined(separator: ",") + ")"
  }
}
