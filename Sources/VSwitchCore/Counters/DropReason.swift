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
    }
  }
}
