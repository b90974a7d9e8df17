// Controllers' roles and what each is told (OpenFlow 1.5 §7.3.8, §7.3.10, §7.4.4, §7.4.6, §7.4.7).

/// What a controller may do.
package enum ControllerRole: UInt32, Sendable, CaseIterable {
  /// Requests only: tell me which I have.
  case noChange = 0
  case equal = 1
  /// Exclusive; "master" in the standard's numbers.
  case primary = 2
  /// Reads only; "slave" in the standard's numbers.
  case secondary = 3
}

/// A request for a role, or its answer.
package struct RoleMessage: Equatable, Sendable {
  package var role: ControllerRole
  /// Which election this is; all ones: none has been. Not in Open vSwitch's form for 1.0.
  package var generationID: UInt64

  package init(_ role: ControllerRole, generationID: UInt64 = .max) {
    self.role = role
    self.generationID = generationID
  }
}

/// The controller's role was changed by another one.
package struct RoleStatus: Equatable, Sendable {
  package enum Reason: UInt8, Sendable, CaseIterable {
    case primaryRequest = 0
    case configuration = 1
    case experimenter = 2
  }
  package var role: ControllerRole
  package var reason: Reason
  package var generationID: UInt64

  package init(role: ControllerRole, reason: Reason, generationID: UInt64) {
    self.role = role
    self.reason = reason
    self.generationID = generationID
  }
}

/// How a setting of asynchronous messages is written before 1.4.
package enum AsyncForm: Sendable, CaseIterable {
  case standard
  /// NXT_SET_ASYNC_CONFIG.
  case nicira
  /// NXT_SET_ASYNC_CONFIG2: 1.4's properties.
  case nicira2
}

/// For which reasons a controller is told what: bit n for reason n.
package struct AsyncConfiguration: Equatable, Sendable {
  /// Nil: not mentioned, stays as it is.
  package struct Masks: Equatable, Sendable {
    package var packetIn: UInt32?
    package var portStatus: UInt32?
    package var flowRemoved: UInt32?
    /// These four 1.4 and later.
    package var roleStatus: UInt32?
    package var tableStatus: UInt32?
    package var requestForward: UInt32?
    /// 1.5 only.
    package var controllerStatus: UInt32?

    package init() {}
  }
  /// While the role is primary or equal.
  package var primary = Masks()
  package var secondary = Masks()

  package init() {}
}

/// Another controller changed a group or meter.
package struct RequestForward: Equatable, Sendable {
  package var request: Message

  /// - Parameter request: its body is `groupMod` or `meterMod`.
  package init(_ request: Message) { self.request = request }
}

/// State of the connection to one controller; 1.5.
package struct ControllerStatus: Equatable, Sendable {
  package enum Reason: UInt8, Sendable, CaseIterable {
    case request = 0
    case channelStatus = 1
    case role = 2
    case controllerAdded = 3
    case controllerRemoved = 4
    case shortID = 5
    case experimenter = 6
  }
  package var shortID: UInt16 = 0xffff
  package var role = ControllerRole.equal
  package var reason = Reason.request
  package var isUp = true
  package var uri = ""

  package init() {}
}
