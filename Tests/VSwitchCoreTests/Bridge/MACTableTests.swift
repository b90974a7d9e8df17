import TestSupport
import Testing
import VSwitchCore

/// The table as a list: obviously right, slow.
struct NaiveMACTable {
  struct Row {
    var vlan: UInt16
    var address: UInt64
    var port: UInt16
    var seen: UInt32
    var isStatic: Bool
    /// Order in which rows were refreshed.
    var order: Int
  }
  var rows: [Row] = []
  var limit: Int
  var ageing: UInt32
  var order = 0

  func isAlive(_ row: Row, _ now: UInt32) -> Bool { row.isStatic || now - row.seen < ageing }

  func port(_ vlan: UInt16, _ address: UInt64, _ now: UInt32) -> UInt16? {
    rows.first { $0.vlan == vlan && $0.address == address && isAlive($0, now) }?.port
  }

  mutating func makeRoom(_ now: UInt32) -> Bool {
    rows = rows.filter { isAlive($0, now) }
    guard rows.count >= limit else { return true }
    let learned = rows.filter { !$0.isStatic }
    let counts = Dictionary(grouping: learned, by: \.port).mapValues(\.count)
    guard let most = counts.values.max(), let fullest = counts.filter({ $0.value == most }).keys.min() else {
      return false
    }
    let oldest = learned.filter { $0.port == fullest }.map(\.order).min()
    rows.removeAll { $0.order == oldest }
    return true
  }

  mutating func learn(_ vlan: UInt16, _ address: UInt64, _ port: UInt16, _ now: UInt32) {
    order += 1
    if let i = rows.firstIndex(where: { $0.vlan == vlan && $0.address == address }) {
      if rows[i].isStatic { return }
      if rows[i].port == port && rows[i].seen == now { return }
      rows[i].port = port
      rows[i].seen = now
      rows[i].order = order
      return
    }
    guard makeRoom(now) else { return }
    rows.append(Row(vlan: vlan, address: address, port: port, seen: now, isStatic: false, order: order))
  }

  mutating func addStatic(_ vlan: UInt16, _ address: UInt64, _ port: UInt16, _ now: UInt32) -> Bool {
    order += 1
    rows.removeAll { $0.vlan == vlan && $0.address == address }
    guard makeRoom(now) else { return false }
    rows.append(Row(vlan: vlan, address: address, port: port, seen: now, isStatic: true, order: order))
    return true
  }

  mutating func remove(_ vlan: UInt16, _ address: UInt64, _ now: UInt32) -> Bool {
    guard let i = rows.firstIndex(where: { $0.vlan == vlan && $0.address == address }) else { return false }
    let known = isAlive(rows[i], now)
    rows.remove(at: i)
    return known
  }
}

@Suite struct MACTableTests {
  @Test(arguments: testSeeds(8))
  func doesWhatAListDoes(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let limit = Int.random(in: 1...40, using: &random)
    let table = MACTable(limit: limit, ageingSeconds: 20, portLimit: 8, seed: random.next())
    defer { table.deallocate() }
    var naive = NaiveMACTable(limit: limit, ageing: 20)
    var now: UInt32 = 100
    for step in 0..<4000 {
      let vlan = UInt16.random(in: 0...2, using: &random)
      let address = UInt64.random(in: 0...30, using: &random)
      let port = UInt16.random(in: 0...7, using: &random)
      switch Int.random(in: 0...99, using: &random) {
      case 0...2: now += UInt32.random(in: 1...15, using: &random)
      case 3:
        #expect(
          table.addStatic(vlan: vlan, address: address, port: port, now: now)
            == naive.addStatic(vlan, address, port, now), "seed \(seed) step \(step)")
      case 4...6:
        #expect(
          table.remove(vlan: vlan, address: address, now: now) == naive.remove(vlan, address, now),
          "seed \(seed) step \(step)")
      case 7:
        let flushed = table.flush(vlan: vlan, port: port, now: now)
        let before = naive.rows.filter { naive.isAlive($0, now) }.count
        naive.rows.removeAll { $0.vlan == vlan && $0.port == port && !$0.isStatic }
        #expect(flushed == before - naive.rows.filter { naive.isAlive($0, now) }.count, "seed \(seed) step \(step)")
      default:
        table.learn(vlan: vlan, address: address, port: port, now: now)
        naive.learn(vlan, address, port, now)
      }
      let asked = UInt64.random(in: 0...30, using: &random)
      let found = table.port(vlan: vlan, address: asked, now: now)
      #expect(found == naive.port(vlan, asked, now), "seed \(seed) step \(step)")
      if found != naive.port(vlan, asked, now) { return }
    }
    var count = 0
    table.forEach(now: now) { _, _, _, _ in count += 1 }
    #expect(count == naive.rows.filter { naive.isAlive($0, now) }.count)
  }

  /// Who keeps what `port` said may rely on it while neither the count nor the time has changed.
  @Test(arguments: testSeeds(4))
  func whatIsKnownChangesOnlyWithTheChangeCount(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let table = MACTable(limit: 20, ageingSeconds: 20, portLimit: 8, seed: random.next())
    defer { table.deallocate() }
    let stations = (0...30).map { UInt64($0) }
    var now: UInt32 = 100
    for step in 0..<4000 {
      let count = table.changeCount
      let before = stations.map { table.port(vlan: 1, address: $0, now: now) }
      let address = stations.randomElement(using: &random) ?? 0
      let port = UInt16.random(in: 0...7, using: &random)
      switch Int.random(in: 0...49, using: &random) {
      case 0: _ = table.remove(vlan: 1, address: address, now: now)
      case 1: _ = table.addStatic(vlan: 1, address: address, port: port, now: now)
      case 2: _ = table.flush(port: port, includingStatic: Bool.random(using: &random), now: now)
      case 3: table.setAgeing(seconds: Int.random(in: 15...40, using: &random))
      default: table.learn(vlan: 1, address: address, port: port, now: now)
      }
      let after = stations.map { table.port(vlan: 1, address: $0, now: now) }
      let isKept = zip(before, after).allSatisfy { $0 == nil || $0 == $1 }
      #expect(isKept || table.changeCount != count, "seed \(seed) step \(step)")
      if Int.random(in: 0...9, using: &random) == 0 { now += UInt32.random(in: 1...15, using: &random) }
    }
  }

  @Test func aFloodOnOnePortLeavesTheOthersTheirStations() {
    let table = MACTable(limit: 100, ageingSeconds: 300, portLimit: 4, seed: 9)
    defer { table.deallocate() }
    for station in 0..<10 { table.learn(vlan: 1, address: UInt64(station), port: 1, now: 5) }
    for station in 0..<1_000_000 { table.learn(vlan: 1, address: UInt64(1000 + station), port: 2, now: 6) }
    for station in 0..<10 { #expect(table.port(vlan: 1, address: UInt64(station), now: 6) == 1) }
  }

  @Test func agedEntryIsAbsentAtTheSecond() {
    let table = MACTable(limit: 10, ageingSeconds: 15, portLimit: 4, seed: 9)
    defer { table.deallocate() }
    table.learn(vlan: 1, address: 7, port: 1, now: 100)
    #expect(table.port(vlan: 1, address: 7, now: 114) == 1)
    #expect(table.port(vlan: 1, address: 7, now: 115) == nil)
  }

  @Test func staticEntryNeitherAgesNorMoves() {
    let table = MACTable(limit: 10, ageingSeconds: 15, portLimit: 4, seed: 9)
    defer { table.deallocate() }
    #expect(table.addStatic(vlan: 1, address: 7, port: 1, now: 100))
    table.learn(vlan: 1, address: 7, port: 2, now: 200)
    #expect(table.port(vlan: 1, address: 7, now: 10_000) == 1)
  }
}
