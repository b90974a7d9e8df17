// What workers forward by: ports and bridges as flat arrays, built by control code, published by one pointer, never
// changed afterwards, freed after a grace period.

import Synchronization
import VSwitchCore

/// Versions of the forwarding tables that were ever made.
private let lastVersion = Atomic<UInt64>(0)

/// One port slot as the worker sees it.
struct ForwardingPort {
  /// Index of the bridge, or `Forwarding.noBridge` for a slot without a port.
  var bridge: UInt16 = Forwarding.noBridge
  /// Slot of the peer of a patch port, else `Forwarding.noPeer`.
  var patchPeer: UInt16 = Forwarding.noPeer
  var isProtected = false
  var forwardsReservedMulticast = false
  /// What a controller has set, for the NORMAL action: closed is OFPPC_NO_FWD or OFPPC_PORT_DOWN, left out of floods is what is
  /// closed or has OFPPC_NO_FLOOD.
  var isLeftOutOfFloods = false
  var isClosed = false
  /// What of the above a flood asks, in one byte; set by `ForwardingTables`.
  var floodBarriers: FloodBarriers = []
  /// Its bridge has flow tables; set by `ForwardingTables`. (A look at the bridge's own field would copy all of it.)
  var hasFlows = false
  var vlan: VLANPolicy
}

/// Why a flood may leave a port out.
struct FloodBarriers: OptionSet {
  let rawValue: UInt8
  /// Floods never go there.
  static var leftOut: Self { Self(rawValue: 1) }
  /// Frames to a reserved multicast address don't.
  static var reservedMulticast: Self { Self(rawValue: 2) }
  /// What came in at a protected port doesn't.
  static var protected: Self { Self(rawValue: 4) }
}

/// One bridge as the worker sees it.
struct ForwardingBridge {
  var macTable: MACTable
  /// Its ports: a range of `Forwarding.members`.
  var firstMember: Int
  var memberCount: Int
  var forwardsReservedMulticast: Bool
  /// VLANs without learning; looked at only where there are any.
  var hasFloodVLANs: Bool
  var floodVLANs: VLANSet
  /// Nil where every packet is forwarded as NORMAL.
  var flows: FlowBridge?
  /// Where packets are counted that are forwarded as NORMAL without a look at the tables.
  var normalRule: NormalRule?
}

/// The one rule of a bridge whose every packet is forwarded as NORMAL.
struct NormalRule {
  var tables: FlowTablesReader
  var slot: CounterSlot
}

/// Handle of the published arrays. Copies name the same memory, which its `ForwardingTables` owns.
@safe struct Forwarding {
  static var noBridge: UInt16 { .max }
  static var noPeer: UInt16 { .max }

  let ports: UnsafeMutablePointer<ForwardingPort>
  let bridges: UnsafeMutablePointer<ForwardingBridge>
  /// Slots, bridge by bridge.
  let members: UnsafeMutablePointer<UInt16>
  /// Slots are below this.
  let portLimit: Int
  let bridgeCount: Int
  /// Another one for each `ForwardingTables`, never 0.
  let version: UInt64
}

/// Owner of one version of the forwarding arrays and of the bridges' VLAN sets in them; those of ports are `SlotTable`'s. Made by
/// control code; workers must be past it before it goes.
@safe final class ForwardingTables {
  let forwarding: Forwarding
  private let cell: UnsafeMutablePointer<Forwarding>
  /// What the flow bridges in it point to.
  private let flowBridges: [FlowBridgeOwner]

  /// - Parameters:
  ///   - ports: by slot; slots without a port have `noBridge`.
  ///   - bridges: by bridge index, with their member slots.
  ///   - flowBridges: those that have flow tables.
  init(
    ports: [ForwardingPort], bridges: [(bridge: ForwardingBridge, members: [UInt16])],
    flowBridges: [FlowBridgeOwner] = []
  ) {
    self.flowBridges = flowBridges
    let portMemory = UnsafeMutablePointer<ForwardingPort>.allocate(capacity: max(ports.count, 1))
    for (slot, port) in ports.enumerated() {
      var port = port
      let index = Int(port.bridge)
      port.hasFlows = index < bridges.count && bridges[index].bridge.flows != nil
      if port.isLeftOutOfFloods { port.floodBarriers.insert(.leftOut) }
      if !port.forwardsReservedMulticast { port.floodBarriers.insert(.reservedMulticast) }
      if port.isProtected { port.floodBarriers.insert(.protected) }
      unsafe (portMemory + slot).initialize(to: port)
    }
    let bridgeMemory = UnsafeMutablePointer<ForwardingBridge>.allocate(capacity: max(bridges.count, 1))
    let memberCount = bridges.reduce(0) { $0 + $1.members.count }
    let memberMemory = UnsafeMutablePointer<UInt16>.allocate(capacity: max(memberCount, 1))
    var next = 0
    for (index, entry) in bridges.enumerated() {
      var bridge = entry.bridge
      bridge.firstMember = next
      bridge.memberCount = entry.members.count
      unsafe (bridgeMemory + index).initialize(to: bridge)
      for slot in entry.members {
        unsafe (memberMemory + next).initialize(to: slot)
        next += 1
      }
    }
    forwarding = unsafe Forwarding(
      ports: portMemory, bridges: bridgeMemory, members: memberMemory, portLimit: ports.count,
      bridgeCount: bridges.count, version: lastVersion.wrappingAdd(1, ordering: .relaxed).newValue)
    unsafe cell = .allocate(capacity: 1)
    unsafe cell.initialize(to: forwarding)
  }

  /// What is published to the workers.
  var address: UnsafeMutableRawPointer { unsafe UnsafeMutableRawPointer(cell) }

  deinit {
    for index in 0..<forwarding.bridgeCount { unsafe forwarding.bridges[index].floodVLANs.deallocate() }
    unsafe forwarding.ports.deallocate()
    unsafe forwarding.bridges.deallocate()
    unsafe forwarding.members.deallocate()
    unsafe cell.deallocate()
  }
}
