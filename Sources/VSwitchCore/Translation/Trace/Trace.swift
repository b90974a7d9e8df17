// A packet's way through the tables, told: a tree of tables, rules and actions, then where the packet goes, or why it goes
// nowhere and what would let it through. Made by `PacketTranslation.trace`, by the same walk that a worker does. Plain values:
// `description` prints them in the form of Open vSwitch's ofproto/trace, `Codable` makes JSON of them.

/// One line of a trace, and what it led to.
public struct TraceNode: Codable, Equatable, Sendable {
  public enum Kind: String, Codable, Sendable {
    /// A lookup in a table.
    case table
    case action
    case actionSet
    case bucket
    /// One of the two ways at check_pkt_larger.
    case branch
    /// The packet comes back, or would.
    case comesBack
    /// Why the line above does not do what it says.
    case remark
  }
  public var kind: Kind
  public var text: String
  /// Of a lookup.
  public var table: UInt8?
  /// Of a lookup that found a rule.
  public var priority: UInt16?
  public var cookie: UInt64?
  public var children: [TraceNode] = []

  public init(_ kind: Kind, _ text: String) {
    self.kind = kind
    self.text = text
  }
}

/// One copy of a packet that leaves the switch.
public struct TraceExit: Codable, Equatable, Sendable {
  public var bridge: String
  public var port: String
  /// TPID << 16 | TCI (its drop eligible bit 0) of its first VLAN tag; 0: none.
  public var tag: UInt32
}

/// What a trace ends in.
public struct TraceOutcome: Codable, Equatable, Sendable {
  /// Where the packet goes, one sentence each: in order.
  public var actions: [String]
  /// By which ports, of this bridge and of those behind patch ports; buckets that may be chosen all count.
  public var exits: [TraceExit] = []
  /// Why it goes nowhere: `DropReason.name`; nil if it goes anywhere.
  public var drop: String?
  /// The same in plain words.
  public var explanation: String?
  /// A command that would let it through.
  public var remedy: String?
}

/// A trace.
public struct Trace: Codable, Equatable, Sendable, CustomStringConvertible {
  public var bridge: String
  /// The packet that was asked for, as a match.
  public var flow: String
  public var nodes: [TraceNode]
  /// The packet as the last table saw it.
  public var finalFlow: String
  /// What of the packet the decision depends on: every packet that has this gets the same.
  public var megaflow: String
  /// The program that such packets get, if the caller has words for it.
  public var program = ""
  public var outcome: TraceOutcome
  /// Bridges that the packet crossed to.
  public var followed: [Trace] = []

  public var description: String {
    var lines = ["Flow: \(flow)", "", "bridge(\"\(bridge)\")"]
    lines.append(String(repeating: "-", count: bridge.utf8.count + 10))
    Trace.append(nodes, depth: 0, to: &lines)
    lines += [
      "", "Final flow: \(finalFlow == flow ? "unchanged" : finalFlow)", "Megaflow: \(megaflow)",
    ]
    if !program.isEmpty { lines.append("Datapath actions: \(program)") }
    lines.append("Result:")
    lines += outcome.actions.map { "    \($0)" }
    if let explanation = outcome.explanation {
      lines.append("    Dropped (\(outcome.drop ?? "")): \(explanation)")
    }
    if let remedy = outcome.remedy { lines.append("    To let it through: \(remedy)") }
    for other in followed { lines += ["", other.description] }
    return lines.joined(separator: "\n")
  }

  private static func append(_ nodes: [TraceNode], depth: Int, to lines: inout [String]) {
    for node in nodes {
      let indent = String(repeating: " ", count: 4 * depth)
      switch node.kind {
      case .table:
        let number = node.table.map { $0 < 10 ? " \($0)" : "\($0)" } ?? "--"
        lines.append("\(indent)\(number). \(node.text)")
      case .actionSet: lines.append("\(indent)--. \(node.text)")
      case .remark: lines.append("\(indent) >> \(node.text)")
      case .action, .bucket, .branch, .comesBack: lines.append("\(indent)\(node.text)")
      }
      append(node.children, depth: depth + 1, to: &lines)
    }
  }
}

/// How a trace writes matches and actions, and what it has to be told: the switch's own syntax is not known here.
public struct TraceOptions {
  public var bridge: String
  /// The text of a match, as in a flow.
  public var matchText: (Match) -> String
  /// The text of a packet, as a match; by default the same.
  public var flowText: (Match) -> String
  /// The text of an action or instruction.
  public var actionsText: (Instructions) -> String
  /// The match of the rule with this slot; nil if it is gone.
  public var match: (UInt32) -> Match?
  /// The text of a program.
  public var programText: ([ActionStep]) -> String = { _ in "" }
  /// The name of a port.
  public var portText: (PortNumber) -> String = TraceText.port
  /// Whether it is said with which VLAN tag a packet leaves.
  public var showsTags = false
  /// What NORMAL would do with a packet, whose entry port is in the key; nil: not known.
  public var normal: (FlowKey) -> NormalTrace? = { _ in nil }
  /// The ports to which FLOOD (or ALL) sends a packet of this entry port; nil: not known.
  public var flood: (_ inPort: UInt32, _ withoutNoFlood: Bool) -> [PortNumber]? = { _, _ in nil }
  /// What becomes of a packet that leaves this port for another bridge; nil: it leaves the switch.
  public var follow: (PortNumber, FlowKey) -> Trace? = { _, _ in nil }
  /// The packet's fields after its labels or tags are as in the key, if its bytes are known.
  public var parseAgain: (FlowKey) -> FlowKey? = { _ in nil }
  /// The connection's state (`ct_state`) that connection tracking finds: that of a new one unless told otherwise.
  public var connectionState: UInt32 = 0x21
  /// Length of the packet; nil shows both ways where it matters.
  public var byteCount: Int?
  /// The tables are those of a virtual router.
  public var isRouter = false
  /// The tables are those between this port's device and its bridge.
  public var guarding: TracedGuard?
  /// The bridge that a port belongs to for its user; nil: the one that is traced.
  public var owner: (PortNumber) -> String? = { _ in nil }

  /// Whether the tables are the switch's own making, whose rules nobody wrote.
  var isDerived: Bool { isRouter || guarding != nil }

  public init(
    bridge: String, matchText: @escaping (Match) -> String = TraceText.match,
    actionsText: @escaping (Instructions) -> String = TraceText.actions,
    match: @escaping (UInt32) -> Match?
  ) {
    self.bridge = bridge
    self.matchText = matchText
    flowText = matchText
    self.actionsText = actionsText
    self.match = match
  }
}
