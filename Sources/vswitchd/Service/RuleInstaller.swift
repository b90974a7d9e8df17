// Keeps the rules of bridges that the switch made itself as they are wanted: only what differs from the last time is changed, as
// one bundle. An actor of one service, which asks one thing at a time; the datapath is called on a thread of its own.

import Datapath
import VSwitchCore

actor RuleInstaller {
  private let plane: any RouterPlane
  private let blocking = BlockingCalls()
  /// Rules that the datapath has, by bridge.
  private var applied: [String: BridgeRules] = [:]

  init(plane: any RouterPlane) { self.plane = plane }

  /// Forgets all bridges but these: the others' rules went with them.
  func keep(bridges: Set<String>) { applied = applied.filter { bridges.contains($0.key) } }

  /// Brings a bridge to its rules.
  /// - Returns: why it did not take them; then it has those of before.
  func install(_ rules: BridgeRules, on bridge: String) async -> FlowChangeError? {
    let changes = TableChangeList(rules.changes(from: applied[bridge] ?? BridgeRules()))
    if changes.isEmpty { return nil }
    let error = await blocking { [plane] () -> FlowChangeError? in
      do throws(FlowChangeError) {
        _ = try plane.changeFlows(bridge: bridge, changes)
        return nil
      } catch {
        return error
      }
    }
    if error == nil { applied[bridge] = rules }
    return error
  }
}
