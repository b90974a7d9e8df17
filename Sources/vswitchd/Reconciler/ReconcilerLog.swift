// What the log says of ports: each outcome once, and its end too. A value; looks only at the ports that may have changed.

import Datapath
import Logging
import VSwitchCore

/// What has been logged of ports, so that it is not said again.
struct ReconcilerLog {
  /// What the log has said of a port.
  private struct Outcome: Equatable {
    var number: UInt16?
    var error: ConfigError?
  }

  private let logger: Logger
  private var outcomes: [QualifiedPort: Outcome] = [:]
  private var warnings: Set<String> = []
  /// Rules that guests of vhost-user ports broke.
  private var faults: [QualifiedPort: [String: String]] = [:]

  init(_ logger: Logger) { self.logger = logger }

  /// Tells what is new.
  /// - Parameter scope: the only ports of which there may be anything new; nil for any.
  mutating func tell(_ desired: DesiredState, _ states: PortStates, scope: Set<QualifiedPort>?) {
    let places = (scope ?? allPlaces(desired, states)).sorted()
    var removed: [QualifiedPort] = []
    for place in places {
      let outcome = Self.outcome(desired[place], states.all[place])
      let before = outcomes[place]
      if outcome == before { continue }
      outcomes[place] = outcome
      if let outcome { tell(outcome, place, wasBroken: before?.error != nil) } else { removed.append(place) }
    }
    for place in removed {
      logger.info("port removed", metadata: ["bridge": "\(place.bridge)", "port": "\(place.port)"])
    }
    for place in places { tellFaults(place, states.all[place]) }
    let warnings = Set(desired.warnings)
    for warning in warnings.subtracting(self.warnings).sorted() { logger.warning("\(warning)") }
    self.warnings = warnings
  }

  private func allPlaces(_ desired: DesiredState, _ states: PortStates) -> Set<QualifiedPort> {
    Set(states.all.keys).union(outcomes.keys).union(desired.portsByRow.values)
  }

  private static func outcome(_ port: DesiredState.Port?, _ state: PortState?) -> Outcome? {
    if let error = port?.interfaces.last(where: { $0.error != nil })?.error {
      return Outcome(number: nil, error: error)
    }
    return state.map { Outcome(number: $0.portNumber, error: $0.error) }
  }

  private func tell(_ outcome: Outcome, _ place: QualifiedPort, wasBroken: Bool) {
    var metadata: Logger.Metadata = ["bridge": "\(place.bridge)", "port": "\(place.port)"]
    if let error = outcome.error {
      metadata["reason"] = "\(error)"
      logger.warning("port does not work", metadata: metadata)
    } else {
      if let number = outcome.number { metadata["number"] = "\(number)" }
      logger.info(wasBroken ? "port works again" : "port works", metadata: metadata)
    }
  }

  /// Tells, once, which rule a guest broke.
  private mutating func tellFaults(_ place: QualifiedPort, _ state: PortState?) {
    let found = state?.status.filter { $0.key.hasSuffix("_fault") } ?? [:]
    for (key, rule) in found.sorted(by: { $0.key < $1.key }) where faults[place]?[key] != rule {
      logger.warning(
        "a guest broke a rule",
        metadata: ["bridge": "\(place.bridge)", "port": "\(place.port)", "what": "\(key)", "rule": "\(rule)"])
    }
    faults[place] = found.isEmpty ? nil : found
  }
}
