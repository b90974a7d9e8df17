// The tables of a router's bridge and what its registers mean: the same for every router, so that rules and punted packets can be
// read.

/// Tables of a router's bridge, in the order in which packets go through them.
public enum RouterTable: UInt8, CaseIterable, Sendable {
  /// Which frames are for the router.
  case admission = 0
  /// Who is where: punts ARP that tells something new.
  case neighbourNews = 1
  /// ARP, neighbour discovery, services.
  case link = 2
  /// The packet's connection, and the addresses that it had before translation.
  case tracking = 3
  /// Answers between hosts of one network that know each other by a forwarded port: their connection besides.
  case hairpin = 4
  /// Ports that are forwarded.
  case forwards = 5
  /// What is for the router itself.
  case local = 6
  case hopLimit = 7
  case routes = 8
  /// Which connections may pass.
  case policies = 9
  /// Connections are kept, with their source translated if need be.
  case commit = 10
  /// The MAC address of the next hop.
  case neighbours = 11
  case mtu = 12
  case output = 13
}

/// Registers of a router's pipeline.
public enum RouterRegister {
  /// IPv4; the low 32 bits of a register of its own.
  public static var nextHopIPv4: Field { .reg0 }
  /// All 128 bits of reg0 to reg3.
  public static var nextHopIPv6: Field { .xxreg0 }
  /// What addresses are kept in while they change places; the next 128 bits.
  public static var scratch: Field { .xxreg1 }
  public static var outPort: Field { .reg15 }
  /// Bits of `flags`.
  public static var flags: Field { .reg10 }
  /// Larger than the exit port's MTU.
  public static var tooBig: UInt128 { 1 }
  /// The router's own packet: no policy, no hop.
  public static var own: UInt128 { 2 }
}
