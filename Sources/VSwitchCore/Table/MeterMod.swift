// A change of the meter table, free of any protocol version (OpenFlow 1.5 §7.3.4.5).

/// Adds, modifies or deletes a meter.
public struct MeterMod: Equatable, Sendable {
  public enum Command: UInt8, Sendable, CaseIterable {
    case add, modify, delete
  }
  /// All meters, in deletes and statistics requests.
  public static let allMeters: UInt32 = 0xffff_ffff
  /// Largest number that a rule can name.
  public static let maximumMeter: UInt32 = 0xffff_0000

  public var command: Command
  public var meter: MeterDescription

  public init(_ command: Command, _ meter: MeterDescription) {
    self.command = command
    self.meter = meter
  }
}

/// A meter as it is described.
public struct MeterDescription: Equatable, Sendable {
  public enum Unit: Sendable {
    case kilobitsPerSecond
    case packetsPerSecond
  }
  public enum BandKind: Equatable, Sendable {
    case drop
    /// Raises the drop precedence of the DSCP by so many steps.
    case dscpRemark(precedenceLevel: UInt8)
  }
  public struct Band: Equatable, Sendable {
    public var kind: BandKind
    /// In the meter's unit.
    public var rate: UInt32
    /// Kilobits or packets; 0 unless the meter has `hasBurst`.
    public var burst: UInt32

    public init(kind: BandKind, rate: UInt32, burst: UInt32 = 0) {
      self.kind = kind
      self.rate = rate
      self.burst = burst
    }
  }
  public var id: UInt32
  public var unit: Unit
  public var hasBurst = false
  public var keepsStatistics = true
  public var bands: [Band] = []

  public init(id: UInt32, unit: Unit) {
    self.id = id
    self.unit = unit
  }
}
