// The versions that this program tells.

enum Version {
  /// Of this program.
  static let program = "0.1.0"
  /// The Open vSwitch release whose data model and protocols these are: clients decide by it what they may use.
  static let openVSwitch = "3.1.0"
}
