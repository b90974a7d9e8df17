// Ports of a bridge by number and by slot, and the record by which a worker finds all of the bridge. Made by control code, never
// changed; lives as long as the forwarding tables that it was made for. Memory: its own; freed with it.

import VSwitchCore

/// Owner of what a `FlowBridge` points to.
@safe final class FlowBridgeOwner {
  private let slots: UnsafeMutablePointer<UInt16>
  private let flags: UnsafeMutablePointer<PipelinePort>
  private let numbers: UnsafeMutablePointer<UInt32>
  private let record: UnsafeMutablePointer<FlowBridgeRecord>

  /// - Parameters:
  ///   - index: of the bridge in the forwarding tables.
  ///   - ports: all that there are, with their slots and settings.
  init(
    index: UInt16, _ flows: BridgeFlows, ports: [(number: PortNumber, slot: UInt16, flags: PipelinePort)],
    portsVersion: UInt64
  ) {
    let numberLimit = (ports.lazy.map(\.number).filter { $0 != .local }.map(\.rawValue).max() ?? 0) + 1
    let slotLimit = Int(ports.map(\.slot).max() ?? 0) + 1
    unsafe slots = .allocate(capacity: Int(numberLimit))
    unsafe slots.initialize(repeating: FlowBridge.noSlot, count: Int(numberLimit))
    unsafe flags = .allocate(capacity: Int(numberLimit))
    unsafe flags.initialize(repeating: [], count: Int(numberLimit))
    unsafe numbers = .allocate(capacity: slotLimit)
    unsafe numbers.initialize(repeating: PortNumber.any.rawValue, count: slotLimit)
    for port in ports {
      unsafe numbers[Int(port.slot)] = port.number.rawValue
      if port.number != .local {
        unsafe slots[Int(port.number.rawValue)] = port.slot
        unsafe flags[Int(port.number.rawValue)] = port.flags
      }
    }
    let local = ports.first { $0.number == .local }
    unsafe record = .allocate(capacity: 1)
    unsafe record.initialize(
      to: FlowBridgeRecord(
        index: index, identifier: flows.identifier,
        pipeline: BridgePipeline(
          tables: flows.tables.reader, ports: flags, portLimit: numberLimit, localPort: local?.flags ?? [],
          fragmentHandling: flows.fragmentHandling, missBehaviour: .drop),
        exactMatch: flows.exactMatch, megaflows: flows.megaflows, events: flows.events, slots: slots,
        numberLimit: numberLimit, localSlot: local?.slot ?? FlowBridge.noSlot, numbers: numbers, slotLimit: slotLimit,
        portsVersion: portsVersion))
  }

  deinit {
    unsafe slots.deallocate()
    unsafe flags.deallocate()
    unsafe numbers.deallocate()
    unsafe record.deallocate()
  }

  /// What workers get; valid as long as the owner lives.
  var bridge: FlowBridge { unsafe FlowBridge(record) }
}
