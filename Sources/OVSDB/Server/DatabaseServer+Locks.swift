// Locks (RFC 7047 §4.1.8 to §4.1.10): names that one client at a time holds, the others in a queue. Session number 0
// is the daemon itself.

extension DatabaseServer {
  func lock(
    _ request: JSONRPCRequest, _ session: JSONRPCSession, steal: Bool
  ) throws(OVSDBError) -> JSONValue {
    let lock = try lockName(request)
    var holders = locks[lock] ?? []
    if holders.contains(session.number) {
      throw OVSDBError(
        "syntax error", "must issue \"unlock\" before new \"\(request.method)\"", syntax: request.params)
    }
    if locks.count >= 1024 && holders.isEmpty { throw OVSDBError("resources exhausted", "too many locks") }
    if steal, let holder = holders.first {
      holders.removeFirst()
      sessions[holder]?.session.notify("stolen", [.string(lock)])
      holders.insert(session.number, at: 0)
    } else {
      holders.append(session.number)
    }
    locks[lock] = holders
    return ["locked": .boolean(holders.first == session.number)]
  }

  func unlock(_ request: JSONRPCRequest, _ session: JSONRPCSession) throws(OVSDBError) -> JSONValue {
    let lock = try lockName(request)
    guard locks[lock]?.contains(session.number) == true else {
      throw OVSDBError(
        "syntax error", "unlock: \"unlock\" without \"lock\" or \"steal\"", syntax: request.params)
    }
    release(lock, session.number)
    return [:]
  }

  func releaseLocks(of number: Int) {
    for (lock, holders) in locks where holders.contains(number) { release(lock, number) }
  }

  func heldLocks(of number: Int) -> Set<String> { Set(locks.filter { $0.value.first == number }.keys) }

  private func release(_ lock: String, _ number: Int) {
    let wasHolder = locks[lock]?.first == number
    locks[lock]?.removeAll { $0 == number }
    if locks[lock]?.isEmpty == true { locks[lock] = nil }
    if wasHolder, let next = locks[lock]?.first { sessions[next]?.session.notify("locked", [.string(lock)]) }
  }

  private func lockName(_ request: JSONRPCRequest) throws(OVSDBError) -> String {
    guard case .array(let params) = request.params, params.count == 1, let name = params[0].string,
      Identifier.isValid(name)
    else {
      throw OVSDBError("syntax error", "\(request.method) request params must be <id>", syntax: request.params)
    }
    return name
  }
}
