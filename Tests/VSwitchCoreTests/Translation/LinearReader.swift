// The tables of a reference pipeline for the real translation: linear, and with masks of just what was compared.

import ReferenceSwitch
import VSwitchCore

/// Thread: one test's. Memory: frees the code that it compiled.
final class LinearReader: PipelineReader {
  struct Compiled {
    let rule: ReferencePipelineRule
    let code: RuleCode
  }
  let pipeline: ReferencePipeline
  private var tables: [UInt8: [Compiled]] = [:]
  private var buckets: [UInt32: [RuleCode]] = [:]
  var fragmentHandling = FragmentHandling.normal

  init(_ pipeline: ReferencePipeline) throws {
    self.pipeline = pipeline
    for rule in pipeline.rules {
      tables[rule.table, default: []].append(Compiled(rule: rule, code: try RuleCode(rule.instructions)))
    }
    for table in tables.keys { tables[table]?.sort { $0.rule.priority > $1.rule.priority } }
    for group in pipeline.groups.values {
      buckets[group.id] = try group.buckets.map { try RuleCode(bucket: $0.actions) }
    }
  }

  deinit {
    for table in tables.values { for rule in table { rule.code.deallocate() } }
    for codes in buckets.values { for code in codes { code.deallocate() } }
  }

  func rule(table: UInt8, key: borrowing FlowKey, version: UInt64, mask: inout FlowMask) -> PipelineRule? {
    for (index, compiled) in (tables[table] ?? []).enumerated() {
      // Up to the first word that differs: what was compared.
      var matches = true
      for word in 0..<FlowKey.wordCount where matches {
        mask.words[word] |= compiled.rule.match.mask.words[word]
        matches = (key.words[word] ^ compiled.rule.match.key.words[word]) & compiled.rule.match.mask.words[word] == 0
      }
      guard matches else { continue }
      return PipelineRule(
        code: compiled.code, slot: UInt32(table) << 8 | UInt32(index), cookie: compiled.rule.cookie,
        priority: compiled.rule.priority, table: table, isTableMiss: compiled.rule.isTableMiss)
    }
    return nil
  }

  func group(_ id: UInt32, version: UInt64) -> PipelineGroup? {
    pipeline.groups[id].map {
      PipelineGroup(
        id: id, kind: $0.kind, bucketCount: $0.buckets.count, slot: 1 << 16 | id, address: UInt(id))
    }
  }

  func bucket(_ index: Int, of group: PipelineGroup) -> PipelineBucket? {
    let description = pipeline.groups[group.id]
    guard let codes = buckets[group.id], let description, codes.indices.contains(index) else { return nil }
    return PipelineBucket(
      code: codes[index], slot: 2 << 16 | group.id << 8 | UInt32(index),
      isAlive: pipeline.isAlive(description.buckets[index]))
  }

  func port(_ number: PortNumber) -> PipelinePort { pipeline.ports[number.rawValue] ?? [] }
  func mayLearn(
    table: UInt8, cookie: UInt64, limit: UInt32, priority: UInt16, match: borrowing FlowKey, mask: borrowing FlowMask,
    version: UInt64
  ) -> Bool {
    pipeline.mayLearn(
      table: table, cookie: cookie, limit: limit, Match(key: copy match, mask: copy mask), priority: priority)
  }

  func missBehaviour(table: UInt8) -> MissBehaviour { pipeline.missBehaviour[table] ?? .drop }

  /// The match of the rule that is counted in a slot.
  func match(_ slot: UInt32) -> Match? {
    let rules = tables[UInt8(truncatingIfNeeded: slot >> 8)] ?? []
    return rules.indices.contains(Int(slot & 0xff)) ? rules[Int(slot & 0xff)].rule.match : nil
  }
}
