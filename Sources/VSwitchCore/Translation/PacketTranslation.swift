// What a worker calls on a cache miss, and for a controller's packet-out. Thread: the caller's, with its own memory.

public enum PacketTranslation {
  /// Most times that a packet comes back.
  public static let resumptionLimit = 16

  /// Translates a packet's way through the tables.
  /// - Parameters:
  ///   - key: of the packet as it is now; of one that came back with its recirculation id.
  ///   - version: at which the tables are read.
  ///   - resumptions: of a packet that came back: the flows that it came through, the first one first; else empty.
  ///   - setsPipeline: a controller has sent the packet back, with the pipeline's fields that the key has.
  ///   - actions: those of a packet-out; nil: table 0 decides.
  ///   - program: gets the steps. If the answer is a drop there are none.
  ///   - hits: gets the slots of what was hit.
  public static func translate<Reader: PipelineReader>(
    _ reader: Reader, key: FlowKey, version: UInt64, resumptions: UnsafeBufferPointer<Resumption>,
    setsPipeline: Bool = false, actions: RuleCode? = nil, memory: TranslationMemory, program: inout ActionProgram,
    hits: UnsafeMutableBufferPointer<UInt32>
  ) -> TranslationResult {
    unsafe walk(
      reader, key: key, version: version, resumptions: resumptions, setsPipeline: setsPipeline, actions: actions,
      memory: memory, program: &program, hits: hits)
  }

  @inline(__always)
  static func walk<Reader: PipelineReader>(
    _ reader: Reader, key: FlowKey, version: UInt64, resumptions: UnsafeBufferPointer<Resumption>,
    setsPipeline: Bool, actions: RuleCode?, memory: TranslationMemory, program: inout ActionProgram,
    hits: UnsafeMutableBufferPointer<UInt32>
  ) -> TranslationResult {
    guard resumptions.count <= resumptionLimit else {
      var result = TranslationResult()
      result.drop = .recirculationLost
      result.mask.words = InlineArray(repeating: .max)
      program.removeAll()
      return result
    }
    var translation = unsafe Translation(
      reader: reader, version: version, key: key, resumptions: resumptions, setsPipeline: setsPipeline,
      isPacketOut: actions != nil, memory: memory, program: program, hits: hits, recorder: NoRecorder())
    translation.run(actions: actions)
    program = translation.program
    return translation.result
  }
}
