// Random messages of every kind that a version has, in the form that reading gives back. Thread: a value; any.

import OpenFlow
import TestSupport
import VSwitchCore

extension SeededGenerator {
  mutating func text(_ limit: Int) -> String {
    String((0..<below(limit)).map { _ in pick(Array("abcxyz 0-_ä")) })
  }
  mutating func elapsed() -> ElapsedTime {
    ElapsedTime(seconds: UInt32(below(100000)), nanoseconds: UInt32(below(1_000_000_000)))
  }
  mutating func u16() -> UInt16 { UInt16(truncatingIfNeeded: next()) }
  mutating func u32() -> UInt32 { UInt32(truncatingIfNeeded: next()) }
  mutating func list<T>(_ limit: Int, _ make: (inout SeededGenerator) -> T) -> [T] {
    (0..<below(limit)).map { _ in make(&self) }
  }

  /// A message of a random kind.
  mutating func message(_ version: OpenFlowVersion) -> Message {
    let kinds = bodies(version)
    return Message(version, xid: u32(), kinds[below(kinds.count)])
  }

  /// One of each kind that the version has.
  mutating func bodies(_ version: OpenFlowVersion) -> [MessageBody] {
    var all: [MessageBody] = [
      .hello(Hello(versions: VersionSet(rawValue: UInt32(1 << Int(version.rawValue))))),
      .error(ErrorMessage(pick(ErrorCode.allCases.filter { $0.isSayable(version) }), data: bytes(below(80)))),
      .echoRequest(bytes(below(10))), .echoReply(bytes(below(10))), .featuresRequest, .featuresReply(features(version)),
      .getConfigRequest, .getConfigReply(configuration(version)), .setConfig(configuration(version)),
      .packetIn(packetIn(version, .standard), format: .standard), .packetIn(packetIn(version, .nxm), format: .nxm),
      .packetIn(packetIn(version, .packetIn2), format: .packetIn2), .resume(packetIn(version, .packetIn2)),
      .flowRemoved(flowRemoved(version, .standard), form: .standard),
      .flowRemoved(flowRemoved(.v10, .extension), form: .extension),
      .portStatus(PortStatus(pick(PortStatus.Reason.allCases), portDescription(version))),
      .packetOut(packetOut(version)), .flowMod(flowMod(version)), .flowMod(flowMod(version)),
      .flowMod(flowMod(version)),
      .groupMod(groupMod(version)), .groupMod(groupMod(version)), .portMod(portMod(version)), .barrierRequest,
      .barrierReply, .roleRequest(RoleMessage(pick([.equal, .primary, .secondary])), form: .extension),
      .flowModTableID(coin()), .setPacketInFormat(pick(PacketInFormat.allCases)), .flowAge, .setControllerID(u16()),
      .tlvTableRequest,
      .tlvTableMod(TLVTableMod(pick(TLVTableMod.Command.allCases), list(3) { $0.mapping() })),
      .tlvTableReply(TLVTable(maximumByteCount: 256, maximumFieldCount: 64, mappings: list(3) { $0.mapping() })),
      .conntrackFlushZone(u16()), .conntrackFlush(conntrackFlush()),
    ]
    all += requests(version).map { .multipartRequest($0) }
    all += replies(version).map { .multipartReply($0) }
    if version == .v10 { all.append(.setFlowFormat(pick(FlowFormat.allCases))) }
    if version < .v14 {
      all += [.flowMonitorCancel(u32()), .flowMonitorPaused, .flowMonitorResumed]
      all.append(.queueConfigRequest(PortNumber(3)))
      let port = port()
      all.append(.queueConfigReply(port, list(3) { $0.queueDescription(port) }))
      all.append(.setAsync(async(fixed: false), form: .nicira2))
    }
    if version == .v10 || version == .v13 { all.append(.setAsync(async(fixed: true), form: .nicira)) }
    guard version > .v10 else { return all }
    all += [
      .tableMod(tableDescription(version)), .roleRequest(role(), form: .standard), .roleReply(role(), form: .standard),
      .getAsyncRequest, .getAsyncReply(async(fixed: version == .v13)),
      .setAsync(async(fixed: version == .v13), form: .standard), .meterMod(meterMod()),
      .bundleControl(BundleControl(bundle: u32(), pick(BundleControl.Kind.allCases), flags: [.atomic])),
    ]
    guard version > .v13 else { return all }
    all += [
      .roleStatus(RoleStatus(role: .primary, reason: pick(RoleStatus.Reason.allCases), generationID: next())),
      .tableStatus(TableStatus(.vacancyUp, tableDescription(version))),
      .requestForward(RequestForward(Message(version, xid: u32(), .meterMod(meterMod())))),
    ]
    if version == .v15 { all.append(.controllerStatus(controllerStatus())) }
    return all
  }

  /// A bundle's message with one inside.
  mutating func bundleAdd(_ version: OpenFlowVersion) -> Message {
    let xid = u32()
    let body: MessageBody = pick([
      .flowMod(flowMod(version)), .groupMod(groupMod(version)), .portMod(portMod(version)),
      .packetOut(packetOut(version)),
    ])
    return Message(
      version, xid: xid, .bundleAdd(BundleAdd(bundle: 3, flags: [.atomic, .ordered], Message(version, xid: xid, body))))
  }

  // MARK: switch, ports, packets

  mutating func features(_ version: OpenFlowVersion) -> SwitchFeatures {
    var features = SwitchFeatures(
      datapathID: next(), tableCount: UInt8(below(255)),
      capabilities: version == .v10 ? [.flowStatistics, .arpMatchIP] : [.groupStatistics, .portBlocked])
    features.bufferCount = u32()
    if version == .v10 {
      features.actions = 0xfff
      features.ports = list(3) { $0.portDescription(.v10) }
    } else {
      features.auxiliaryID = UInt8(below(255))
    }
    return features
  }

  mutating func configuration(_ version: OpenFlowVersion) -> SwitchConfiguration {
    var configuration = SwitchConfiguration()
    configuration.fragments = pick(SwitchConfiguration.FragmentHandling.allCases)
    configuration.sendsInvalidTTL = version == .v10 && coin()
    configuration.missSendByteCount = u16()
    return configuration
  }

  mutating func portDescription(_ version: OpenFlowVersion) -> PortDescription {
    var port = PortDescription(number: port(), hardwareAddress: MACAddress(bits: next()), name: text(7))
    port.configuration = PortDescription.Configuration(rawValue: u32() & (version == .v10 ? 0x7f : 0x65))
    port.state = PortDescription.State(rawValue: u32() & (version == .v10 ? 1 : 7))
    let valid: UInt32 = version == .v10 ? 0xf87f : 0xffff
    port.current = PortDescription.LinkFeatures(rawValue: u32() & valid)
    port.peer = PortDescription.LinkFeatures(rawValue: u32() & valid)
    if version > .v10 { port.maximumKilobitsPerSecond = u32() }
    return port
  }

  mutating func portMod(_ version: OpenFlowVersion) -> PortMod {
    var mod = PortMod(port: port(), hardwareAddress: MACAddress(bits: next()))
    mod.configuration = [.down]
    mod.mask = version == .v10 ? [.down, .noFlood] : [.down, .noPacketIn]
    if coin() { mod.advertised = [.copper, .fullDuplex10Gb] }
    return mod
  }

  mutating func packetIn(_ version: OpenFlowVersion, _ format: PacketInFormat) -> PacketIn {
    var packet = PacketIn()
    packet.data = bytes(below(100))
    packet.totalByteCount = packet.data.count + below(100)
    let last = version < .v14 ? 2 : 5
    packet.reason = pick(ControllerAction.Reason.allCases.filter { $0.rawValue <= last })
    if format != .standard || version > .v10 {
      packet.table = UInt8(below(255))
      packet.cookie = coin() ? .max : next()
      packet.metadata.set(.metadata, value(bitCount: 64))
      packet.metadata.set(.reg4, value(bitCount: 32))
    }
    if format != .packetIn2 || coin() { packet.inPort = port() }
    if format == .packetIn2 {
      packet.userData = bytes(below(9))
      if coin() { packet.continuation = bytes(below(30)) }
    }
    if below(4) == 0 { packet.bufferID = u32() & 0xffff }
    return packet
  }

  mutating func packetOut(_ version: OpenFlowVersion) -> PacketOut {
    var packet = PacketOut()
    packet.inPort = pick([.controller, port()])
    if version == .v15, coin() { packet.metadata.set(.metadata, value(bitCount: 64)) }
    packet.actions = actions(version, Match())
    packet.data = bytes(below(100))
    return packet
  }

  // MARK: rules, groups, meters

  mutating func flowMod(_ version: OpenFlowVersion) -> FlowMod {
    var mod = FlowMod()
    mod.command = pick(FlowMod.Command.allCases)
    let isDelete = mod.command == .delete || mod.command == .deleteStrict
    mod.match = match()
    mod.priority = coin() ? 32768 : u16()
    mod.idleTimeoutSeconds = u16()
    mod.hardTimeoutSeconds = u16()
    if version == .v10 {
      mod.table = mod.command == .add ? 0 : FlowMod.allTables
      mod.flags = mod.command == .add ? [.resetCounts, .checkOverlap] : [.sendFlowRemoved]
      mod.allowsInconsistentActions = true
      mod.cookie = isDelete ? 0 : mod.command != .add && coin() ? nil : next() >> 1
    } else {
      mod.table = isDelete && coin() ? FlowMod.allTables : 3
      mod.flags = FlowMod.Flags(rawValue: u16() & 0x1f)
      mod.cookie = mod.command == .add ? next() : isDelete ? 0 : nil
      if version > .v13, mod.command == .add { mod.importance = u16() }
    }
    if mod.command != .add, coin() {
      let mask = next()
      if mask != 0 { mod.cookieFilter = FlowMod.CookieFilter(value: next() & mask, mask: mask) }
    }
    if isDelete {
      if coin() { mod.outPort = port() }
      if version > .v10, coin() { mod.outGroup = 5 }
    } else {
      mod.instructions = instructions(version, mod.match)
    }
    return mod
  }

  mutating func flowRemoved(_ version: OpenFlowVersion, _ form: MessageForm) -> FlowRemoved {
    var removed = FlowRemoved()
    removed.match = version == .v10 && form == .standard ? Match() : match()
    removed.match.set(.inPort, 4)
    removed.cookie = next()
    removed.priority = u16()
    let last = version == .v10 ? 2 : version == .v13 ? 3 : 5
    removed.reason = pick(FlowRemoved.Reason.allCases.filter { $0.rawValue <= last })
    removed.duration = elapsed()
    removed.idleTimeoutSeconds = u16()
    if version > .v10 { removed.hardTimeoutSeconds = u16() }
    if version > .v10 || form == .extension { removed.table = UInt8(below(255)) }
    removed.packetCount = next()
    removed.byteCount = next()
    return removed
  }

  mutating func group(_ version: OpenFlowVersion) -> GroupDescription {
    var group = GroupDescription(id: UInt32(below(1000)), kind: pick(GroupDescription.Kind.allCases))
    let hasProperties = version == .v10 || version == .v15
    for index in 0..<(group.kind == .indirect ? 1 : below(4)) {
      var bucket = GroupDescription.Bucket()
      if hasProperties { bucket.id = UInt32(index) }
      if group.kind == .select { bucket.weight = UInt16(below(100)) }
      if group.kind == .fastFailover || group.kind == .select && coin() { bucket.watchPort = port() }
      if group.kind == .fastFailover, coin() { bucket.watchGroup = 7 }
      bucket.actions = actions(version, Match())
      group.buckets.append(bucket)
    }
    if hasProperties, group.kind == .select, coin() {
      group.selectionParameter = next()
      var fields = FlowMask()
      fields[.ipv4Source] = 0xffff_ff00
      fields[.tcpSource] = 0xffff
      group.selectionMethod = coin() ? .dpHash : .hash(fields: fields)
    }
    return group
  }

  mutating func groupMod(_ version: OpenFlowVersion) -> GroupMod {
    var commands: [GroupMod.Command] = [.add, .modify, .addOrModify, .delete]
    if version == .v10 || version == .v15 {
      commands += [
        .insertBuckets(at: .first), .insertBuckets(at: .after(5)), .removeBuckets(.all), .removeBuckets(.id(6)),
      ]
    }
    let command = pick(commands)
    var group = group(version)
    switch command {
    case .delete:
      group = GroupDescription(id: group.id, kind: .all)
      if coin() { group.id = GroupMod.allGroups }
    case .removeBuckets: group = GroupDescription(id: group.id, kind: .all)
    case .insertBuckets:
      group.selectionMethod = .standard
      group.selectionParameter = 0
    case .add, .modify, .addOrModify: break
    }
    return GroupMod(command, group)
  }

  mutating func meter() -> MeterDescription {
    var meter = MeterDescription(id: UInt32(1 + below(1000)), unit: coin() ? .kilobitsPerSecond : .packetsPerSecond)
    meter.hasBurst = coin()
    meter.keepsStatistics = coin()
    for _ in 0...below(3) {
      meter.bands.append(
        MeterDescription.Band(
          kind: coin() ? .drop : .dscpRemark(precedenceLevel: 2), rate: UInt32(1 + below(1000)),
          burst: meter.hasBurst ? u32() : 0))
    }
    return meter
  }

  mutating func meterMod() -> MeterMod {
    if below(4) == 0 {
      var deleted = MeterDescription(id: MeterMod.allMeters, unit: .kilobitsPerSecond)
      deleted.keepsStatistics = true
      return MeterMod(.delete, deleted)
    }
    return MeterMod(coin() ? .add : .modify, meter())
  }

  mutating func mapping() -> TLVMapping {
    TLVMapping(
      optionClass: u16(), optionType: UInt8(below(256)), byteCount: UInt8(4 + 4 * below(30)),
      fieldIndex: UInt16(below(64)))
  }

  mutating func conntrackFlush() -> ConntrackFlush {
    var flush = ConntrackFlush()
    flush.ipProtocol = pick([0, 1, 6, 17])
    if coin() { flush.zone = u16() }
    if coin() {
      flush.isIPv6 = coin()
      flush.original.source = flush.isIPv6 ? 0xfc00 << 112 | value(bitCount: 64) : value(bitCount: 32)
      flush.original.sourcePort = u16()
      flush.reply.icmpType = 8
      flush.reply.icmpID = u16()
    }
    return flush
  }

  // MARK: tables, queues, controllers

  mutating func tableDescription(_ version: OpenFlowVersion) -> TableDescription {
    var table = TableDescription(table: UInt8(below(255)))
    guard version > .v13 else { return table }
    table.evicts = coin()
    table.sendsVacancyEvents = coin()
    if coin() { table.evictionFlags = u32() & 7 }
    if coin() { table.vacancy = TableDescription.Vacancy(downPercent: 10, upPercent: 90) }
    return table
  }

  mutating func tableFeatures(_ version: OpenFlowVersion) -> TableFeatures {
    var table = TableFeatures(table: UInt8(below(255)))
    table.name = text(15)
    table.metadataMatch = next()
    table.maximumEntries = u32()
    if version > .v13 { table.capabilities = 0xc }
    if version == .v15 { table.features = 1 }
    table.rules.instructions = u32() & 0x7e
    table.rules.nextTables = (0..<UInt8(below(20))).map { $0 }
    table.rules.writeActions = u32() & 0x3ff_fc01
    table.rules.applySetFields = [.ipv4Source, .reg0, .tcpFlags, .xxreg1]
    table.matchFields = [
      TableFeatures.MatchField(.inPort, isMaskable: false), TableFeatures.MatchField(.ipv6Source, isMaskable: true),
      TableFeatures.MatchField(.actionSetOutput, isMaskable: false),
    ]
    table.wildcards = [.inPort, .ipv6Source]
    if coin() { table.missRules = table.rules }
    if version > .v13, coin() { table.synchronizedFrom = [1] }
    return table
  }

  mutating func queueDescription(_ port: PortNumber) -> QueueDescription {
    var queue = QueueDescription(port: port, queue: u32())
    if coin() { queue.minimumRate = u16() }
    if coin() { queue.maximumRate = u16() }
    return queue
  }

  mutating func role() -> RoleMessage { RoleMessage(pick(ControllerRole.allCases), generationID: next()) }

  mutating func async(fixed: Bool) -> AsyncConfiguration {
    var configuration = AsyncConfiguration()
    configuration.primary.packetIn = u32() & 7
    configuration.secondary.flowRemoved = u32() & 7
    if fixed {
      configuration.secondary.packetIn = u32() & 7
      configuration.primary.portStatus = u32() & 7
      configuration.secondary.portStatus = 0
      configuration.primary.flowRemoved = 7
    } else {
      configuration.primary.roleStatus = u32() & 3
      if below(4) == 0 { configuration.secondary.controllerStatus = u32() }
    }
    return configuration
  }

  mutating func controllerStatus() -> ControllerStatus {
    var status = ControllerStatus()
    status.role = pick(ControllerRole.allCases)
    status.reason = pick(ControllerStatus.Reason.allCases)
    status.isUp = coin()
    status.uri = "tcp:127.0.0.1:\(below(65536))"
    return status
  }
}
