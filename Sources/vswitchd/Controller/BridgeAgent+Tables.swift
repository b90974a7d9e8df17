// Settings of a bridge's flow tables, who is told when one is nearly full, and what is done with fragments
// (OpenFlow 1.5 §7.3.4.2, §7.4.5, §7.3.2).

import Datapath
import OpenFlow
import Synchronization
import VSwitchCore

extension BridgeAgent {
  /// Rules that a table without a limit of its own is said to have room for, as Open vSwitch says.
  static var toldRuleLimit: Int { 1_000_000 }

  /// Changes one table's settings, or those of all.
  func modify(_ change: TableDescription) async throws(ErrorCode) {
    if change.table == 254 { throw .tableModFailedPermission }
    let tables = change.table == FlowMod.allTables ? Array(0..<UInt8(FlowTables.tableCount)) : [change.table]
    for table in tables {
      var settings = tableSettings[table] ?? TableDescription(table: table)
      settings.evicts = change.evicts
      settings.evictionFlags = change.evictionFlags ?? settings.evictionFlags
      settings.sendsVacancyEvents = change.sendsVacancyEvents
      settings.vacancy = change.vacancy ?? settings.vacancy
      tableSettings[table] = settings
      vacancyIsLow[table] = nil
    }
    watchesVacancy.store(tableSettings.values.contains(where: \.sendsVacancyEvents), ordering: .releasing)
    let evicts = change.evicts
    await blocking { [plane, name] in
      for table in tables { plane.setEviction(bridge: name, table: table, evicts) }
    }
    if change.sendsVacancyEvents { await tellVacancies() }
  }

  func tableDescriptions() async throws(ErrorCode) -> [TableDescription] {
    let counts = try await ask { plane, name in plane.tableStatistics(bridge: name) }
    return (0..<UInt8(FlowTables.tableCount)).map { table in
      var settings = tableSettings[table] ?? TableDescription(table: table)
      settings.vacancy?.currentPercent = BridgeAgent.freePercent(counts, table)
      return settings
    }
  }

  private static func freePercent(_ counts: [TableStatistics], _ table: UInt8) -> UInt8 {
    guard Int(table) < counts.count else { return 100 }
    // Without a limit of its own a table may take all that the bridge has room for.
    let limit = UInt64(max(counts[Int(table)].ruleLimit ?? FlowTables.defaultRuleLimit, 1))
    return UInt8((limit - min(counts[Int(table)].activeCount, limit)) * 100 / limit)
  }

  /// Tells sessions of tables whose room has gone past one of their limits.
  func tellVacancies() async {
    guard let counts = try? await ask({ plane, name in plane.tableStatistics(bridge: name) }) else { return }
    for (table, settings) in tableSettings where settings.sendsVacancyEvents {
      guard var vacancy = settings.vacancy else { continue }
      vacancy.currentPercent = BridgeAgent.freePercent(counts, table)
      let isLow = vacancyIsLow[table] ?? false
      let reason: TableStatus.Reason
      if !isLow, vacancy.currentPercent < vacancy.downPercent {
        reason = .vacancyDown
      } else if isLow, vacancy.currentPercent > vacancy.upPercent {
        reason = .vacancyUp
      } else {
        continue
      }
      vacancyIsLow[table] = !isLow
      var description = settings
      description.vacancy = vacancy
      for session in sessions.values { await session.tell(TableStatus(reason, description)) }
    }
  }

  func setFragmentHandling(_ handling: SwitchConfiguration.FragmentHandling) async {
    fragmentHandling = handling
    let pipeline: FragmentHandling =
      switch handling {
      case .drop: .drop
      case .nxMatch: .match
      case .normal, .reassemble: .normal
      }
    await blocking { [plane, name] in plane.setFragmentHandling(bridge: name, pipeline) }
  }
}
