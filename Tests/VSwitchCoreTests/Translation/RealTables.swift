// The switch's own tables, filled with what they accept of a random pipeline.

import ReferenceSwitch
import VSwitchCore

/// Thread: one test's. Memory: owns the flags of the ports.
@safe final class RealTables {
  let tables = FlowTables(workerCount: 1, seed: 1)
  private let ports: UnsafeMutablePointer<PipelinePort>
  private static let portLimit: UInt32 = 16

  /// - Parameter pipeline: loses the groups and rules that the tables refuse.
  init(_ pipeline: inout ReferencePipeline) {
    unsafe ports = .allocate(capacity: Int(Self.portLimit))
    for number in 0..<Self.portLimit { unsafe (ports + Int(number)).initialize(to: pipeline.ports[number] ?? []) }
    let live = pipeline.ports.filter { $0.value.contains(.isLive) }.map { PortNumber($0.key) }
    tables.setLivePorts(Set(live))
    let tables = tables
    for group in pipeline.groups.values.sorted(by: { $0.id < $1.id })
    where (try? tables.apply(GroupMod(.add, group), now: 0)) == nil {
      pipeline.groups[group.id] = nil
    }
    pipeline.rules.removeAll { rule in
      var mod = FlowMod()
      mod.table = rule.table
      mod.priority = rule.priority
      mod.match = rule.match
      mod.cookie = rule.cookie
      mod.instructions = rule.instructions
      return (try? tables.apply(mod, now: 0)) == nil
    }
  }

  deinit { unsafe ports.deallocate() }

  var pipeline: BridgePipeline {
    unsafe BridgePipeline(
      tables: tables.reader, ports: ports, portLimit: Self.portLimit, localPort: [], fragmentHandling: .normal,
      missBehaviour: .drop)
  }
}
