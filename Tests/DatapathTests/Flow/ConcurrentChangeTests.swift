import TestSupport
import Testing
import VSwitchCore

@testable import Datapath

/// Several connections change the same tables at the same time.
@Suite struct ConcurrentChangeTests {
  private static func rule(_ number: Int, command: FlowMod.Command = .add) -> TableChange {
    var mod = FlowMod()
    mod.command = command
    mod.table = 3
    mod.match.set(.metadata, UInt128(number))
    if command == .add { mod.instructions = Instructions(apply: [.output(.inPort, maximumByteCount: 0)]) }
    return .flow(mod)
  }

  private static var refused: TableChange {
    var mod = FlowMod()
    mod.table = 3
    mod.instructions = Instructions(apply: [.group(99)])
    return .flow(mod)
  }

  @Test func changesAtOnceAreMadeWholeOrLeftToTheOtherWay() async throws {
    let directory = try TemporaryDirectory()
    var options = DatapathOptions()
    options.runDirectory = directory.path
    let datapath = try Datapath(options)
    defer { datapath.shutdown() }
    var bridge = BridgeConfig(name: "br0")
    bridge.isSecure = true
    bridge.ports = [PortConfig(name: "a", interface: InterfaceConfig(name: "a", kind: .vhostUser))]
    var config = SwitchConfig()
    config.bridges = [bridge]
    for state in datapath.apply(config) { #expect(state.error == nil) }
    _ = try datapath.changeFlows(bridge: "br0", [Self.rule(1_000_000), Self.rule(1_000_001)])

    let perTask = 400
    let atOnce = await withTaskGroup(of: (made: Int, wrong: Int).self) { group in
      for task in 0..<4 {
        group.addTask {
          var made = 0
          var wrong = 0
          for step in 0..<perTask {
            let changes = [Self.rule(task * 10_000 + step), Self.refused, Self.rule(task * 10_000 + 5000 + step)]
            if let refused = datapath.changeFlowsAtOnce(bridge: "br0", changes) {
              made += 1
              if refused.map(\.index) != [1] { wrong += 1 }
            } else if datapath.changeFlowsEach(bridge: "br0", changes)?.refused.map(\.index) != [1] {
              wrong += 1
            }
          }
          return (made, wrong)
        }
      }
      // And somebody who holds the tables for longer.
      group.addTask {
        for _ in 0..<200 {
          _ = datapath.rules(bridge: "br0", RuleFilter())
          _ = try? datapath.changeFlows(
            bridge: "br0", [Self.rule(2_000_000), Self.rule(2_000_000, command: .deleteStrict)])
        }
        return (0, 0)
      }
      return await group.reduce((made: 0, wrong: 0)) { ($0.made + $1.made, $0.wrong + $1.wrong) }
    }
    #expect(atOnce.wrong == 0)
    #expect(atOnce.made > 0)
    var expected: Set<UInt128> = [1_000_000, 1_000_001]
    for task in 0..<4 {
      for step in 0..<perTask {
        expected.insert(UInt128(task * 10_000 + step))
        expected.insert(UInt128(task * 10_000 + 5000 + step))
      }
    }
    let rules = try #require(datapath.rules(bridge: "br0", RuleFilter()))
    #expect(rules.count == expected.count)
    let found = Set(rules.map { rule in rule.match.key[.metadata] })
    #expect(found == expected)
    // Another bridge, and changes of many rules, are not done at once.
    #expect(datapath.changeFlowsAtOnce(bridge: "br9", [Self.rule(1)]) == nil)
    #expect(datapath.changeFlowsAtOnce(bridge: "br0", [Self.rule(1, command: .delete)]) == nil)
  }
}
