// Two servers choose different UUIDs for the same new row. Here each row has a symbol, itself a UUID, and each server's
// own name for it: requests are translated on their way out, answers and updates on their way in.

import OVSDB

struct RowSymbols {
  private var names: [String: String] = [:]
  private var symbols: [String: String] = [:]

  /// What `uuid-name` an insert has whose row is called by this symbol.
  static func rowName(_ symbol: RowUUID) -> String { "r" + symbol.description.filter { $0 != "-" } }

  /// Learns the names that the server gave to the rows of a transaction.
  mutating func learn(_ operations: [JSONValue], _ results: JSONValue) {
    for (index, operation) in operations.enumerated() {
      guard let rowName = operation["uuid-name"]?.string, let name = results[index]?["uuid"]?[1]?.string else {
        continue
      }
      let digits = Array(rowName.dropFirst())
      let symbol = [0..<8, 8..<12, 12..<16, 16..<20, 20..<32].map { String(digits[$0]) }.joined(separator: "-")
      names[symbol] = name
      symbols[name] = symbol
    }
  }

  func outgoing(_ json: JSONValue) -> JSONValue {
    switch json {
    case .array(let parts):
      if parts.count == 2, parts[0] == "uuid", let symbol = parts[1].string, let name = names[symbol] {
        return ["uuid", .string(name)]
      }
      return .array(parts.map(outgoing))
    case .object(let members):
      var result = members.mapValues(outgoing)
      // An insert that chooses its UUID: that of a row which the server named before, perhaps.
      if let name = members["uuid"]?.string.flatMap({ names[$0] }) { result["uuid"] = .string(name) }
      return .object(result)
    default: return json
    }
  }

  /// With symbols for names, and with sets and maps in the order of the symbols.
  func incoming(_ json: JSONValue) -> JSONValue {
    switch json {
    case .string(let text): return symbols[text].map(JSONValue.string) ?? json
    case .array(let parts):
      if parts.count == 2, parts[0] == "set" || parts[0] == "map", let elements = parts[1].array {
        return [parts[0], .array(Self.sorted(elements.map(incoming)))]
      }
      return .array(parts.map(incoming))
    case .object(let members):
      return .object(
        Dictionary(members.map { (symbols[$0.key] ?? $0.key, incoming($0.value)) }, uniquingKeysWith: { a, _ in a }))
    default: return json
    }
  }

  static func sorted(_ elements: [JSONValue]) -> [JSONValue] {
    guard elements.count > 1 else { return elements }
    return elements.map { ($0.serialized(), $0) }.sorted { $0.0 < $1.0 }.map(\.1)
  }
}
