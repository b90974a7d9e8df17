// Locks (RFC 7047 §4.1.8 to §4.1.10): names that one client at a time holds, the others in a queue. Of whom a lock was
// stolen is as with ovsdb-server: a client that had waited for it is next in the queue; one that had stolen it itself has
// lost it. Either may ask again only after `unlock`. Session number 0 is the daemon itself.

/// Who has to do with a lock.
struct LockQueue {
  struct Waiter {
    var session: Int
    /// It took the lock from its holder.
    var isThief: Bool
  }
  /// The first of them holds it.
  var waiters: [Waiter] = []
  /// Thieves of whom it was stolen.
  var losers: Set<Int> = []

  var holder: Int? { waiters.first?.session }
  var isEmpty: Bool { waiters.isEmpty && losers.isEmpty }

  func concerns(_ session: Int) -> Bool {
    losers.contains(session) || waiters.contains { $0.session == session }
  }

  /// - Returns: the holder until now.
  mutating func steal(for session: Int) -> Int? {
    let victim = waiters.first
    if let victim, victim.isThief {
      waiters.removeFirst()
      losers.insert(victim.session)
    }
    waiters.insert(Waiter(session: session, isThief: true), at: 0)
    return victim?.session
  }

  /// - Returns: who is to be told that it holds the lock: ovsdb-server tells the holder of everybody who leaves the queue.
  mutating func leave(_ session: Int) -> Int? {
    losers.remove(session)
    guard let index = waiters.firstIndex(where: { $0.session == session }) else { return nil }
    waiters.remove(at: index)
    return holder
  }
}

/// What a client has to do with locks, by their names in order.
struct SessionLocks: Equatable {
  var held: [String] = []
  var waiting: [String] = []
  /// Taken by it, and taken from it by another.
  var lost: [String] = []
}

extension DatabaseServer {
  func lock(
    _ request: JSONRPCRequest, _ session: JSONRPCSession, steal: Bool
  ) throws(OVSDBError) -> JSONValue {
    let lock = try lockName(request)
    var queue = locks[lock] ?? LockQueue()
    if queue.concerns(session.number) {
      throw OVSDBError(
        "syntax error", "must issue \"unlock\" before new \"\(request.method)\"", syntax: request.params)
    }
    if locks.count >= 1024 && queue.isEmpty { throw OVSDBError("resources exhausted", "too many locks") }
    if steal {
      if let victim = queue.steal(for: session.number) { sessions[victim]?.session.notify("stolen", [.string(lock)]) }
    } else {
      queue.waiters.append(LockQueue.Waiter(session: session.number, isThief: false))
    }
    locks[lock] = queue
    return ["locked": .boolean(queue.holder == session.number)]
  }

  func unlock(_ request: JSONRPCRequest, _ session: JSONRPCSession) throws(OVSDBError) -> JSONValue {
    let lock = try lockName(request)
    guard locks[lock]?.concerns(session.number) == true else {
      throw OVSDBError(
        "syntax error", "unlock: \"unlock\" without \"lock\" or \"steal\"", syntax: request.params)
    }
    release(lock, session.number)
    return [:]
  }

  func releaseLocks(of number: Int) {
    for (lock, queue) in locks where queue.concerns(number) { release(lock, number) }
  }

  func heldLocks(of number: Int) -> Set<String> { Set(locks.filter { $0.value.holder == number }.keys) }

  /// For the row of Manager whose connection this is.
  func sessionLocks(of number: Int) -> SessionLocks {
    var result = SessionLocks()
    for (lock, queue) in locks.sorted(by: { Atom.precedes($0.key, $1.key) }) where queue.concerns(number) {
      if queue.holder == number {
        result.held.append(lock)
      } else if queue.losers.contains(number) {
        result.lost.append(lock)
      } else {
        result.waiting.append(lock)
      }
    }
    return result
  }

  private func release(_ lock: String, _ number: Int) {
    let next = locks[lock]?.leave(number)
    if locks[lock]?.isEmpty == true { locks[lock] = nil }
    if let next { sessions[next]?.session.notify("locked", [.string(lock)]) }
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
