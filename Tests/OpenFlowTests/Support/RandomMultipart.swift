// Random questions and answers. Thread: a value; any.

import OpenFlow
import TestSupport
import VSwitchCore

extension SeededGenerator {
  mutating func flowRequest(_ version: OpenFlowVersion, _ form: MessageForm) -> FlowStatisticsRequest {
    var request = FlowStatisticsRequest()
    request.table = UInt8(below(256))
    if coin() { request.outPort = port() }
    if version > .v10, coin() { request.outGroup = 4 }
    if version > .v10 || form == .extension {
      request.match = match()
      let mask = next()
      if coin(), mask != 0 { request.cookie = FlowMod.CookieFilter(value: next() & mask, mask: mask) }
    } else {
      request.match.set(.etherType, 0x0800)
    }
    return request
  }

  mutating func requests(_ version: OpenFlowVersion) -> [MultipartRequest] {
    var all: [MultipartRequest] = [
      MultipartRequest(.description), MultipartRequest(.flows(flowRequest(version, .standard))),
      MultipartRequest(.aggregate(flowRequest(version, .standard))), MultipartRequest(.tables),
      MultipartRequest(.ports(port())), MultipartRequest(.queues(port: port(), queue: u32())),
      MultipartRequest(.portDescriptions(version == .v15 ? port() : .any)),
      MultipartRequest(.ipfixBridge, form: .extension), MultipartRequest(.ipfixFlow, form: .extension),
    ]
    let monitors = MultipartRequest.Body.flowMonitor(list(3) { $0.monitor(version) })
    if version == .v10 {
      all += [
        MultipartRequest(.flows(flowRequest(version, .extension)), form: .extension),
        MultipartRequest(.aggregate(flowRequest(version, .extension)), form: .extension),
        MultipartRequest(.groups(u32()), form: .extension),
        MultipartRequest(.groupDescriptions(u32()), form: .extension),
        MultipartRequest(.groupFeatures, form: .extension), MultipartRequest(monitors, form: .extension),
      ]
      return all
    }
    all += [
      MultipartRequest(.groups(u32())), MultipartRequest(.groupDescriptions(version == .v15 ? 7 : GroupMod.allGroups)),
      MultipartRequest(.groupFeatures), MultipartRequest(.meters(u32())), MultipartRequest(.meterDescriptions(u32())),
      MultipartRequest(.meterFeatures), MultipartRequest(.tableFeatures(list(3) { $0.tableFeatures(version) })),
      MultipartRequest(monitors, form: version == .v13 ? .extension : .standard),
    ]
    if version > .v13 {
      all += [
        MultipartRequest(.tableDescriptions), MultipartRequest(.queueDescriptions(port: port(), queue: u32())),
      ]
    }
    if version == .v15 {
      all += [
        MultipartRequest(.flowStatistics(flowRequest(version, .standard))), MultipartRequest(.controllerStatus),
        MultipartRequest(.bundleFeatures(flags: 3)),
      ]
    }
    return all
  }

  mutating func monitor(_ version: OpenFlowVersion) -> FlowMonitorRequest {
    var monitor = FlowMonitorRequest(id: u32())
    monitor.flags = FlowMonitorRequest.Flags(rawValue: u16() & (version < .v14 ? 0x3f : 0x7f))
    if version > .v13 { monitor.command = pick(FlowMonitorRequest.Command.allCases) }
    if coin() { monitor.outPort = port() }
    monitor.table = UInt8(below(256))
    monitor.match = match()
    return monitor
  }

  mutating func flow(_ version: OpenFlowVersion, _ form: MessageForm) -> FlowStatistics {
    var flow = FlowStatistics()
    flow.table = 3
    flow.priority = u16()
    if version > .v10 || form == .extension { flow.match = match() } else { flow.match.set(.inPort, 3) }
    flow.cookie = next()
    flow.instructions = instructions(version, flow.match)
    flow.duration = elapsed()
    flow.idleTimeoutSeconds = u16()
    flow.hardTimeoutSeconds = u16()
    if version > .v10 { flow.flags = [.sendFlowRemoved, .noByteCounts] }
    if version > .v13 { flow.importance = u16() }
    if coin() { flow.packetCount = next() >> 1 }
    flow.byteCount = next() >> 1
    if version == .v10, form == .extension {
      flow.idleAgeSeconds = 17
      if coin() { flow.hardAgeSeconds = UInt32(below(60000)) }
    }
    if version == .v15, coin() { flow.idleAgeSeconds = u32() }
    return flow
  }

  mutating func update(_ version: OpenFlowVersion) -> FlowUpdate {
    if below(4) == 0 { return .abbreviated(xid: u32()) }
    if version > .v13, below(4) == 0 { return coin() ? .paused : .resumed }
    var change = FlowChange(pick(version < .v14 ? [.added, .removed, .modified] : FlowChange.Event.allCases))
    if change.event == .removed { change.reason = .hardTimeout }
    change.table = 3
    change.priority = u16()
    change.idleTimeoutSeconds = u16()
    change.cookie = next()
    change.match = match()
    if coin() { change.instructions = instructions(version, change.match) }
    // ovs-ofctl does not read it there.
    if version == .v10 { change.instructions.metadata = nil }
    return .change(change)
  }

  mutating func counters() -> [GroupCounters.Counter] {
    list(4) { GroupCounters.Counter(packetCount: $0.next(), byteCount: $0.next()) }
  }

  mutating func replies(_ version: OpenFlowVersion) -> [MultipartReply] {
    var description = SwitchDescription()
    description.manufacturer = text(60)
    description.datapath = text(120)
    var aggregate = FlowAggregate()
    aggregate.packetCount = next()
    aggregate.flowCount = u32()
    let tables = list(4) { generator in
      var table = TableCounters(table: UInt8(generator.below(255)))
      table.activeCount = generator.u32()
      table.lookupCount = generator.next()
      if version == .v10 { table.name = generator.text(15) }
      return table
    }
    let ports = list(4) { generator in
      var port = PortStatistics(port: generator.port())
      port.rxPackets = generator.next()
      port.collisions = generator.next()
      if version > .v10 { port.duration = generator.elapsed() }
      return port
    }
    let queues = list(4) { generator in
      var queue = QueueStatistics(port: generator.port(), queue: generator.u32())
      queue.txBytes = generator.next()
      if version > .v10 { queue.duration = generator.elapsed() }
      return queue
    }
    let groups = list(4) { generator in
      var group = GroupCounters(group: generator.u32())
      group.referenceCount = generator.u32()
      group.duration = generator.elapsed()
      group.buckets = generator.counters()
      return group
    }
    var groupFeatures = GroupFeatures()
    groupFeatures.all = GroupFeatures.PerKind(maximumGroups: u32(), actions: 5)
    groupFeatures.fastFailover = GroupFeatures.PerKind(maximumGroups: 4, actions: u32())
    let form: MessageForm = version == .v10 ? .extension : .standard
    var all: [MultipartReply] = [
      MultipartReply(.description(description)), MultipartReply(.flows(list(4) { $0.flow(version, .standard) })),
      MultipartReply(.aggregate(aggregate)), MultipartReply(.tables(tables)), MultipartReply(.ports(ports)),
      MultipartReply(.queues(queues)), MultipartReply(.groups(groups), form: form),
      MultipartReply(.groupDescriptions(list(3) { $0.group(version) }), form: form),
      MultipartReply(.groupFeatures(groupFeatures), form: form),
      MultipartReply(.portDescriptions(list(3) { $0.portDescription(version) })),
      MultipartReply(
        .flowMonitor(list(4) { $0.update(version) }), form: version < .v14 ? .extension : .standard),
    ]
    if version == .v10 {
      all += [
        MultipartReply(.flows(list(4) { $0.flow(version, .extension) }), form: .extension),
        MultipartReply(.aggregate(aggregate), form: .extension),
      ]
      return all
    }
    var meterFeatures = MeterFeatures()
    meterFeatures.maximumMeters = u32()
    meterFeatures.maximumBands = 8
    let meters = list(4) { generator in
      var meter = MeterCounters(meter: generator.u32())
      meter.packetInCount = generator.next()
      meter.bands = generator.counters()
      return meter
    }
    all += [
      MultipartReply(.meters(meters)), MultipartReply(.meterDescriptions(list(4) { $0.meter() })),
      MultipartReply(.meterFeatures(meterFeatures)),
      MultipartReply(.tableFeatures(list(3) { $0.tableFeatures(version) })),
    ]
    if version > .v13 {
      let port = port()
      all += [
        MultipartReply(.tableDescriptions(list(4) { $0.tableDescription(version) })),
        MultipartReply(.queueDescriptions(list(4) { $0.queueDescription(port) })),
      ]
    }
    if version == .v15 {
      all += [
        MultipartReply(.flowStatistics(list(4) { $0.flowWithoutInstructions() })),
        MultipartReply(.controllerStatus(list(4) { $0.controllerStatus() })),
        MultipartReply(.bundleFeatures(BundleFeatures(capabilities: 3))),
      ]
    }
    return all
  }

  mutating func flowWithoutInstructions() -> FlowStatistics {
    var flow = FlowStatistics()
    flow.table = 3
    flow.priority = u16()
    flow.match = match()
    flow.duration = elapsed()
    flow.packetCount = next()
    return flow
  }
}
