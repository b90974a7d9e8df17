import Testing

@testable import OVSDB

/// A store that takes its time, and refuses whatever holds a certain word.
private actor SlowStore: DurableStore {
  private(set) var commits: [[PersistentChange]] = []
  private let poison: String?

  init(poison: String? = nil) { self.poison = poison }

  func load() async throws -> [PersistedRow] { [] }

  func commit(_ changes: [PersistentChange]) async throws {
    try await Task.sleep(for: .milliseconds(30))
    let isPoisoned = changes.contains { change in
      guard case .put(let row) = change, let poison else { return false }
      return row.columns.contains(poison)
    }
    if isPoisoned { throw StoreError(cause: "refused", remedy: "none") }
    commits.append(changes)
  }
}

@Suite(.timeLimit(.minutes(1))) struct GroupCommitTests {
  private func insertAll(_ types: [String], _ server: DatabaseServer) async -> [String: OVSDBError?] {
    await withTaskGroup(of: (String, OVSDBError?).self) { group in
      for type in types {
        group.addTask { (type, await server.transact([Operation.insert("QoS", ["type": .string(type)])]).error) }
      }
      return await group.reduce(into: [:]) { $0[$1.0] = .some($1.1) }
    }
  }

  @Test func transactionsThatArriveTogetherShareACommit() async throws {
    let store = SlowStore()
    let server = try await DatabaseServer(store: store, logger: quiet)
    let errors = await insertAll((0..<40).map { "t\($0)" }, server)
    #expect(errors.count == 40 && errors.values.allSatisfy { $0 == nil })
    let commits = await store.commits
    #expect(commits.count < 10)
    #expect(commits.joined().count == 40)
  }

  @Test func transactionThatTheStoreRefusesTakesNoOtherDown() async throws {
    let store = SlowStore(poison: "poison")
    let server = try await DatabaseServer(store: store, logger: quiet)
    let errors = await insertAll((0..<10).map { "t\($0)" } + ["poison"], server)
    for (type, error) in errors { #expect(error?.tag == (type == "poison" ? "I/O error" : nil)) }
    #expect(await server.snapshot().rows("QoS").count == 10)
    #expect(await store.commits.joined().count == 10)
  }
}
