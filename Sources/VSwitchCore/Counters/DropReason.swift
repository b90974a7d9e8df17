// Why a packet ended: every packet that is not forwarded is counted under exactly one of these.

/// The reason for a drop, counted at the port where the packet entered (or, for `transmit…`, where a copy should
/// have left). Raw values index counter arrays.
public enum DropReason: UInt8, CaseIterable, Sendable, CustomStringConvertible {
  case truncated
  case reservedMulticast
  case vlanNotAllowed
  case taggedOnAccess
  case customerVLANNotAllowed
  case samePort
  case protectedPort
  case noOutput
  case badOffload
  case noBuffer
  case transmitLinkDown
  case transmitQueueFull
  case transmitTooLong
  case transmitError
  case patchLoop
  // The pipeline's
  case tableMiss
  case ruleDrops
  case invalidTTL
  case fragment
  case noSuchPort
  case portDown
  case portDoesNotReceive
  case portDoesNotForward
  case noSuchGroup
  case noLiveBucket
  case tooDeep
  case tooManyResubmits
  case stackTooDeep
  case tooManyActions
  case programTooLong
  case recirculationLost
  case headersTooLong
  case metered
  case controllerBusy
  case queueDisabled
  // Connection tracking's
  case conntrackFull
  case conntrackZoneFull
  case natPortsExhausted
  case badFragment
  case earlyFragment

  /// The name in tables, statistics and JSON.
  public var name: String {
    switch self {
    case .truncated: "truncated"
    case .reservedMulticast: "reserved_multicast"
    case .vlanNotAllowed: "vlan_not_allowed"
    case .taggedOnAccess: "tagged_on_access"
    case .customerVLANNotAllowed: "customer_vlan_not_allowed"
    case .samePort: "same_port"
    case .protectedPort: "protected_port"
    case .noOutput: "no_output"
    case .badOffload: "bad_offload"
    case .noBuffer: "no_buffer"
    case .transmitLinkDown: "tx_link_down"
    case .transmitQueueFull: "tx_queue_full"
    case .transmitTooLong: "tx_too_long"
    case .transmitError: "tx_error"
    case .patchLoop: "patch_loop"
    case .tableMiss: "table_miss"
    case .ruleDrops: "rule_drops"
    case .invalidTTL: "invalid_ttl"
    case .fragment: "fragment"
    case .noSuchPort: "no_such_port"
    case .portDown: "port_down"
    case .portDoesNotReceive: "port_no_receive"
    case .portDoesNotForward: "port_no_forward"
    case .noSuchGroup: "no_such_group"
    case .noLiveBucket: "no_live_bucket"
    case .tooDeep: "too_deep"
    case .tooManyResubmits: "too_many_resubmits"
    case .stackTooDeep: "stack_too_deep"
    case .tooManyActions: "too_many_actions"
    case .programTooLong: "program_too_long"
    case .recirculationLost: "recirculation_lost"
    case .headersTooLong: "headers_too_long"
    case .metered: "metered"
    case .controllerBusy: "controller_busy"
    case .queueDisabled: "queue_disabled"
    case .conntrackFull: "conntrack_full"
    case .conntrackZoneFull: "conntrack_zone_full"
    case .natPortsExhausted: "nat_ports_exhausted"
    case .badFragment: "bad_fragment"
    case .earlyFragment: "early_fragment"
    }
  }

  /// A plain sentence for people: what happened and what would change it.
  public var description: String {
    switch self {
    case .truncated: "The frame is shorter than its Ethernet header."
    case .reservedMulticast:
      "The frame is for a bridge's own protocols (01:80:C2:00:00:0x): set other_config:forward-bpdu=true to pass it."
    case .vlanNotAllowed: "The port does not carry the frame's VLAN: add it to `trunks`."
    case .taggedOnAccess: "A frame with a VLAN tag came in on an access port: use vlan_mode=trunk for tagged frames."
    case .customerVLANNotAllowed: "The tunnel port does not accept this customer VLAN: add it to `cvlans`."
    case .samePort: "The destination is behind the port where the frame came in."
    case .protectedPort: "Both ports are protected: frames do not pass between protected ports."
    case .noOutput: "No other port carries the frame's VLAN."
    case .badOffload: "The frame's offload metadata does not fit its headers."
    case .noBuffer: "All packet buffers were in use."
    case .transmitLinkDown: "The exit port's link is down: bring the interface up."
    case .transmitQueueFull: "The exit port's queue was full: its receiver is too slow."
    case .transmitTooLong: "The frame is longer than the exit port's MTU allows."
    case .transmitError: "The system refused the frame at the exit port."
    case .patchLoop: "The frame passed through too many patch ports: look for a loop of patches."
    case .tableMiss: "No rule of a flow table matched: add one, or a table-miss rule (priority=0)."
    case .ruleDrops: "A rule matched that sends the packet nowhere: give it an output."
    case .invalidTTL: "The packet's TTL would have become 0."
    case .fragment: "IP fragments are dropped here: set the bridge's fragment handling to normal."
    case .noSuchPort: "A rule sends to a port that the bridge does not have: add the port or change the rule."
    case .portDown: "The exit port is down: bring it up (mod-port … up)."
    case .portDoesNotReceive: "The entry port does not receive: mod-port … receive."
    case .portDoesNotForward: "The exit port does not forward: mod-port … forward."
    case .noSuchGroup: "A rule names a group that the bridge does not have: add the group or change the rule."
    case .noLiveBucket: "No bucket or member has a port or group that is alive: bring one of the ports up."
    case .tooDeep: "Resubmits, groups and clones are nested more than 64 deep: look for a loop of resubmits."
    case .tooManyResubmits: "The packet was resubmitted more than 4096 times: look for a loop of resubmits."
    case .stackTooDeep: "Actions pushed more than 2048 values on the stack: pop them, or look for a loop."
    case .tooManyActions: "The action set has more than 4096 actions: write fewer."
    case .programTooLong: "The packet would have to be sent or changed more often than a program has steps."
    case .recirculationLost: "The rules changed while the packet was with connection tracking: it came back to none."
    case .headersTooLong:
      "Rules put on more VLAN tags or labels than fit in front of a frame: look for a loop of pushes."
    case .metered: "A meter's rate was exceeded: raise the rate of its band."
    case .controllerBusy: "More packets were to go to controllers than they may get: let rules handle that traffic."
    case .queueDisabled: "The guest has turned this queue off and sends on it all the same: use its others."
    case .conntrackFull:
      "The table of connections is full of answered ones: raise its limit (dpctl/ct-set-maxconns) or end some."
    case .conntrackZoneFull:
      "The zone has as many answered connections as its limit allows: raise it (dpctl/ct-set-limits) or end some."
    case .natPortsExhausted:
      "No port or address was left to translate the connection to: give nat() more addresses or a wider range of ports."
    case .badFragment: "An IP fragment overlaps another one, comes twice, or does not fit its datagram."
    case .earlyFragment: "The first fragment of an IP datagram, which has the ports, did not come before the others."
    }
  }
}
