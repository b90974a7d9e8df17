// Ports and queues as dump-ports, dump-ports-desc, show and queue-stats print them.

import VSwitchCore

package struct PortReport {
  var names: NumberNames
  var version: OpenFlowVersion

  package init(names: NumberNames = NumberNames(), version: OpenFlowVersion) {
    self.names = names
    self.version = version
  }

  private func counter(_ value: UInt64) -> String { value == .max ? "?" : "\(value)" }

  /// Two lines, from 1.3 on three, without the newline of the last.
  package func text(_ port: PortStatistics) -> String {
    var text = "  port " + (port.port.rawValue < 10 ? " " : "") + names.text(port: port.port)
    text += ": rx pkts=\(counter(port.rxPackets)), bytes=\(counter(port.rxBytes)), drop=\(counter(port.rxDropped)), "
    text += "errs=\(counter(port.rxErrors)), frame=\(counter(port.rxFrameErrors)), over=\(counter(port.rxOverErrors)), "
    text += "crc=\(counter(port.rxCRCErrors))\n           "
    text += "tx pkts=\(counter(port.txPackets)), bytes=\(counter(port.txBytes)), drop=\(counter(port.txDropped)), "
    text += "errs=\(counter(port.txErrors)), coll=\(counter(port.collisions))"
    if version > .v10 { text += "\n           duration=" + FlowPrinter.text(port.duration) }
    return text
  }

  /// Lines for a port's description, the first with one space before it.
  package func text(_ port: PortDescription) -> String {
    var lines = [" " + NumberNames().text(port: port.number) + "(\(port.name)): addr:\(port.hardwareAddress)"]
    lines.append("     config:     " + words(port.configuration.rawValue, PortReport.configurationNames))
    lines.append("     state:      " + words(port.state.rawValue, PortReport.stateNames))
    let features: [(String, PortDescription.LinkFeatures)] = [
      ("current:    ", port.current), ("advertised: ", port.advertised), ("supported:  ", port.supported),
      ("peer:       ", port.peer),
    ]
    for (name, bits) in features where !bits.isEmpty {
      lines.append("     " + name + words(bits.rawValue, PortReport.linkNames))
    }
    let current = port.currentKilobitsPerSecond > 0 ? port.currentKilobitsPerSecond : PortReport.speed(port.current)
    let maximum = port.maximumKilobitsPerSecond > 0 ? port.maximumKilobitsPerSecond : PortReport.speed(port.supported)
    lines.append("     speed: \(current / 1000) Mbps now, \(maximum / 1000) Mbps max")
    return lines.joined(separator: "\n")
  }

  package func text(_ queue: QueueStatistics) -> String {
    "  port " + names.text(port: queue.port) + " queue \(queue.queue): bytes=\(counter(queue.txBytes)), "
      + "pkts=\(counter(queue.txPackets)), errors=\(counter(queue.txErrors)), duration="
      + (version > .v10 && queue.duration.seconds != .max ? FlowPrinter.text(queue.duration) : "?")
  }

  /// The lines of queue-get-config, queues by port.
  package func text(_ queues: [QueueDescription]) -> String {
    func rate(_ name: String, _ rate: UInt16?) -> String {
      guard let rate, rate != .max else { return "" }
      return rate <= 1000 ? " \(name):\(rate / 10).\(rate % 10)%" : " \(name):(disabled)"
    }
    var text = ""
    var port: PortNumber?
    for queue in queues {
      if queue.port != port { text += "port=" + names.text(port: queue.port) + "\n" }
      port = queue.port
      text += "queue \(queue.queue):" + rate("min_rate", queue.minimumRate) + rate("max_rate", queue.maximumRate) + "\n"
    }
    return text
  }

  private func words(_ bits: UInt32, _ names: [String]) -> String {
    let set = PortReport.set(bits, names)
    return set.isEmpty ? "0" : set.joined(separator: " ")
  }

  private static func set(_ bits: UInt32, _ names: [String]) -> [String] {
    names.indices.filter { bits & 1 << UInt32($0) != 0 && !names[$0].isEmpty }.map { names[$0] }
  }

  package static func words(_ bits: PortDescription.Configuration) -> [String] {
    set(bits.rawValue, configurationNames)
  }
  package static func words(_ bits: PortDescription.State) -> [String] { set(bits.rawValue, stateNames) }

  static let configurationNames = [
    "PORT_DOWN", "NO_STP", "NO_RECV", "NO_RECV_STP", "NO_FLOOD", "NO_FWD", "NO_PACKET_IN",
  ]
  static let stateNames = ["LINK_DOWN", "BLOCKED", "LIVE"]
  static let linkNames = [
    "10MB-HD", "10MB-FD", "100MB-HD", "100MB-FD", "1GB-HD", "1GB-FD", "10GB-FD", "40GB-FD", "100GB-FD", "1TB-FD",
    "OTHER", "COPPER", "FIBER", "AUTO_NEG", "AUTO_PAUSE", "AUTO_PAUSE_ASYM",
  ]

  /// Kilobits a second of the fastest link that features name.
  static func speed(_ features: PortDescription.LinkFeatures) -> UInt32 {
    if features.contains(.fullDuplex1Tb) { return 1_000_000_000 }
    if features.contains(.fullDuplex100Gb) { return 100_000_000 }
    if features.contains(.fullDuplex40Gb) { return 40_000_000 }
    if features.contains(.fullDuplex10Gb) { return 10_000_000 }
    if !features.isDisjoint(with: [.fullDuplex1Gb, .halfDuplex1Gb]) { return 1_000_000 }
    if !features.isDisjoint(with: [.fullDuplex100Mb, .halfDuplex100Mb]) { return 100_000 }
    if !features.isDisjoint(with: [.fullDuplex10Mb, .halfDuplex10Mb]) { return 10_000 }
    return 0
  }
}
