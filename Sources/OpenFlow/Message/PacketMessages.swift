// Packets to and from controllers (OpenFlow 1.5 §7.4.1, §7.3.6; NXT_PACKET_IN, NXT_PACKET_IN2, NXT_RESUME).

import VSwitchCore

/// How a session wants its packets.
package enum PacketInFormat: UInt32, Sendable, CaseIterable {
  /// The version's own message.
  case standard = 0
  /// NXT_PACKET_IN: with metadata as NXM.
  case nxm = 1
  /// NXT_PACKET_IN2: properties, with user data and continuation.
  case packetIn2 = 2
}

/// A packet for a controller.
package struct PacketIn: Equatable, Sendable {
  package var data: [UInt8] = []
  /// Bytes of the packet before it was cut to `data`.
  package var totalByteCount = 0
  package var reason = ControllerAction.Reason.noMatch
  package var table: UInt8 = 0
  /// Of the rule that sent it; all ones: none.
  package var cookie: UInt64 = .max
  /// Where the packet came in and the pipeline's fields that are not 0.
  package var metadata = Match()
  /// Nil: the switch keeps no copy.
  package var bufferID: UInt32?
  /// NXT_PACKET_IN2 only, as `controller(userdata=…)` had it.
  package var userData: [UInt8] = []
  /// NXT_PACKET_IN2 of `controller(pause)`: opaque state that the resume brings back.
  package var continuation: [UInt8]?

  package init() {}

  /// Port where the packet came in.
  package var inPort: PortNumber {
    get { PortNumber(metadata.key.inPort) }
    set { metadata.set(.inPort, UInt128(newValue.rawValue)) }
  }
}

/// A packet from a controller.
package struct PacketOut: Equatable, Sendable {
  /// Port where it is to have come in; `PortNumber.controller` for none.
  package var inPort = PortNumber.controller
  /// The pipeline's fields beside the port; 1.5 only.
  package var metadata = Match()
  package var actions: [Action] = []
  package var data: [UInt8] = []

  package init() {}
}
