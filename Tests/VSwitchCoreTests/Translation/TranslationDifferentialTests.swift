// Random rules and packets: what the translated program does is what the naive pipeline does, and what is cached for one
// packet is right for every other that is equal under the mask. A failure prints its seed; VSWITCH_SEED repeats it.

import Foundation
import ReferenceSwitch
import TestSupport
import Testing
import VSwitchCore

struct TranslationDifferentialTests {
  static let seeds = testSeeds(Int(ProcessInfo.processInfo.environment["VSWITCH_DIFFERENTIAL_SEEDS"] ?? "") ?? 120)
  static let chunks = stride(from: 0, to: seeds.count, by: 40).map { Array(seeds[$0..<min($0 + 40, seeds.count)]) }

  /// Bits of the key that some field has; the others are 0 in every packet.
  static let usedBits: FlowMask = {
    var mask = FlowMask()
    for field in Field.allCases { mask[field] = field.fullMask }
    return mask
  }()

  static func pipeline(_ random: inout SeededGenerator) -> ReferencePipeline {
    var pipeline = RandomPipeline.pipeline(using: &random)
    pipeline.connection = { packet, zone in
      var metadata = packet.metadata
      metadata[.ctState] = UInt128(packet.ethernetSource & 3)
      metadata[.ctZone] = UInt128(zone)
      metadata[.ctMark] = 1
      metadata[.ctProtocol] = packet.content.ipProtocol == 6 ? 6 : 0
      metadata[.ctIPv4Destination] = 0x0a00_0001
      metadata[.ctTransportDestination] = 81
      return metadata
    }
    return pipeline
  }

  @Test(arguments: chunks)
  func programsDoWhatTheNaivePipelineDoes(seeds: [UInt64]) throws {
    var compared = 0
    var faults = 0
    for seed in seeds {
      var random = SeededGenerator(seed: seed)
      let pipeline = Self.pipeline(&random)
      let runner = ProgramRunner(
        try LinearReader(pipeline), pipeline, resubmitLimit: ReferencePipeline.resubmitLimit)
      for step in 0..<60 {
        let packet = RandomPipeline.packet(using: &random)
        let inPort = UInt32.random(in: 1...4, using: &random)
        let effects = runner.receive(packet, inPort: inPort)
        let expected = try onLargeStack { pipeline.receive(packet, inPort: inPort) }
        guard let effects, let expected else {
          faults += 1
          continue
        }
        compared += 1
        guard effects == expected else {
          Issue.record(
            """
            seed \(seed) step \(step): port \(inPort) got \(packet)
            program: \(effects)
            naive: \(expected)
            \(Self.text(pipeline))
            """)
          return
        }
      }
    }
    // Limits are met now and then, no more: else nothing would have been compared.
    #expect(faults * 4 < compared, "\(faults) faults, \(compared) compared")
  }

  /// The same with the switch's own tables: of the random rules those that it accepts.
  @Test(arguments: chunks)
  func programsOfTheRealTablesDoWhatTheNaivePipelineDoes(seeds: [UInt64]) throws {
    var compared = 0
    var ruleCount = 0
    for seed in seeds {
      var random = SeededGenerator(seed: seed &+ 0x7ab1e)
      var pipeline = Self.pipeline(&random)
      pipeline.missBehaviour = [:]
      let tables = RealTables(&pipeline)
      // The reader is a handle: it keeps nothing alive.
      defer { withExtendedLifetime(tables) {} }
      ruleCount += pipeline.rules.count
      let runner = ProgramRunner(
        tables.pipeline, pipeline, version: tables.tables.reader.version,
        resubmitLimit: ReferencePipeline.resubmitLimit)
      for step in 0..<60 {
        let packet = RandomPipeline.packet(using: &random)
        let inPort = UInt32.random(in: 1...4, using: &random)
        let effects = runner.receive(packet, inPort: inPort)
        let naive = pipeline
        let expected = try onLargeStack { naive.receive(packet, inPort: inPort) }
        guard let effects, let expected else { continue }
        compared += 1
        guard effects == expected else {
          Issue.record(
            """
            seed \(seed) step \(step): port \(inPort) got \(packet)
            program: \(effects)
            naive: \(expected)
            \(Self.text(pipeline))
            """)
          return
        }
      }
    }
    #expect(compared > 20 * seeds.count)
    #expect(ruleCount > 4 * seeds.count)
  }

  @Test(arguments: chunks)
  func whatIsCachedForOnePacketIsRightForAllUnderItsMask(seeds: [UInt64]) throws {
    var shared = 0
    for seed in seeds {
      var random = SeededGenerator(seed: seed &+ 0x53)
      let pipeline = Self.pipeline(&random)
      let runner = ProgramRunner(
        try LinearReader(pipeline), pipeline, resubmitLimit: ReferencePipeline.resubmitLimit)
      for step in 0..<40 {
        var key = RandomPipeline.packet(using: &random).key
        key.inPort = UInt32.random(in: 1...4, using: &random)
        let first = runner.translate(key)
        for round in 0..<12 {
          var other = round < 6 ? RandomPipeline.packet(using: &random).key : key
          other.inPort = key.inPort
          for word in 0..<FlowKey.wordCount where word < 15 || word == 16 || word == 17 || word >= 26 && word < 36 {
            let mask = first.result.mask.words[word]
            if round >= 6 { other.words[word] ^= random.next() & random.next() & Self.usedBits.words[word] }
            other.words[word] = other.words[word] & ~mask | key.words[word] & mask
          }
          let second = runner.translate(other)
          shared += 1
          guard first.steps == second.steps, first.hits == second.hits, first.result.drop == second.result.drop,
            first.result.dependencies == second.result.dependencies
          else {
            Issue.record(
              """
              seed \(seed) step \(step)
              first: \(key.words.text)
              other: \(other.words.text)
              mask:  \(first.result.mask.words.text)
              first: \(first.steps)
              other: \(second.steps)
              \(Self.text(pipeline))
              """)
            return
          }
        }
      }
    }
    #expect(shared > 0)
  }

  static func text(_ pipeline: ReferencePipeline) -> String {
    let rules = pipeline.rules.map { rule in
      let fields = Field.allCases.compactMap { field in
        rule.match.value(field).map { "\(field.name)=\(String($0.value, radix: 16))/\(String($0.mask, radix: 16))" }
      }
      return "table \(rule.table) priority \(rule.priority) \(fields.joined(separator: ",")): \(rule.instructions)"
    }
    return (rules + pipeline.groups.values.map { "\($0)" } + pipeline.ports.map { "\($0)" }).joined(separator: "\n")
  }
}

extension InlineArray where Element == UInt64 {
  var text: String { indices.map { self[$0] == 0 ? "." : String(self[$0], radix: 16) }.joined(separator: " ") }
}
