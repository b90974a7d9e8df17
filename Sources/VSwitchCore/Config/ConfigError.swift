// One form for everything that a user can get wrong.

/// What is wrong with the configuration and what would mend it; printed as one line.
public struct ConfigError: Error, Equatable, Sendable, CustomStringConvertible {
  /// What is wrong, without a full stop.
  public var cause: String
  /// What the user can do, as an imperative.
  public var remedy: String

  /// - Parameters:
  ///   - cause: what is wrong, naming the object.
  ///   - remedy: what would mend it.
  public init(cause: String, remedy: String) {
    self.cause = cause
    self.remedy = remedy
  }

  public var description: String { "\(cause): \(remedy)" }
}
