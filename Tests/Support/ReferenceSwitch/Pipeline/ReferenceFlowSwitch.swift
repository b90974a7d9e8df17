// A bridge with flow tables, byte by byte and naive: the effects of `ReferencePipeline` as frames that leave, NORMAL by
// `ReferenceSwitch`. Where a select group may choose, every choice is an outcome. Thread: a value; any. Time is passed in.

import VSwitchCore

package struct ReferenceFlowSwitch: Sendable {
  /// Everything that a packet brings about, by one choice of its groups' buckets.
  package struct Outcome: Sendable {
    /// Frames by the name of the port that they leave by, in order.
    package var outputs: [String: [[UInt8]]] = [:]
    package var controllers: [PipelineEffect.ControllerMessage] = []
    var learned: [PipelineEffect.LearnedRule] = []
    var normal: ReferenceSwitch
  }
  /// More ways than these are not followed.
  package static let outcomeLimit = 64

  package var pipeline: ReferencePipeline
  private var normal: ReferenceSwitch
  private let bridge: String
  /// Names of the ports by number.
  private let ports: [UInt32: String]

  /// - Parameter config: has one bridge.
  package init(_ config: SwitchConfig, bridge: String, ports: [UInt32: String], _ pipeline: ReferencePipeline) {
    self.pipeline = pipeline
    self.bridge = bridge
    self.ports = ports
    normal = ReferenceSwitch(config)
  }

  /// What may become of a frame; nil if it passes a limit, or may become too much.
  package func outcomes(_ frame: [UInt8], inPort: UInt32, now: Int) -> [Outcome]? {
    let none = Outcome(normal: normal)
    guard let packet = PipelinePacket(frame: frame) else { return [none] }
    guard let effects = pipeline.receive(packet, inPort: inPort) else { return nil }
    return run(effects, [none], now)
  }

  /// Goes on with what was found to have happened.
  /// - Returns: the rules that were learned.
  package mutating func settle(_ outcome: Outcome) -> [ReferencePipelineRule] {
    normal = outcome.normal
    var rules: [ReferencePipelineRule] = []
    for learned in outcome.learned where learned.outputs.allSatisfy(Self.isPort) {
      guard pipeline.mayLearn(learned) else { continue }
      let loads = learned.loads.map { Action.setField($0.field, value: $0.value, mask: $0.mask) }
      let outputs = learned.outputs.map { Action.output(PortNumber($0), maximumByteCount: 0xffff) }
      let rule = ReferencePipelineRule(
        table: learned.table, priority: learned.priority, match: learned.wholeMatch, cookie: 0,
        instructions: Instructions(apply: loads + outputs))
      replace(rule)
      rules.append(rule)
    }
    return rules
  }

  /// A rule can send there.
  private static func isPort(_ number: UInt32) -> Bool {
    number <= PortNumber.maximum || number > PortNumber.unset.rawValue && number != PortNumber.any.rawValue
  }

  /// Adds a rule in the place of the one that has its match and priority.
  package mutating func replace(_ rule: ReferencePipelineRule) {
    pipeline.rules.removeAll { $0.table == rule.table && $0.priority == rule.priority && $0.match == rule.match }
    pipeline.rules.append(rule)
  }

  // MARK: effects

  private func run(_ effects: [PipelineEffect], _ outcomes: [Outcome], _ now: Int) -> [Outcome]? {
    var outcomes = outcomes
    for effect in effects {
      if case .select(_, let buckets) = effect {
        guard !buckets.isEmpty else { continue }
        var next: [Outcome] = []
        for bucket in buckets {
          guard let some = run(bucket, outcomes, now) else { return nil }
          next += some
        }
        outcomes = next
      } else {
        for index in outcomes.indices { run(effect, &outcomes[index], now) }
      }
      guard outcomes.count <= Self.outcomeLimit else { return nil }
    }
    return outcomes
  }

  private func run(_ effect: PipelineEffect, _ outcome: inout Outcome, _ now: Int) {
    switch effect {
    case .output(let number, let packet, let cut, _):
      if let name = ports[number] { outcome.outputs[name, default: []].append(Self.cut(packet.frame, cut)) }
    case .flood(let inPort, let packet, let cut, _), .all(let inPort, let packet, let cut, _):
      for (number, name) in ports where number != inPort && forwards(number) {
        outcome.outputs[name, default: []].append(Self.cut(packet.frame, cut))
      }
    case .normal(let inPort, let packet, let cut, _):
      guard let entry = ports[inPort] else { return }
      let result = outcome.normal.receive(frame: Self.cut(packet.frame, cut), bridge: bridge, port: entry, now: now)
      for output in result.outputs {
        guard let number = ports.first(where: { $0.value == output.port })?.key, forwards(number) else { continue }
        outcome.outputs[output.port, default: []].append(output.frame)
      }
    case .controller(let message): outcome.controllers.append(message)
    case .learn(let rule): outcome.learned.append(rule)
    case .meter, .sample, .select, .finTimeout, .conntrack, .conntrackClear: break
    }
  }

  private func forwards(_ number: UInt32) -> Bool {
    pipeline.ports[number]?.isDisjoint(with: [.noForward, .isDown]) == true
  }

  /// To no less than an Ethernet header.
  private static func cut(_ frame: [UInt8], _ length: UInt64) -> [UInt8] {
    length == 0 ? frame : Array(frame.prefix(max(Int(length), 14)))
  }
}
