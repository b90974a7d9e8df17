// Rows kept in memory for tests of what stands on a database.

import OVSDB
import Synchronization

final class MemoryStore: DurableStore {
  private let commits = Mutex<[[PersistentChange]]>([])

  /// What was made durable, in order.
  var committed: [[PersistentChange]] { commits.withLock { $0 } }

  func load() async throws -> [PersistedRow] { [] }
  func commit(_ changes: [PersistentChange]) async throws { commits.withLock { $0.append(changes) } }

  /// What a client sends to make a bridge with ports; makes the root row too.
  static func bridgeOperations(_ name: String, ports: [(name: String, type: String)]) -> [JSONValue] {
    var operations: [JSONValue] = []
    for (index, port) in ([(name: name, type: "internal")] + ports).enumerated() {
      operations.append([
        "op": "insert", "table": "Interface", "uuid-name": .string("i\(index)"),
        "row": ["name": .string(port.name), "type": .string(port.type)],
      ])
      operations.append([
        "op": "insert", "table": "Port", "uuid-name": .string("p\(index)"),
        "row": ["name": .string(port.name), "interfaces": ["named-uuid", .string("i\(index)")]],
      ])
    }
    let references: [JSONValue] = (0...ports.count).map { ["named-uuid", .string("p\($0)")] }
    operations.append([
      "op": "insert", "table": "Bridge", "uuid-name": "b",
      "row": ["name": .string(name), "ports": ["set", .array(references)]],
    ])
    operations.append([
      "op": "insert", "table": "Open_vSwitch", "row": ["bridges": ["set", [["named-uuid", "b"]]], "next_cfg": 1],
    ])
    return operations
  }
}
