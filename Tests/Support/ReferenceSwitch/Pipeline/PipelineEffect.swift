// What a pipeline does with a packet that can be seen from the outside, in the order in which it happens.

import VSwitchCore

package indirect enum PipelineEffect: Equatable, Sendable {
  case output(UInt32, PipelinePacket, cut: UInt64, queue: UInt32?)
  case normal(inPort: UInt32, PipelinePacket, cut: UInt64, queue: UInt32?)
  case flood(inPort: UInt32, PipelinePacket, cut: UInt64, queue: UInt32?)
  case all(inPort: UInt32, PipelinePacket, cut: UInt64, queue: UInt32?)
  case controller(ControllerMessage)
  case meter(UInt32)
  case sample(UInt16, collectorSet: UInt32)
  /// A select group: what each bucket would do.
  case select(UInt32, [[PipelineEffect]])
  case learn(LearnedRule)
  case finTimeout(idle: UInt16, hard: UInt16)
  /// What happens when the packet comes back, if it does.
  case conntrack(zone: UInt16, PipelinePacket, commits: Bool, sets: [FieldValue], then: [PipelineEffect]?)
  case conntrackClear

  package struct FieldValue: Equatable, Sendable {
    package var field: Field
    package var value: UInt128
    package var mask: UInt128
    package init(_ field: Field, _ value: UInt128, _ mask: UInt128) {
      self.field = field
      self.value = value
      self.mask = mask
    }
  }

  package struct ControllerMessage: Equatable, Sendable {
    package var packet: PipelinePacket
    package var reason: UInt8
    package var controller: UInt16
    package var inPort: UInt32
    package var cookie: UInt64
    package var table: UInt8
    package var userData: [UInt8]
    /// Metadata and registers.
    package var pipeline: [UInt64]

    package init(
      packet: PipelinePacket, reason: UInt8, controller: UInt16, inPort: UInt32, cookie: UInt64, table: UInt8,
      userData: [UInt8], pipeline: [UInt64]
    ) {
      self.packet = packet
      self.reason = reason
      self.controller = controller
      self.inPort = inPort
      self.cookie = cookie
      self.table = table
      self.userData = userData
      self.pipeline = pipeline
    }
  }

  package struct LearnedRule: Equatable, Sendable {
    package var table: UInt8
    package var priority: UInt16
    package var idle: UInt16
    /// Most rules of its table and cookie, which is 0; 0 for none.
    package var limit: UInt32
    package var match: [FieldValue] = []
    package var loads: [FieldValue] = []
    package var outputs: [UInt32] = []
    package init(table: UInt8, priority: UInt16, idle: UInt16, limit: UInt32) {
      self.table = table
      self.priority = priority
      self.idle = idle
      self.limit = limit
    }

    /// The whole match.
    package var wholeMatch: Match {
      var whole = Match()
      for part in match {
        let known = whole.value(part.field) ?? (0, 0)
        whole.set(part.field, known.value & ~part.mask | part.value, mask: known.mask | part.mask)
      }
      return whole
    }
  }
}
