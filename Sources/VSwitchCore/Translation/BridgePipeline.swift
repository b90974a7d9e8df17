// A bridge's tables and ports as translation asks for them on a worker: plain data, so that the walk is compiled for it with
// nothing to retain. Thread: one worker's, or control code's between changes. Memory: the tables and the flags of ports are
// the owner's.

/// Handle: copies name the same tables and ports.
@safe public struct BridgePipeline: PipelineReader {
  public let tables: FlowTablesReader
  @usableFromInline let ports: UnsafePointer<PipelinePort>
  @usableFromInline let portLimit: UInt32
  @usableFromInline let localPort: PipelinePort
  public let fragmentHandling: FragmentHandling
  @usableFromInline let missBehaviour: MissBehaviour

  /// - Parameters:
  ///   - ports: flags by port number; stays the owner's.
  ///   - portLimit: the numbers are below this.
  ///   - localPort: flags of the bridge's own port.
  ///   - missBehaviour: of every table.
  @inlinable
  public init(
    tables: FlowTablesReader, ports: UnsafePointer<PipelinePort>, portLimit: UInt32, localPort: PipelinePort,
    fragmentHandling: FragmentHandling, missBehaviour: MissBehaviour
  ) {
    self.tables = tables
    unsafe self.ports = ports
    self.portLimit = portLimit
    self.localPort = localPort
    self.fragmentHandling = fragmentHandling
    self.missBehaviour = missBehaviour
  }

  public func rule(table: UInt8, key: borrowing FlowKey, version: UInt64, mask: inout FlowMask) -> PipelineRule? {
    tables.lookup(table: table, key: key, version: version, mask: &mask).map(PipelineRule.init)
  }

  public func rule(
    table: UInt8, key: UnsafePointer<FlowKey>, version: UInt64, mask: UnsafeMutablePointer<FlowMask>,
    counting counted: UnsafePointer<FlowMask>
  ) -> PipelineRule? {
    unsafe tables.lookup(table: table, KeyWords(key), version: version, mask: MaskWords(mask, counting: counted))
      .map(PipelineRule.init)
  }

  public func group(_ id: UInt32, version: UInt64) -> PipelineGroup? {
    guard let group = tables.group(id, version: version) else { return nil }
    return PipelineGroup(
      id: id, kind: group.kind, bucketCount: group.bucketCount, slot: group.slot.index, address: group.address)
  }

  public func bucket(_ index: Int, of group: PipelineGroup) -> PipelineBucket? {
    guard let bucket = Group(address: group.address)?.bucket(index) else { return nil }
    return PipelineBucket(code: bucket.code, slot: bucket.slot.index, isAlive: bucket.isAlive)
  }

  public func port(_ number: PortNumber) -> PipelinePort {
    if number.rawValue < portLimit { return unsafe ports[Int(number.rawValue)] }
    return number == .local ? localPort : []
  }

  public func mayLearn(
    table: UInt8, cookie: UInt64, limit: UInt32, priority: UInt16, match: borrowing FlowKey, mask: borrowing FlowMask,
    version: UInt64
  ) -> Bool {
    tables.mayLearn(
      table: table, cookie: cookie, limit: limit, priority: priority, match: match, mask: mask, version: version)
  }

  public func missBehaviour(table: UInt8) -> MissBehaviour { missBehaviour }
}

extension PipelineRule {
  init(_ rule: Rule) {
    self.init(
      code: rule.code, slot: rule.slot.index, cookie: rule.cookie, priority: rule.priority, table: rule.table,
      isTableMiss: rule.isTableMiss)
  }
}

extension PacketTranslation {
  /// What a worker calls on a cache miss: `translate` compiled for this reader (a generic function would not be, called from
  /// another module).
  public static func translate(
    _ pipeline: BridgePipeline, key: FlowKey, version: UInt64, resumptions: UnsafeBufferPointer<Resumption>,
    setsPipeline: Bool = false, actions: RuleCode? = nil, memory: TranslationMemory, program: inout ActionProgram,
    hits: UnsafeMutableBufferPointer<UInt32>
  ) -> TranslationResult {
    unsafe walk(
      pipeline, key: key, version: version, resumptions: resumptions, setsPipeline: setsPipeline, actions: actions,
      memory: memory, program: &program, hits: hits)
  }
}
