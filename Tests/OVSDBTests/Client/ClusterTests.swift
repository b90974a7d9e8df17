import Foundation
import TestSupport
import Testing

@testable import OVSDB

/// A cluster of three real servers whose leader is killed, twice.
@Suite(
  .blocking, .enabled(if: OVSDBServerProcess.isInstalled, "needs Debian's openvswitch-switch"))
struct ClusterTests {
  @Test func everyAnsweredChangeArrivesThoughLeadersDie() async throws {
    let directory = try TemporaryDirectory()
    let cluster = try OVSDBClusterProcesses(directory: directory.path)
    let endpoints = cluster.members.map(\.remote)
    let database = await RemoteDatabaseTests.client(endpoints)
    let writer = await RemoteDatabaseTests.client(endpoints, lock: nil)
    #expect(try await RemoteDatabaseTests.waitForAccess(database))
    let (first, stream) = await database.changes()
    let reader = Task {
      var replica = first
      for await changes in stream {
        // None is told twice and none without its beginning: what a change calls old is what is here.
        for change in changes.all where change.old != nil {
          let here = replica.row(change.table.name, change.uuid)
          if here.map({ $0.hasSameContent(as: change.old ?? $0) }) != true { return (replica, false) }
        }
        replica.apply(changes)
        if replica.rows("QoS").contains(where: { $0["type"].string == "end" }) { break }
      }
      return (replica, true)
    }

    var answered: Set<String> = []
    var killed: [OVSDBServerProcess] = []
    for number in 0..<60 {
      if number == 20 || number == 40 {
        for member in killed where !member.isRunning { try member.start() }
        var leader: OVSDBServerProcess?
        for _ in 0..<400 {
          leader = try cluster.leader()
          if leader != nil { break }
          try await Task.sleep(for: .milliseconds(50))
        }
        let victim = try #require(leader)
        victim.kill9()
        killed.append(victim)
      }
      // A change whose answer was lost is made again under another name: only answered ones count.
      for attempt in 0..<2400 {
        let name = "q\(number)-\(attempt)"
        if await writer.transact([Operation.insert("QoS", ["type": .string(name)])]).error == nil {
          answered.insert(name)
          break
        }
        try await Task.sleep(for: .milliseconds(50))
      }
    }
    #expect(answered.count == 60)
    #expect(killed.count == 2)
    var ended = false
    for _ in 0..<2400 where !ended {
      ended = await writer.transact([Operation.insert("QoS", ["type": "end"])]).error == nil
      if !ended { try await Task.sleep(for: .milliseconds(50)) }
    }
    let (replica, isConsistent) = await reader.value
    #expect(isConsistent)
    let arrived = Set(replica.rows("QoS").compactMap { $0["type"].string })
    #expect(answered.subtracting(arrived).isEmpty, "answered and lost: \(answered.subtracting(arrived))")
    #expect(await database.sessionCount >= 2, "the leader was followed")
    #expect(await DatabaseTests.contents(database.snapshot()) == DatabaseTests.contents(writer.snapshot()))
    await database.close()
    await writer.close()
  }

  @Test func aFollowerIsNotUsed() async throws {
    let directory = try TemporaryDirectory()
    let cluster = try OVSDBClusterProcesses(directory: directory.path)
    let leader = try #require(try cluster.leader())
    let followers = cluster.members.filter { $0 !== leader }
    let database = await RemoteDatabaseTests.client(followers.map(\.remote) + [leader.remote])
    #expect(try await RemoteDatabaseTests.waitForAccess(database))
    #expect(await database.endpoint?.description == leader.remote)
    let readers = await RemoteDatabaseTests.client([followers[0].remote], lock: nil) { $0.isLeaderOnly = false }
    #expect(try await RemoteDatabaseTests.waitForAccess(readers))
    await database.close()
    await readers.close()
  }
}
